/** Which values lie between what is trained and the loss. */
import { nodeReads } from '../../onnx/index.ts'
import type { GraphForm, Node } from '../../onnx/index.ts'
import { isFloatType, Site } from './site.ts'
import type { Facts } from './site.ts'

/** Steps, random numbers and shapes: their outputs may be of floating point, but no gradient flows through them. */
const FLAT: ReadonlySet<string> = new Set(
  `Floor Ceil Round Sign Shape Size ConstantOfShape EyeLike Hardmax ArgMax ArgMin NonZero IsNaN IsInf
  RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial QuantizeLinear
  DynamicQuantizeLinear BlackmanWindow HammingWindow HannWindow NonMaxSuppression StringNormalizer TfIdfVectorizer
  BitShift`.split(/\s+/),
)

/** Inputs that choose how an operator works: of floating point, and without a gradient. */
const CHOICES: ReadonlyMap<string, ReadonlySet<number>> = new Map([
  ['Resize', new Set([1, 2])],
  ['Upsample', new Set([1])],
  ['Dropout', new Set([1])],
  ['OneHot', new Set([0, 1])],
  ['Range', new Set([1])],
  ['MaxRoiPool', new Set([1])],
  ['CastLike', new Set([1])],
  // Whole numbers, and where they lie. Scales are of floating point, and have a gradient where it is asked for.
  ['com.microsoft:MatMulNBits', new Set([1, 4])],
])

export interface Activity {
  /** Values that depend on what is trained, through operators that let gradients pass. */
  readonly active: ReadonlySet<string>
  /** Of these, those on which the loss depends. */
  readonly wanted: ReadonlySet<string>
  /** Nodes with a wanted output, in the order of the graph. */
  readonly nodes: readonly Node[]
}

export function activityOf(graph: GraphForm, facts: Facts, trained: ReadonlySet<string>, loss: string): Activity {
  const active = new Set(trained)
  const live = new Set<Node>()
  for (const node of graph.nodes) {
    if (!passes(node, active)) continue
    live.add(node)
    for (const name of node.outputs) if (name !== '' && mayBeFloat(node, facts, name)) active.add(name)
  }
  const wanted = new Set(active.has(loss) ? [loss] : [])
  const nodes: Node[] = []
  for (const node of graph.nodes.toReversed()) {
    if (!live.has(node) || !node.outputs.some((name) => wanted.has(name))) continue
    nodes.push(node)
    for (const name of flowing(node)) if (active.has(name)) wanted.add(name)
  }
  return { active, wanted, nodes: nodes.reverse() }
}

function passes(node: Node, active: ReadonlySet<string>): boolean {
  return !(node.domain === '' && FLAT.has(node.opType)) && flowing(node).some((name) => active.has(name))
}

function flowing(node: Node): readonly string[] {
  const choices = CHOICES.get(node.domain === '' ? node.opType : `${node.domain}:${node.opType}`)
  if (choices !== undefined) return node.inputs.filter((name, index) => name !== '' && !choices.has(index))
  return [...nodeReads(node)]
}

/** A sequence or an optional value may hold floating point. */
function mayBeFloat(node: Node, facts: Facts, name: string): boolean {
  const type = new Site(node, facts).type(name)
  return type === undefined || isFloatType(type)
}
