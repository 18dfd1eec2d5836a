/**
 * What no rule knows, from the engine: the type and the rank of values, of two runs on inputs that are made up. Sizes are
 * left open: one run's must not be baked in. The answer stands in the model as what a file declares, so that
 * inference goes on from there, and whoever reads the model again knows the same.
 */
import { nodeReads } from '../ir/index.ts'
import type { Model, Node, ValueInfo, ValueType } from '../ir/index.ts'
import { inferShapes } from '../shapes/index.ts'
import type { ObservedValue } from './check-task.ts'

/** What the engine makes of `asked` as outputs of the model; null where it does not run, or not twice. */
export type Observe = (model: Model, asked: readonly string[]) => Promise<ReadonlyMap<string, ObservedValue> | null>

/** What follows from what was learnt needs no question; chains of operators without a rule are asked link by link. */
const MOST_ROUNDS = 8
/** Values that are asked for alone where the engine gives no answer to all of them together: one may be no tensor. */
const MOST_ALONE = 8

/** The model, with what was learnt; the same object where nothing was. */
export async function learnTypes(model: Model, observe: Observe): Promise<Model> {
  let learnt = model
  const asked = new Set<string>()
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const names = unknownValues(learnt).filter((name) => !asked.has(name))
    if (names.length === 0) break
    for (const name of names) asked.add(name)
    const found = await answers(learnt, names, observe)
    if (found.size > 0) learnt = withTypes(learnt, found)
  }
  return learnt
}

/** Of values that go from node to node: those of which not even the rank is known, though all that they are made of is. */
export function unknownValues(model: Model): readonly string[] {
  const { types } = inferShapes(model)
  const { nodes } = model.graph
  const read = new Set(nodes.flatMap((node) => [...nodeReads(node)]))
  const isOpen = (name: string): boolean => isUnknown(types.get(name))
  const made = new Set(nodes.flatMap(({ outputs }) => outputs))
  return nodes.flatMap((node: Node) => {
    const open = node.outputs.filter((name) => name !== '' && read.has(name) && isOpen(name))
    return open.length === 0 || [...nodeReads(node)].some((name) => made.has(name) && isOpen(name)) ? [] : open
  })
}

function isUnknown(type: ValueType | undefined): boolean {
  return type === undefined || (type.kind === 'tensor' && type.shape === null)
}

async function answers(
  model: Model,
  names: readonly string[],
  observe: Observe,
): Promise<ReadonlyMap<string, ObservedValue>> {
  const together = await observe(model, names)
  if (together !== null || names.length === 1) return together ?? new Map()
  const found = new Map<string, ObservedValue>()
  for (const name of names.slice(0, MOST_ALONE)) {
    for (const [each, value] of (await observe(model, [name])) ?? []) found.set(each, value)
  }
  return found
}

function withTypes(model: Model, found: ReadonlyMap<string, ObservedValue>): Model {
  const { graph } = model
  const infoOf = (name: string, { type, rank }: ObservedValue): ValueInfo => ({
    name,
    type: { kind: 'tensor', type, shape: Array.from({ length: rank }, () => null) },
  })
  const values = new Map(graph.values)
  for (const [name, value] of found) values.set(name, infoOf(name, value))
  // An output of the graph is declared there.
  const outputs = graph.outputs.map((info) => {
    const value = found.get(info.name)
    return value === undefined || info.type !== null ? info : infoOf(info.name, value)
  })
  return { ...model, graph: { ...graph, values, outputs } }
}

/** The model with these as its only outputs: what it gives otherwise may be what the binding cannot pass. */
export function askedModel(model: Model, asked: readonly string[]): Model {
  return { ...model, graph: { ...model.graph, outputs: asked.map((name) => ({ name, type: null })) } }
}
