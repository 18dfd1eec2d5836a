/**
 * Models of which the engine's binding (1.30) cannot pass an input or an output, in a form that it can, for a check.
 * Tensors of narrow floats and integers go in and out as float32, which holds them all. A sequence or an optional comes
 * in as tensors. What goes out and is no tensor is compared by the tensors that it is put together from.
 */
import { freshNames, NO_ENTRIES, nodeReads } from '../ir/index.ts'
import type { DataType, Graph, Model, Node, ValueInfo, ValueType } from '../ir/index.ts'
import { castNode } from './partition.ts'
import { BOUNDARY_TYPES } from './types.ts'

export interface Bindable {
  /** Whether an input or output of the graph has to be replaced. */
  readonly concerns: (graph: Graph) => boolean
  /** The whole model, or a part of it, with the same names for what is replaced in each. */
  readonly apply: (model: Model) => Model
}

interface Replacement {
  readonly infos: readonly ValueInfo[]
  readonly nodes: readonly Node[]
}

type Types = ReadonlyMap<string, ValueType>

const CASTABLE: ReadonlySet<DataType> = new Set<DataType>([
  'bfloat16',
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'uint4',
  'int4',
])

/** Null: all passes as it is, or something cannot be made to. */
export function bindableForm({ graph }: Model, types: Types): Bindable | null {
  const fresh = freshNames(graph)
  const inputs = new Map<string, Replacement>()
  const outputs = new Map<string, Replacement>()
  for (const { name, type } of graph.inputs) {
    if (passes(type) || graph.initializers.has(name)) continue
    const replaced = replacedInput(name, type, fresh)
    if (replaced === null) return null
    inputs.set(name, replaced)
  }
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)))
  for (const { name, type } of graph.outputs) {
    const known = type ?? types.get(name) ?? null
    if (!passes(known)) outputs.set(name, replacedOutput(name, { makers, types, fresh, known }))
  }
  if (inputs.size === 0 && outputs.size === 0) return null
  return {
    concerns: (of) =>
      of.inputs.some(({ name }) => inputs.has(name)) || of.outputs.some(({ name }) => outputs.has(name)),
    apply: (model) => applied(model, inputs, outputs),
  }
}

/** What has no declared type is the engine's to know. */
function passes(type: ValueType | null): boolean {
  return type === null || (type.kind === 'tensor' && BOUNDARY_TYPES.has(type.type))
}

function replacedInput(name: string, type: ValueType | null, fresh: (wish: string) => string): Replacement | null {
  const element = type?.kind === 'sequence' || type?.kind === 'optional' ? type.element : null
  if (type?.kind === 'tensor' && CASTABLE.has(type.type)) {
    const carrier = fresh(`${name}.float32`)
    const info = { name: carrier, type: { ...type, type: 'float32' } as const }
    return { infos: [info], nodes: [castNode(carrier, name, type.type)] }
  }
  if (element?.kind !== 'tensor' || !passes(element)) return null
  const count = type?.kind === 'sequence' ? 2 : 1
  const infos = Array.from({ length: count }, (_, at) => ({ name: fresh(`${name}.${at}`), type: element }))
  const opType = type?.kind === 'sequence' ? 'SequenceConstruct' : 'Optional'
  const given = infos.map((info) => info.name)
  return { infos, nodes: [plainNode(opType, given, name)] }
}

interface OutputContext {
  readonly makers: ReadonlyMap<string, Node>
  readonly types: Types
  readonly fresh: (wish: string) => string
  readonly known: ValueType | null
}

function replacedOutput(name: string, { makers, types, fresh, known }: OutputContext): Replacement {
  const infos: ValueInfo[] = []
  const nodes: Node[] = []
  const seen = new Set([name])
  const left = [name]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const type = next === name ? known : types.get(next)
    if (type?.kind !== 'tensor') {
      const maker = makers.get(next)
      for (const source of maker === undefined ? [] : nodeReads(maker)) {
        if (!seen.has(source)) left.push(source)
        seen.add(source)
      }
      continue
    }
    const given = fresh(`${next}.compared`)
    const isNarrow = CASTABLE.has(type.type)
    if (!isNarrow && !passes(type)) continue
    infos.push({ name: given, type: { ...type, type: isNarrow ? 'float32' : type.type, shape: null } })
    nodes.push(isNarrow ? castNode(next, given, 'float32') : plainNode('Identity', [next], given))
  }
  return { infos, nodes }
}

function applied(
  model: Model,
  inputs: ReadonlyMap<string, Replacement>,
  outputs: ReadonlyMap<string, Replacement>,
): Model {
  const { graph } = model
  const replaced = (infos: readonly ValueInfo[], by: ReadonlyMap<string, Replacement>): readonly ValueInfo[] =>
    infos.flatMap((info) => by.get(info.name)?.infos ?? [info])
  const added = (infos: readonly ValueInfo[], by: ReadonlyMap<string, Replacement>): readonly Node[] =>
    infos.flatMap(({ name }) => by.get(name)?.nodes ?? [])
  return {
    ...model,
    graph: {
      ...graph,
      nodes: [...added(graph.inputs, inputs), ...graph.nodes, ...added(graph.outputs, outputs)],
      inputs: replaced(graph.inputs, inputs),
      outputs: replaced(graph.outputs, outputs),
    },
  }
}

function plainNode(opType: string, inputs: readonly string[], output: string): Node {
  const text = { name: '', opType, domain: '', overload: '' }
  return { ...text, inputs, outputs: [output], attributes: NO_ENTRIES, metadata: NO_ENTRIES }
}
