/**
 * What weft uses of @huggingface/jinja, typed here: the package's own declarations import without file extensions, which
 * Node's module resolution does not follow, so that all of it would be `any`.
 */
import * as library from '@huggingface/jinja'

/** A node of the syntax tree, with the fields that the meter looks at. */
export interface SyntaxNode {
  readonly type: string
  readonly value?: unknown
  readonly iterable?: SyntaxNode
  readonly lhs?: SyntaxNode
  readonly callee?: SyntaxNode
  readonly property?: SyntaxNode
  readonly object?: SyntaxNode
  readonly operand?: SyntaxNode
  readonly filter?: SyntaxNode
  readonly args?: readonly SyntaxNode[]
}

/** A value of a template: its `value` is a string, a number, a list of values, a Map of values, or a function. */
export interface TemplateValue {
  readonly type: string
  readonly value: unknown
}

export interface TemplateEnvironment {
  set(name: string, value: unknown): unknown
}

export interface TemplateInterpreter {
  run(program: SyntaxNode): TemplateValue
  /** Every node goes through here. */
  evaluate(node: SyntaxNode | undefined, environment: TemplateEnvironment): TemplateValue
}

interface JinjaLibrary {
  readonly Environment: new () => TemplateEnvironment
  readonly Interpreter: new (environment: TemplateEnvironment) => TemplateInterpreter
  readonly tokenize: (source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }) => unknown
  readonly parse: (tokens: unknown) => SyntaxNode
}

const jinja: JinjaLibrary = library

export const { Environment, Interpreter, parse, tokenize } = jinja
