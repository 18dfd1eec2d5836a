/**
 * The Jinja interpreter with a meter: every node that is evaluated costs work, and so does the size of what it returns.
 * An endless or doubling template ends with a coded error in a few seconds at most, instead of hanging the process.
 */
import { ChatTemplateError } from './errors.ts'
import { Interpreter } from './jinja.ts'
import type { SyntaxNode, TemplateEnvironment, TemplateInterpreter, TemplateValue } from './jinja.ts'
import { MAX_TEMPLATE_INDENT, MAX_TEMPLATE_LIST, TEMPLATE_LIST_UNIT, TEMPLATE_TEXT_UNIT } from './limits.ts'

export interface TemplateBudget {
  /** Nodes that may be evaluated; what they return costs more by its size. */
  readonly work: number
  /** Elements that a value may have, those of its parts included. */
  readonly value: number
}

/** A check of a node's value, made as soon as it is known. */
type Check = (value: TemplateValue) => void

export function createBoundedInterpreter(
  environment: TemplateEnvironment,
  budget: TemplateBudget,
): TemplateInterpreter {
  return new BoundedInterpreter(environment, budget)
}

class BoundedInterpreter extends Interpreter {
  readonly #budget: TemplateBudget
  readonly #checks = new WeakMap<SyntaxNode, Check>()
  readonly #weights = new WeakMap<TemplateValue, number>()
  #work = 0

  constructor(environment: TemplateEnvironment, budget: TemplateBudget) {
    super(environment)
    this.#budget = budget
  }

  override evaluate(node: SyntaxNode | undefined, environment: TemplateEnvironment): TemplateValue {
    this.#spend(1)
    if (node !== undefined) this.#setChecks(node)
    const value = super.evaluate(node, environment)
    this.#spend(this.#cost(value))
    if (node !== undefined) this.#checks.get(node)?.(value)
    return value
  }

  #spend(work: number): void {
    this.#work += work
    if (this.#work > this.#budget.work) {
      throw new ChatTemplateError('it takes more work than a template may', { details: { work: this.#budget.work } })
    }
  }

  #cost(value: TemplateValue): number {
    const known = this.#weights.has(value)
    const weight = this.#weigh(value)
    const elements = Array.isArray(value.value) ? value.value.length : 0
    return (known ? 0 : weight / TEMPLATE_TEXT_UNIT) + elements / TEMPLATE_LIST_UNIT
  }

  #setChecks(node: SyntaxNode): void {
    if (node.type === 'For' && node.iterable !== undefined) {
      // The library makes a scope for each element before the body runs once.
      const check: Check = (value) => this.#spend(Array.isArray(value.value) ? value.value.length : 0)
      this.#checks.set(node.iterable.lhs ?? node.iterable, check)
    }
    const call = node.type === 'CallExpression' ? node : node.filter
    const name = call?.callee?.property?.value ?? call?.callee?.value
    if (name === 'indent' || name === 'tojson') {
      for (const arg of plainArguments(call)) this.#checks.set(arg, checkIndent)
    }
    if (name === 'replace' || name === 'join')
      this.#checkProduct(node.operand ?? node.callee?.object, plainArguments(call))
  }

  /** A long text may be put in at every element of another one, before the result can be weighed. */
  #checkProduct(subject: SyntaxNode | undefined, args: readonly SyntaxNode[]): void {
    // Of a filter block's text no node tells the size: it may be as long as any.
    let pieces = subject === undefined ? this.#budget.value : 0
    let inserted = 0
    const compare = (): void => {
      if (pieces * inserted > this.#budget.value * TEMPLATE_TEXT_UNIT) {
        throw new ChatTemplateError('it joins or replaces more text than a template may')
      }
    }
    if (subject !== undefined) {
      this.#checks.set(subject, (value) => {
        pieces = this.#weigh(value) + 1
        compare()
      })
    }
    for (const arg of args) {
      this.#checks.set(arg, (value) => {
        inserted = Math.max(inserted, this.#weigh(value))
        compare()
      })
    }
  }

  /** Elements of a value and of its parts. @throws ChatTemplateError when it is more than a value may have */
  #weigh(value: TemplateValue): number {
    const content: unknown = value.value
    const weight = typeof content === 'string' ? content.length : this.#weighParts(value, content)
    if (weight > this.#budget.value) throw new ChatTemplateError('it makes a value larger than a template may')
    return weight
  }

  #weighParts(value: TemplateValue, content: unknown): number {
    const parts = Array.isArray(content) ? content : content instanceof Map ? [...content.values()] : undefined
    if (parts === undefined) return 0
    const known = this.#weights.get(value)
    if (known !== undefined) return known
    if (parts.length > MAX_TEMPLATE_LIST) throw new ChatTemplateError('it makes a list longer than a template may')
    // A namespace can change, and may hold itself; its parts are weighed when they are made.
    if (value.type === 'NamespaceValue') return parts.length
    let weight = parts.length
    for (const part of parts as (TemplateValue | undefined)[]) weight += part === undefined ? 0 : this.#weigh(part)
    this.#weights.set(value, weight)
    return weight
  }
}

/** Spaces are allocated a line, before a result can be weighed. */
function checkIndent(value: TemplateValue): void {
  if (typeof value.value === 'number' && value.value > MAX_TEMPLATE_INDENT) {
    throw new ChatTemplateError(`it indents by ${value.value}`)
  }
}

/** The expressions that are the arguments of a call; unpacked ones could not be checked. */
function plainArguments(call: SyntaxNode | undefined): readonly SyntaxNode[] {
  return (call?.args ?? []).map((arg) => {
    if (arg.type.endsWith('SpreadExpression')) throw new ChatTemplateError('it unpacks arguments where it must not')
    return arg.type === 'KeywordArgumentExpression' ? (arg.value as SyntaxNode) : arg
  })
}
