/** A model in the making: nodes, parameters, inputs and outputs, in the one intermediate form. */
import { freshNames, NO_ENTRIES } from '../../onnx/index.ts'
import type { DataType, Dimension, Model, TensorValue, ValueInfo } from '../../onnx/index.ts'
import { NodeBuilder } from '../autodiff/node-builder.ts'
import type { Attributes } from '../autodiff/node-builder.ts'

/** The opset of graphs that weft makes. */
const OPSET = 21
const IR_VERSION = 10

export function emptyModel(name: string): Model {
  return {
    irVersion: IR_VERSION,
    opsets: new Map([['', OPSET]]),
    producer: { name: 'weft', version: '' },
    domain: '',
    modelVersion: 0n,
    graph: {
      name,
      nodes: [],
      inputs: [],
      outputs: [],
      initializers: new Map(),
      sparseInitializers: NO_ENTRIES,
      values: NO_ENTRIES,
      quantization: NO_ENTRIES,
      metadata: NO_ENTRIES,
    },
    functions: [],
    metadata: NO_ENTRIES,
  }
}

/** A node that is still to be made: its operator and its inputs. */
export type LastNode = readonly [opType: string, inputs: readonly string[]]

/** Goes on with a model; the argument stays as it is. */
export class GraphMaker {
  #model: Model
  readonly #nodes: NodeBuilder
  readonly #inputs: ValueInfo[]
  readonly #outputs: ValueInfo[]
  readonly #initializers: Map<string, TensorValue>

  constructor(model: Model, prefix = '') {
    const { graph } = model
    this.#model = model
    this.#nodes = new NodeBuilder(freshNames(graph), prefix)
    this.#nodes.nodes.push(...graph.nodes)
    this.#inputs = [...graph.inputs]
    this.#outputs = [...graph.outputs]
    this.#initializers = new Map(graph.initializers)
  }

  /** What the names of new values begin with from here on. */
  named(prefix: string): void {
    this.#nodes.startsWith(prefix)
  }

  input(name: string, type: DataType, shape: readonly Dimension[]): string {
    this.#inputs.push({ name, type: { kind: 'tensor', type, shape } })
    return name
  }

  /** @param value the value that goes out; under `name`, where it has another one */
  output(name: string, type: DataType, shape: readonly Dimension[], value = name): void {
    if (value !== name) this.#nodes.into('Identity', [value], [name])
    this.#outputs.push({ name, type: { kind: 'tensor', type, shape } })
  }

  /** One node whose value goes out, under that name from the start: an Identity behind it would be a copy. */
  outputBy(name: string, dims: readonly number[], [opType, inputs]: LastNode): string {
    this.#nodes.into(opType, inputs, [name])
    this.#outputs.push({ name, type: { kind: 'tensor', type: 'float32', shape: dims } })
    return name
  }

  op(opType: string, inputs: readonly (string | undefined)[], attributes: Attributes = {}): string {
    return this.#nodes.op(opType, inputs, attributes)
  }

  ops(opType: string, inputs: readonly (string | undefined)[], outputs: number, attributes: Attributes = {}): string[] {
    return this.#nodes.ops(opType, inputs, outputs, attributes)
  }

  /** A float32 scalar. */
  scalar(value: number): string {
    return this.#nodes.scalar('float32', value)
  }

  int64s(values: readonly number[]): string {
    return this.#nodes.int64s(values)
  }

  constant(type: DataType, dims: readonly number[], values: readonly number[]): string {
    return this.#nodes.constant(type, dims, values)
  }

  /** float32 that may be trained, under a name of its own. */
  parameter(name: string, dims: readonly number[], values: Float32Array): string {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.#initializers.set(name, { name, type: 'float32', dims, data: { kind: 'bytes', bytes } })
    return name
  }

  /** Nodes and weights of another model, whose names are none of this one's; what it takes is here already. */
  graft({ graph, opsets }: Model): void {
    this.#nodes.nodes.push(...graph.nodes)
    for (const [name, tensor] of graph.initializers) this.#initializers.set(name, tensor)
    const all = new Map(this.#model.opsets)
    for (const [domain, version] of opsets) all.set(domain, Math.max(version, all.get(domain) ?? 0))
    this.#model = { ...this.#model, opsets: all }
  }

  /** Initializers become inputs: a value for them comes with every run. */
  demote(names: readonly string[]): void {
    for (const name of names) {
      const tensor = this.#initializers.get(name)
      if (tensor === undefined) continue
      this.#initializers.delete(name)
      this.input(name, tensor.type, tensor.dims)
    }
  }

  /** Outputs go, and the values that they named stay. */
  dropOutputs(names: ReadonlySet<string>): void {
    const kept = this.#outputs.filter(({ name }) => !names.has(name))
    this.#outputs.splice(0, this.#outputs.length, ...kept)
  }

  model(): Model {
    const { graph } = this.#model
    return {
      ...this.#model,
      graph: {
        ...graph,
        nodes: [...this.#nodes.nodes],
        inputs: [...this.#inputs],
        outputs: [...this.#outputs],
        initializers: new Map([...this.#initializers, ...this.#nodes.initializers]),
      },
    }
  }
}
