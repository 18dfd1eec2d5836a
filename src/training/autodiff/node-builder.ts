/** Grows a graph by nodes and constants with names that nobody has. */
import { NO_ENTRIES } from '../../onnx/index.ts'
import type { Attribute, DataType, FreshNames, GraphForm, Node, TensorValue } from '../../onnx/index.ts'
import { bytesOfNumbers } from './elements.ts'

/** Whole numbers are `int`, lists of them `ints`, texts `string`. */
export type Attributes = Readonly<Record<string, number | string | readonly number[] | Attribute>>

export class NodeBuilder {
  readonly nodes: Node[] = []
  /** Constants that were made, in the order of their making. */
  readonly initializers = new Map<string, TensorValue>()
  readonly fresh: FreshNames
  readonly #constants = new Map<string, string>()
  #prefix: string

  constructor(fresh: FreshNames, prefix = 'gradient') {
    this.fresh = fresh
    this.#prefix = prefix
  }

  /** What the names of new values begin with from here on. */
  startsWith(prefix: string): void {
    this.#prefix = prefix
  }

  /** One node with one output. Empty inputs at the end are left out. */
  op(opType: string, inputs: readonly (string | undefined)[], attributes: Attributes = {}, domain = ''): string {
    return this.ops(opType, inputs, 1, attributes, domain)[0]!
  }

  /** One node with several outputs. */
  ops(
    opType: string,
    inputs: readonly (string | undefined)[],
    outputs: number,
    attributes: Attributes = {},
    domain = '',
  ): string[] {
    const names = Array.from({ length: outputs }, () => this.fresh(`${this.#prefix}/${opType}`))
    this.into(opType, inputs, names, attributes, domain)
    return names
  }

  /** One node that makes values whose names are given. */
  into(
    opType: string,
    inputs: readonly (string | undefined)[],
    outputs: readonly string[],
    attributes: Attributes = {},
    domain = '',
  ): void {
    const given = inputs.map((name) => name ?? '')
    while (given.at(-1) === '') given.pop()
    this.nodes.push({
      name: '',
      opType,
      domain,
      overload: '',
      inputs: given,
      outputs,
      attributes: attributesOf(attributes),
      metadata: NO_ENTRIES,
    })
  }

  /** int64 [n]; equal ones are made once. */
  int64s(values: readonly number[]): string {
    return this.constant('int64', [values.length], values)
  }

  /** int64 [] */
  int64(value: number): string {
    return this.constant('int64', [], [value])
  }

  /** A scalar of any numeric type. */
  scalar(type: DataType, value: number): string {
    return this.constant(type, [], [value])
  }

  constant(type: DataType, dims: readonly number[], values: readonly number[]): string {
    const key = `${type}[${dims.join()}]${values.map((value) => (Object.is(value, -0) ? '-0' : String(value))).join()}`
    const known = this.#constants.get(key)
    if (known !== undefined) return known
    const name = this.fresh(`${this.#prefix}/constant`)
    this.initializers.set(name, { name, type, dims, data: { kind: 'bytes', bytes: bytesOfNumbers(type, values) } })
    this.#constants.set(key, name)
    return name
  }

  /** The graph with these nodes in place of its own, and the constants beside its own. */
  applied(graph: GraphForm): GraphForm {
    return { ...graph, nodes: this.nodes, initializers: new Map([...graph.initializers, ...this.initializers]) }
  }
}

export function attributesOf(attributes: Attributes): ReadonlyMap<string, Attribute> {
  const entries = Object.entries(attributes)
  return entries.length === 0 ? NO_ENTRIES : new Map(entries.map(([name, value]) => [name, attributeOf(value)]))
}

function attributeOf(value: number | string | readonly number[] | Attribute): Attribute {
  if (typeof value === 'number') return { kind: 'int', value: BigInt(value) }
  if (typeof value === 'string') return { kind: 'string', value: Uint8Array.from(Buffer.from(value)) }
  return 'kind' in value ? value : { kind: 'ints', values: value.map(BigInt) }
}

export const float = (value: number): Attribute => ({ kind: 'float', value })
