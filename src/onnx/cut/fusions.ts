/**
 * Nodes that the engine's optimizer may make one of (ONNX Runtime 1.30, levels basic to all). A cut between them changes
 * which kernel runs, and with it the last bits: measured, 2e-6 for Conv + BatchNormalization, 3.5 % for a quantised
 * operator. The rules are from above: what they hold together need not be fused. What they miss, the check finds.
 */
import { attentionGroups } from './fusion-attention.ts'
import { neighboursOf } from './neighbours.ts'
import type { Neighbours } from './neighbours.ts'
import type { Structure } from './structure.ts'

/** Nodes that stand in one part. */
export type FusionGroup = readonly number[]

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '))

const CONVOLUTIONS = words('Conv ConvTranspose ConvInteger FusedConv')
const PRODUCTS = words('MatMul Gemm FusedMatMul')
const ACTIVATIONS = words(
  'Relu LeakyRelu PRelu Sigmoid Tanh Clip HardSigmoid HardSwish Elu Selu Celu Gelu Mish Softplus Softsign ThresholdedRelu',
)
const NORMALIZATIONS = words('LayerNormalization SimplifiedLayerNormalization RMSNormalization')
const SCALINGS = words('Mul Div')
/** Their order of summation follows the layout, which `all` makes that of convolutions. */
const LAYOUT_SENSITIVE = words('AveragePool GlobalAveragePool BatchNormalization Add Sum Resize Upsample')
const LAYOUT_KEEPING = words(
  'MaxPool AveragePool GlobalMaxPool GlobalAveragePool Relu LeakyRelu Sigmoid Tanh Clip HardSigmoid HardSwish Add Sum Mul Concat BatchNormalization Resize Upsample',
)

export function fusionGroups(structure: Structure): readonly FusionGroup[] {
  const near = neighboursOf(structure)
  const groups: FusionGroup[] = []
  const inLayout = layoutOf(structure, near)
  for (const [node, kind] of structure.kinds.entries()) {
    if (kind === 'constant' || kind === 'dead') continue
    for (const next of near.after(node)) {
      if (fuses(near, node, next) || (inLayout[node] === 1 && LAYOUT_SENSITIVE.has(near.op(next)))) {
        groups.push([node, next])
      }
    }
    // Of two pairs in a row the engine makes one, and loses what the first gives to others (a part is refused).
    if (kind === 'dequantize' && near.after(node).some((next) => near.op(next) === 'QuantizeLinear')) {
      groups.push([...near.before(node), ...near.after(node)])
    }
    const pattern = patternAt(near, node)
    if (pattern !== null) groups.push(pattern)
  }
  return [...groups, ...attentionGroups(structure, near)]
}

/** Two nodes of which one reads the other. */
function fuses(near: Neighbours, node: number, next: number): boolean {
  const [op, after] = [near.op(node), near.op(next)]
  if (after === 'QuantizeLinear' || op === 'DequantizeLinear') return true
  // It is moved along to meet another one, and what it passes then sums in another order.
  if (op === 'DynamicQuantizeLinear' || op === 'Transpose' || after === 'Transpose') return true
  if (CONVOLUTIONS.has(op)) {
    if (after === 'BatchNormalization' || after === 'Add' || after === 'Sum') return true
    return near.isSole(node) && (ACTIVATIONS.has(after) || (SCALINGS.has(after) && near.hasConstant(next)))
  }
  if (PRODUCTS.has(op)) {
    // A bias. What is added to a residual is no part of the product: decoders are cut there.
    if (after === 'BatchNormalization' || after === 'Sum' || (after === 'Add' && near.hasConstant(next))) return true
    return near.isSole(node) && (ACTIVATIONS.has(after) || (SCALINGS.has(after) && near.hasConstant(next)))
  }
  if (PRODUCTS.has(after)) return SCALINGS.has(op) && near.hasConstant(node)
  if (op === 'Pad') return CONVOLUTIONS.has(after) || after === 'AveragePool' || after === 'MaxPool'
  if (NORMALIZATIONS.has(after)) return op === 'Add' || NORMALIZATIONS.has(op)
  if (after === 'Add' && op === 'Gather') return true
  if ((op === 'Add' || op === 'Sum') && ACTIVATIONS.has(after)) {
    return near.before(node).some((source) => CONVOLUTIONS.has(near.op(source)))
  }
  return op === after && (op === 'Cast' || op === 'Reshape')
}

/** What comes together around an operator that stands for a whole formula. */
function patternAt(near: Neighbours, node: number): FusionGroup | null {
  switch (near.op(node)) {
    // x / 2 * (1 + erf(x / sqrt 2))
    case 'Erf':
      return around(near, node, [2, words('Mul Div Add')], [3, words('Add Mul')])
    // The same by tanh, of x + 0.04 x^3.
    case 'Tanh': {
      const gate = near.after(node).some((next) => near.op(next) === 'Add' && near.hasConstant(next))
      return gate ? around(near, node, [5, words('Mul Add Pow Cast')], [3, words('Add Mul')]) : null
    }
    case 'Sigmoid':
      return around(near, node, [1, SCALINGS], [1, words('Mul')])
    // Normalization: (x - mean) / sqrt(variance + epsilon) * weight + bias.
    case 'Sqrt': {
      const epsilon = near.before(node).some((source) => near.op(source) === 'Add')
      const up = words('Bias ReduceMean Pow Mul Sub Cast')
      const formula = epsilon ? around(near, node, [5, up], [3, words('Div Reciprocal Mul Bias Cast')]) : null
      return formula === null ? null : [...formula, ...formula.flatMap((each) => addedBefore(near, each))]
    }
    case 'MatMulInteger':
    case 'ConvInteger':
      return around(near, node, [1, words('DynamicQuantizeLinear')], [3, words('Cast Mul Add')])
    case 'Add':
      return near.after(node).some((next) => NORMALIZATIONS.has(near.op(next)))
        ? around(near, node, [2, words('Bias MatMul Gemm Gather')], [1, NORMALIZATIONS])
        : null
    default:
      return null
  }
}

/** The sum that is normalised, of a residual and what comes to it with its bias: not the sums before it. */
function addedBefore(near: Neighbours, node: number): readonly number[] {
  const sums = near.before(node).filter((source) => near.op(source) === 'Add')
  return sums.flatMap((sum) => [sum, ...near.before(sum).filter((source) => isBias(near, source))])
}

function isBias(near: Neighbours, node: number): boolean {
  return near.op(node) === 'Add' && near.hasConstant(node)
}

/** No pattern is larger; what grows beyond is a hub, and would cost a walk over it from each of its readers. */
const MOST_IN_GROUP = 64

/** `Bias`: an addition of a constant. */
type Reach = readonly [steps: number, ops: ReadonlySet<string>]

function around(near: Neighbours, node: number, up: Reach, down: Reach): FusionGroup {
  const group = new Set([node])
  const grow = ([steps, ops]: Reach, beside: (node: number) => readonly number[]): void => {
    let edge = [node]
    for (let step = 0; step < steps && edge.length > 0; step++) {
      const next: number[] = []
      for (const each of edge.flatMap((from) => beside(from).slice(0, MOST_IN_GROUP))) {
        const fits = ops.has(near.op(each)) || (ops.has('Bias') && isBias(near, each))
        if (!fits || group.has(each) || group.size === MOST_IN_GROUP) continue
        group.add(each)
        next.push(each)
      }
      edge = next
    }
  }
  grow(up, near.before)
  grow(down, near.after)
  return [...group]
}

/** Nodes whose output lies in blocks of channels (NCHWc) at the level `all`: convolutions, and what follows from them. */
function layoutOf({ nodes }: Structure, near: Neighbours): Uint8Array {
  const inLayout = new Uint8Array(nodes.length)
  for (const node of nodes.keys()) {
    const op = near.op(node)
    if (op === 'Conv' && near.hasConstant(node)) inLayout[node] = 1
    else if (LAYOUT_KEEPING.has(op)) {
      const before = near.before(node)
      if (before.length > 0 && before.every((source) => inLayout[source] === 1)) inLayout[node] = 1
    }
  }
  return inLayout
}
