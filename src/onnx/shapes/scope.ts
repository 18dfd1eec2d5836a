/** What is known of the names of one graph, subgraph or function body while it is walked. */
import type { Attribute, Node, ValueType } from '../ir/index.ts'
import type { Lookup } from './call.ts'
import type { InnerScope, KnownTensor } from './types.ts'

export class Scope implements Lookup {
  readonly types = new Map<string, ValueType>()
  readonly values = new Map<string, KnownTensor>()
  readonly assumed = new Set<string>()
  readonly inner = new Map<number, readonly InnerScope[]>()
  readonly opsets: ReadonlyMap<string, number>
  /** 0 for the graph of the model. */
  readonly depth: number
  /** Of the call of a function, for what its body refers to. */
  readonly attributes: ReadonlyMap<string, Attribute> | undefined
  readonly #outer: Scope | undefined
  /** Names that this scope makes itself hide those around it even where nothing is known of them. */
  readonly #own = new Set<string>()

  private constructor(
    opsets: ReadonlyMap<string, number>,
    depth: number,
    attributes: ReadonlyMap<string, Attribute> | undefined,
    outer: Scope | undefined,
  ) {
    this.opsets = opsets
    this.depth = depth
    this.attributes = attributes
    this.#outer = outer
  }

  static ofModel(opsets: ReadonlyMap<string, number>): Scope {
    return new Scope(opsets, 0, undefined, undefined)
  }

  /** Of a subgraph: it sees the names around it. */
  nested(): Scope {
    return new Scope(this.opsets, this.depth + 1, this.attributes, this)
  }

  /** Of a function body: it sees its parameters alone. */
  called(opsets: ReadonlyMap<string, number>, attributes: ReadonlyMap<string, Attribute>): Scope {
    return new Scope(opsets, this.depth + 1, attributes, undefined)
  }

  type(name: string): ValueType | undefined {
    return this.#holder(name)?.types.get(name)
  }

  known(name: string): KnownTensor | undefined {
    return this.#holder(name)?.values.get(name)
  }

  isAssumed(name: string): boolean {
    return this.#holder(name)?.assumed.has(name) ?? false
  }

  set(name: string, type: ValueType | undefined, known?: KnownTensor, assumed = false): void {
    if (name === '') return
    this.#own.add(name)
    if (type !== undefined) this.types.set(name, type)
    if (known !== undefined) this.values.set(name, known)
    if (assumed) this.assumed.add(name)
  }

  /** With what the body of a function refers to put in its place; a reference to nothing falls away. */
  resolve(node: Node): Node {
    const { attributes } = this
    if (attributes === undefined || ![...node.attributes.values()].some(({ kind }) => kind === 'reference')) return node
    const resolved = new Map<string, Attribute>()
    for (const [name, attribute] of node.attributes) {
      const value = attribute.kind === 'reference' ? attributes.get(attribute.name) : attribute
      if (value !== undefined) resolved.set(name, value)
    }
    return { ...node, attributes: resolved }
  }

  /** The scope, from here outwards, that a name belongs to. */
  #holder(name: string): Scope | undefined {
    if (this.#own.has(name)) return this
    return this.#outer === undefined ? undefined : this.#outer.#holder(name)
  }
}
