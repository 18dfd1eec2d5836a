/**
 * Keeps the activations of a training graph within a budget: the forward pass is cut into segments, and what the backward
 * pass needs of a segment is computed again, from what went into it, when the backward pass comes to it (Chen et al.,
 * arXiv 1604.06174).
 */
import { DATA_TYPES, dimensionSize } from '../../onnx/index.ts'
import type { Node } from '../../onnx/index.ts'
import { BuildingSite } from './building-site.ts'
import { ELEMENT_BYTES } from './elements.ts'
import { MemoryBudgetError } from './errors.ts'
import { NO_NODE } from './gradient-site.ts'
import { NodeBuilder } from './node-builder.ts'
import type { Facts } from './site.ts'
import type { Checkpointing } from './types.ts'

/** More segments save less than they cost. */
const MOST_SEGMENTS = 128

/** They draw other numbers the second time, or have graphs of their own. */
const NEVER_AGAIN: ReadonlySet<string> = new Set(
  'Dropout Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike If Loop Scan'.split(' '),
)

export interface Passes {
  readonly forward: readonly Node[]
  readonly backward: readonly Node[]
  /** Of the graph. */
  readonly inputs: ReadonlySet<string>
}

export interface Checkpointed extends Passes {
  /** Nodes that run a second time. */
  readonly recomputed: number
}

/**
 * @param builder that made the backward pass: names, and constants for what is added
 * @throws MemoryBudgetError
 */
export function checkpoint(
  passes: Passes,
  facts: Facts,
  builder: NodeBuilder,
  { bytes: budget, sizes }: Checkpointing,
): Checkpointed {
  const size = (name: string): number => valueBytes(name, facts, sizes)
  const saved = savedValues(passes)
  const total = sum(saved, size)
  if (total <= budget) return { ...passes, recomputed: 0 }
  let least = total
  for (let count = 2; count <= Math.min(MOST_SEGMENTS, passes.forward.length); count++) {
    const plan = segments(passes.forward, saved, count, size)
    least = Math.min(least, plan.bytes)
    if (plan.bytes <= budget) return recompute(passes, plan, facts, builder)
  }
  throw new MemoryBudgetError(budget, least)
}

function sum(names: Iterable<string>, size: (name: string) => number): number {
  let total = 0
  for (const name of names) total += size(name)
  return total
}

function valueBytes(name: string, { types, floatType }: Facts, sizes?: ReadonlyMap<string, number>): number {
  const type = types.get(name)
  if (type?.kind !== 'tensor') return 0
  const elements = (type.shape ?? []).reduce<number>(
    (product, size) => product * dimensionSize(size, (free) => sizes?.get(free ?? '') ?? 1),
    1,
  )
  return elements * (ELEMENT_BYTES[type.type] ?? ELEMENT_BYTES[floatType] ?? 4)
}

/** Values of the forward pass that the backward pass reads. */
function savedValues({ forward, backward }: Passes): ReadonlySet<string> {
  const made = new Set(forward.flatMap(({ outputs }) => outputs))
  made.delete('')
  return new Set(backward.flatMap(({ inputs }) => inputs).filter((name) => made.has(name)))
}

interface Plan {
  /** By value that is computed again: its segment. */
  readonly again: ReadonlyMap<string, number>
  readonly segmentOf: ReadonlyMap<string, number>
  /** Estimate of the most that is held at once. */
  readonly bytes: number
}

/** Segments of much the same size; the last is not computed again, for the backward pass begins with it. */
function segments(
  forward: readonly Node[],
  saved: ReadonlySet<string>,
  count: number,
  size: (name: string) => number,
): Plan {
  const segmentOf = new Map<string, number>()
  const share = sum(saved, size) / count
  let held = 0
  for (const { outputs } of forward) {
    const segment = Math.min(count - 1, Math.floor(held / share))
    for (const name of outputs) {
      if (name === '') continue
      segmentOf.set(name, segment)
      if (saved.has(name)) held += size(name)
    }
  }
  const kept = keptValues(forward, saved, segmentOf)
  const again = new Map<string, number>()
  const heldIn = Array.from({ length: count }, () => 0)
  for (const name of saved) {
    const segment = segmentOf.get(name)!
    if (kept.has(name)) continue
    heldIn[segment]! += size(name)
    if (segment < count - 1) again.set(name, segment)
  }
  return { again, segmentOf, bytes: sum(kept, size) + Math.max(...heldIn) }
}

/** What goes from one segment into another, and what cannot be computed again. */
function keptValues(
  forward: readonly Node[],
  saved: ReadonlySet<string>,
  segmentOf: ReadonlyMap<string, number>,
): ReadonlySet<string> {
  const kept = new Set<string>()
  for (const { opType, inputs, outputs } of forward) {
    const segment = segmentOf.get(outputs.find((name) => name !== '') ?? '')
    for (const name of inputs) {
      const from = segmentOf.get(name)
      if (from !== undefined && from !== segment) kept.add(name)
    }
    if (NEVER_AGAIN.has(opType)) for (const name of outputs) if (name !== '' && saved.has(name)) kept.add(name)
  }
  return kept
}

function recompute(
  { forward, backward, inputs }: Passes,
  plan: Plan,
  facts: Facts,
  builder: NodeBuilder,
): Checkpointed {
  const makers = new Map(forward.flatMap((node) => node.outputs.map((name): [string, Node] => [name, node])))
  const isDynamic = dynamicValues(forward, backward)
  const copies = new Map<string, string>()
  const done = new Set<number>()
  const nodes: Node[] = []
  let token: string | undefined
  let recomputed = 0
  for (const node of backward) {
    const segment =
      token === undefined ? undefined : plan.again.get(node.inputs.find((name) => plan.again.has(name)) ?? '')
    if (segment !== undefined && !done.has(segment)) {
      done.add(segment)
      const wanted = [...plan.again].flatMap(([name, own]) => (own === segment ? [name] : []))
      const added = copySegment(wanted, token!, { forward, inputs, makers, plan, facts, builder, copies, segment })
      recomputed += added.copied
      nodes.push(...added.nodes)
    }
    nodes.push({ ...node, inputs: node.inputs.map((name) => copies.get(name) ?? name) })
    const output = node.outputs[0] ?? ''
    if (isDynamic.has(output)) token = output
  }
  return { forward, backward: nodes, inputs, recomputed }
}

interface Copying {
  readonly forward: readonly Node[]
  /** Of the graph. */
  readonly inputs: ReadonlySet<string>
  readonly makers: ReadonlyMap<string, Node>
  readonly plan: Plan
  readonly facts: Facts
  readonly builder: NodeBuilder
  readonly copies: Map<string, string>
  readonly segment: number
}

/** The nodes of a segment once more, under other names, as far as the wanted values need them. */
function copySegment(
  wanted: readonly string[],
  token: string,
  { forward, makers, inputs, plan, facts, builder, copies, segment }: Copying,
): { readonly nodes: readonly Node[]; readonly copied: number } {
  const needed = new Set<Node>()
  const left = [...wanted]
  const isAgain = (name: string): boolean =>
    plan.segmentOf.get(name) === segment && !NEVER_AGAIN.has(makers.get(name)?.opType ?? '')
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    const maker = makers.get(name)
    if (maker === undefined || needed.has(maker) || !isAgain(name)) continue
    needed.add(maker)
    left.push(...maker.inputs)
  }
  const own = new NodeBuilder(builder.fresh, 'again')
  const site = new BuildingSite(NO_NODE, facts, own)
  const flat = site.reshape(token, [-1])
  const nothing = site.slice(flat, 0, 0, 0)
  const barriers = new Map<string, string>()
  // Without it the engine would see equal nodes and keep the first results, or run these nodes at once.
  const behind = (name: string): string => {
    if (name === '' || facts.types.get(name) === undefined || builder.initializers.has(name)) return name
    const known = barriers.get(name)
    if (known !== undefined) return known
    const type = site.type(name)!
    const empty = site.op('Cast', [nothing], { to: DATA_TYPES[type] })
    const joined = site.op('Concat', [site.reshape(name, [-1]), empty], { axis: 0 })
    const result = site.op('Reshape', [joined, site.op('Shape', [name])], { allowzero: 1 })
    barriers.set(name, result)
    return result
  }
  const made = forward.filter((node) => needed.has(node))
  const local = new Map<string, string>()
  for (const node of made)
    for (const name of node.outputs) if (name !== '') local.set(name, builder.fresh(`${name}/again`))
  const isConstant = (name: string): boolean => !plan.segmentOf.has(name) && !inputs.has(name)
  for (const node of made) {
    const read = node.inputs.map((name) => local.get(name) ?? (name === '' || isConstant(name) ? name : behind(name)))
    own.nodes.push({ ...node, name: '', inputs: read, outputs: node.outputs.map((name) => local.get(name) ?? '') })
  }
  for (const name of wanted) copies.set(name, local.get(name) ?? name)
  for (const [name, tensor] of own.initializers) builder.initializers.set(name, tensor)
  return { nodes: own.nodes, copied: made.length }
}

/** Values of the backward pass that no optimizer can compute in advance. */
function dynamicValues(forward: readonly Node[], backward: readonly Node[]): ReadonlySet<string> {
  const made = new Set(
    forward.flatMap(({ opType, inputs, outputs }) => (inputs.length === 0 || opType === 'Shape' ? [] : outputs)),
  )
  const dynamic = new Set<string>()
  for (const { opType, inputs, outputs } of backward) {
    if (opType === 'Shape' || opType === 'Size' || opType === 'ConstantOfShape') continue
    if (inputs.some((name) => dynamic.has(name) || made.has(name))) dynamic.add(outputs[0]!)
  }
  return dynamic
}
