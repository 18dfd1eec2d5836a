/** Attention, from the normalization that feeds its projections to what leaves them: one kernel where the engine knows it. */
import type { FusionGroup } from './fusions.ts'
import type { Neighbours } from './neighbours.ts'
import type { Structure } from './structure.ts'

const PRODUCTS = new Set(['MatMul', 'Gemm', 'FusedMatMul'])
/** Between the scores and the softmax. */
const SCORES = new Set(['Add', 'Mul', 'Div', 'Where', 'Cast', 'Sub', 'Max'])
/** Between a projection and the scores, or the weighted sum. */
const HEADS = new Set([
  'Add',
  'Transpose',
  'Reshape',
  'Mul',
  'Div',
  'Split',
  'Slice',
  'Squeeze',
  'Unsqueeze',
  'Gather',
  'Expand',
  'Concat',
  'Cast',
  'Neg',
  'Sub',
])
const MOST_STEPS = 12
/** A graph may be made so that much leads to one softmax. */
const MOST_SEEN = 256

export function attentionGroups({ nodes }: Structure, near: Neighbours): readonly FusionGroup[] {
  const groups: FusionGroup[] = []
  for (const node of nodes.keys()) {
    if (near.op(node) !== 'Softmax') continue
    const group = new Set([node])
    const scores = backTo(near, node, SCORES, group, 6)
    // A product with a weight is a layer, and the softmax behind it no attention.
    if (scores.length === 0 || scores.some((product) => near.hasConstant(product))) continue
    for (const product of scores) headsBefore(near, product, group)
    for (const sum of near.after(node)) {
      if (!PRODUCTS.has(near.op(sum))) {
        if (near.op(sum) === 'Cast' || near.op(sum) === 'Dropout') group.add(sum)
        continue
      }
      if (near.hasConstant(sum)) continue
      group.add(sum)
      headsBefore(near, sum, group)
      outwards(near, sum, group)
    }
    groups.push([...group])
  }
  return groups
}

/** The products that are reached over `ops` alone, with what lies between them. */
function backTo(near: Neighbours, from: number, ops: ReadonlySet<string>, group: Set<number>, steps: number): number[] {
  const found: number[] = []
  const seen = new Set<number>()
  // Of an addition, the side of a mask leads to no product and may come from far away.
  const walk = (node: number, left: number): boolean => {
    let leads = false
    if (seen.has(node) || seen.size > MOST_SEEN) return false
    seen.add(node)
    for (const source of near.before(node)) {
      if (PRODUCTS.has(near.op(source))) {
        if (!group.has(source)) found.push(source)
        group.add(source)
        leads = true
      } else if (left > 0 && ops.has(near.op(source)) && !group.has(source) && walk(source, left - 1)) {
        group.add(source)
        leads = true
      }
    }
    return leads
  }
  walk(from, steps)
  return found
}

/** The projections of a product's sides, and what they project: the engine looks for a normalization there. */
function headsBefore(near: Neighbours, product: number, group: Set<number>): void {
  for (const projection of backTo(near, product, HEADS, group, MOST_STEPS)) {
    for (const source of near.before(projection)) group.add(source)
  }
}

/** Heads side by side again, the projection of them, and the sums with its bias and with what came in. */
function outwards(near: Neighbours, sum: number, group: Set<number>): void {
  let node = sum
  let projected = false
  for (let step = 0; step < MOST_STEPS; step++) {
    const next = near.after(node)[0]
    if (next === undefined || near.after(node).length > 1) return
    const op = near.op(next)
    if (projected ? op !== 'Add' : !HEADS.has(op) && !PRODUCTS.has(op)) return
    group.add(next)
    if (PRODUCTS.has(op)) projected = true
    node = next
  }
}
