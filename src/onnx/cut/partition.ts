/** Parts as models of their own: plain ONNX, whose inputs and outputs chain by name. */
import { DATA_TYPES, NO_ENTRIES, subgraphs } from '../ir/index.ts'
import type { DataType, Dimension, Model, Node, OnnxFunction, ValueInfo, ValueType } from '../ir/index.ts'
import type { Part } from './assign.ts'
import type { Structure } from './structure.ts'

export interface PartitionOptions {
  /**
   * Sends float16 values as float32, by a Cast at the end of one part and another at the start of the next. The engine
   * computes most float16 operators in float32 and drops pairs of casts between them, so that in the whole model such a
   * value may never have been rounded.
   * @default false
   */
  readonly halfAsFloat?: boolean | undefined
  /** Sends float32 values as float16, which rounds them. @default false */
  readonly floatAsHalf?: boolean | undefined
  /**
   * What is declared of values that cross. `all`: what is inferred. `fixed`: free sizes have names of their own, so that
   * the engine does not learn which are equal, which it may not know in the whole model, where it then fuses less.
   * `ranks`: no sizes, for the same reason. `wrong`: no sizes, since what was inferred is not so.
   * @default 'all'
   */
  readonly sizes?: 'all' | 'fixed' | 'ranks' | 'wrong' | undefined
}

export interface Partition {
  readonly model: Model
  /** What has to be fed, without initializers that an input of the same name could replace. */
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  /** For outputs under a name of their own: the value that they carry. */
  readonly carries: ReadonlyMap<string, string>
}

type Types = ReadonlyMap<string, ValueType>

export function partitionModel(
  structure: Structure,
  types: Types,
  parts: readonly Part[],
  options: PartitionOptions = {},
): readonly Partition[] {
  const carriers = carriersOf(structure, types, parts, options)
  return parts.map((part, index) => onePartition({ structure, types, options, carriers }, part, index))
}

/** What a value is sent as, under a name of its own. */
interface Carrier {
  readonly name: string
  readonly type: 'float16' | 'float32'
  /** Of the value itself. */
  readonly own: 'float16' | 'float32'
}

interface Context {
  readonly structure: Structure
  readonly types: Types
  readonly options: PartitionOptions
  /** By the value that is sent as another type. */
  readonly carriers: ReadonlyMap<string, Carrier>
}

function onePartition(context: Context, part: Part, index: number): Partition {
  const { model, nodes: all } = context.structure
  const { graph } = model
  const nodes = part.nodes.map((node) => all[node]!)
  const { inputs, outputs, before, after, carries } = boundaryOf(context, part)
  // The default of an input that a caller may replace stands in both places, where it is used.
  const replaceable = graph.inputs.filter(({ name }) => part.initializers.has(name))
  const named = new Set([...inputs, ...outputs].map(({ name }) => name))
  const made = new Set(nodes.flatMap((node) => node.outputs))
  return {
    inputs,
    outputs,
    carries,
    model: {
      ...model,
      functions: functionsOf(model, nodes),
      graph: {
        ...graph,
        name: `${graph.name}.${index}`,
        nodes: [...before, ...nodes, ...after],
        inputs: [...inputs, ...replaceable],
        outputs,
        initializers: only(graph.initializers, (name) => part.initializers.has(name)),
        sparseInitializers: only(graph.sparseInitializers, (name) => part.initializers.has(name)),
        values: only(graph.values, (name) => made.has(name) && !named.has(name)),
        quantization: only(graph.quantization, (name) => made.has(name) || part.initializers.has(name)),
      },
    },
  }
}

interface Boundary extends Pick<Partition, 'inputs' | 'outputs' | 'carries'> {
  /** Casts of what comes in and of what goes out. */
  readonly before: readonly Node[]
  readonly after: readonly Node[]
}

function boundaryOf(context: Context, part: Part): Boundary {
  const { structure, carriers } = context
  const { graph } = structure.model
  const declared = new Map(graph.inputs.map((info) => [info.name, info]))
  const results = new Map(graph.outputs.map((info) => [info.name, info]))
  const before: Node[] = []
  const after: Node[] = []
  const inputs = part.inputs.map(({ name, from }): ValueInfo => {
    if (from === 'graph') return declared.get(name)!
    const carrier = carriers.get(name)
    if (carrier === undefined) return boundaryInfo(context, name)
    before.push(castNode(carrier.name, name, carrier.own))
    return carrierInfo(context, name, carrier)
  })
  const outputs: ValueInfo[] = []
  const carries = new Map<string, string>()
  for (const { name, to, ofGraph } of part.outputs) {
    const carrier = to.length > 0 ? carriers.get(name) : undefined
    if (ofGraph) outputs.push(results.get(name)!)
    else if (carrier === undefined) outputs.push(boundaryInfo(context, name))
    if (carrier === undefined) continue
    after.push(castNode(name, carrier.name, carrier.type))
    outputs.push(carrierInfo(context, name, carrier))
    carries.set(carrier.name, name)
  }
  return { inputs, outputs, before, after, carries }
}

function only<T>(entries: ReadonlyMap<string, T>, wanted: (name: string) => boolean): ReadonlyMap<string, T> {
  return new Map([...entries].filter(([name]) => wanted(name)))
}

function boundaryInfo({ types, options }: Context, name: string): ValueInfo {
  const type = types.get(name)
  return { name, type: type === undefined ? null : sentType(name, type, options) }
}

function carrierInfo({ types, options }: Context, name: string, carrier: Carrier): ValueInfo {
  const sent = sentType(name, types.get(name)!, options)
  return { name: carrier.name, type: sent.kind === 'tensor' ? { ...sent, type: carrier.type } : sent }
}

/** Sizes that nobody knows get names, as ONNX wants for dimensions that are free. */
function sentType(name: string, type: ValueType, { sizes }: PartitionOptions): ValueType {
  if (type.kind !== 'tensor' || type.shape === null) return type
  const free = (axis: number): string => `${name}.${axis}`
  const kept = (dimension: Dimension): boolean =>
    dimension !== null &&
    (sizes === undefined || sizes === 'all' || (sizes === 'fixed' && typeof dimension === 'number'))
  return {
    ...type,
    shape: type.shape.map((dimension, axis) => (kept(dimension) ? dimension : free(axis))),
  }
}

export function castNode(from: string, to: string, type: DataType): Node {
  return {
    name: `weft.cast/${to}`,
    opType: 'Cast',
    domain: '',
    overload: '',
    inputs: [from],
    outputs: [to],
    attributes: new Map([['to', { kind: 'int', value: BigInt(DATA_TYPES[type]) }]]),
    metadata: NO_ENTRIES,
  }
}

/** New names for the values that cross as another type than their own. */
function carriersOf(
  structure: Structure,
  types: Types,
  parts: readonly Part[],
  { halfAsFloat, floatAsHalf }: PartitionOptions,
): ReadonlyMap<string, Carrier> {
  const carriers = new Map<string, Carrier>()
  if (halfAsFloat !== true && floatAsHalf !== true) return carriers
  const taken = new Set([...structure.producers.keys(), ...structure.inputs, ...structure.initializers])
  for (const { outputs } of parts) {
    for (const { name, to } of outputs) {
      const value = types.get(name)
      if (to.length === 0 || value?.kind !== 'tensor') continue
      const isHalf = value.type === 'float16' && halfAsFloat === true
      if (!isHalf && !(value.type === 'float32' && floatAsHalf === true)) continue
      const [own, type] = isHalf ? (['float16', 'float32'] as const) : (['float32', 'float16'] as const)
      let carrier = `${name}.${type}`
      while (taken.has(carrier)) carrier += '_'
      taken.add(carrier)
      carriers.set(name, { name: carrier, type, own })
    }
  }
  return carriers
}

/** The functions that nodes call, and those that these call. */
function functionsOf(model: Model, nodes: readonly Node[]): readonly OnnxFunction[] {
  if (model.functions.length === 0) return model.functions
  const found = new Set<OnnxFunction>()
  const named = Map.groupBy(model.functions, ({ name, domain }) => JSON.stringify([domain, name]))
  const pending = [...nodes]
  while (pending.length > 0) {
    const node = pending.pop()!
    for (const graph of subgraphs(node)) pending.push(...graph.nodes)
    for (const each of named.get(JSON.stringify([node.domain, node.opType])) ?? []) {
      if (found.has(each)) continue
      found.add(each)
      pending.push(...each.nodes)
    }
  }
  return model.functions.filter((each) => found.has(each))
}
