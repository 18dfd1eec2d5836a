/** Products of matrices. */
import type { DataType, Dimension, Shape } from '../../ir/index.ts'
import { broadcastShapes, tensor } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'

/** As numpy.matmul: vectors are rows on the left and columns on the right, leading axes are stretched. */
export function matrixProduct(call: Call, left: Shape, right: Shape): Shape {
  if (left === null || right === null || left.length === 0 || right.length === 0) return null
  const a = left.length === 1 ? [1, left[0]!] : left
  const b = right.length === 1 ? [right[0]!, 1] : right
  const batch = broadcastShapes(call.algebra, [a.slice(0, -2), b.slice(0, -2)])
  if (batch === null) return null
  const rows = left.length === 1 ? [] : [a.at(-2)!]
  const columns = right.length === 1 ? [] : [b.at(-1)!]
  return [...batch, ...rows, ...columns]
}

function product(left: number, right: number, type: (call: Call) => DataType | undefined): Rule {
  return (call) => [tensor(type(call), matrixProduct(call, call.shape(left), call.shape(right)))]
}

const gemm: Rule = (call) => {
  const [a, b] = [call.shapeOfRank(0, 2), call.shapeOfRank(1, 2)]
  const rows = a === null ? null : a[call.int('transA', 0) === 0 ? 0 : 1]!
  const columns = b === null ? null : b[call.int('transB', 0) === 0 ? 1 : 0]!
  return [tensor(call.type(0), [rows, columns])]
}

const quantizedGemm: Rule = (call) => {
  const [a, b] = [call.shapeOfRank(0, 2), call.shapeOfRank(3, 2)]
  const rows = a === null ? null : a[call.int('transA', 0) === 0 ? 0 : 1]!
  const columns = b === null ? null : b[call.int('transB', 0) === 0 ? 1 : 0]!
  return [tensor(call.given(8) ? call.type(8) : 'float32', [rows, columns])]
}

const fusedMatMul: Rule = (call) => {
  const turned = (shape: Shape, transposed: string, batch: string): Shape => {
    if (shape === null || shape.length < 2) return shape
    // Batch axes that are turned stand between the two of the matrix: [m, batch..., k] for [batch..., m, k].
    const straight = call.int(batch, 0) === 0 ? shape : [...shape.slice(1, -1), shape[0]!, shape.at(-1)!]
    if (call.int(transposed, 0) === 0) return straight
    return [...straight.slice(0, -2), straight.at(-1)!, straight.at(-2)!]
  }
  const [left, right] = [turned(call.shape(0), 'transA', 'transBatchA'), turned(call.shape(1), 'transB', 'transBatchB')]
  return [tensor(call.type(0), matrixProduct(call, left, right))]
}

/** Weights in blocks: the attributes say what they are once unpacked. */
const matMulBlocks: Rule = (call) => {
  const data = call.shape(0)
  return [tensor(call.type(0), data && [...data.slice(0, -1), call.int('N') ?? null])]
}

const ONNX_EINSUM = /^[A-Za-z.,]*(?:->[A-Za-z.]*)?$/

const einsum: Rule = (call) => {
  const equation = call.text('equation', '?').replaceAll(/\s/g, '')
  if (equation.length > 512 || !ONNX_EINSUM.test(equation)) return [tensor(call.type(0), null)]
  const [left = '', right] = equation.split('->')
  const terms = left.split(',').map((term) => term.replace('...', '.'))
  const sizes = new Map<string, Dimension>()
  const wide: Shape[] = []
  for (const [input, term] of terms.entries()) {
    const shape = call.shape(input)
    const named = term.replace('.', '').length
    if (shape === null || shape.length < named || (!term.includes('.') && shape.length !== named))
      return [tensor(call.type(0), null)]
    const hidden = shape.length - named
    const before = term.includes('.') ? term.indexOf('.') : named
    const place = [...shape.slice(0, before), ...shape.slice(before + hidden)]
    for (const [at, letter] of term.replace('.', '').split('').entries())
      sizes.set(letter, call.algebra.broadcast(sizes.get(letter) ?? 1, place[at]!))
    if (term.includes('.')) wide.push(shape.slice(before, before + hidden))
  }
  const ellipsis = broadcastShapes(call.algebra, wide)
  const output = right?.replace('...', '.') ?? implicitOutput(terms)
  const shape = output.split('').flatMap((letter) => (letter === '.' ? (ellipsis ?? []) : [sizes.get(letter) ?? null]))
  return [tensor(call.type(0), shape)]
}

/** Without an arrow: what stands once, in the order of the alphabet. */
function implicitOutput(terms: readonly string[]): string {
  const all = terms.join('')
  const letters = [...new Set(all)].filter((letter) => letter !== '.')
  const once = letters.filter((letter) => all.indexOf(letter) === all.lastIndexOf(letter)).sort()
  return (all.includes('.') ? '.' : '') + once.join('')
}

const first = (call: Call): DataType | undefined => call.type(0)

export const PRODUCT: readonly Family[] = [
  { operators: 'MatMul', rule: product(0, 1, (call) => call.type(0) ?? call.type(1)) },
  { operators: 'MatMulInteger', rule: product(0, 1, () => 'int32') },
  { operators: 'QLinearMatMul', rule: product(0, 3, (call) => call.type(7) ?? call.type(0)) },
  { operators: 'Gemm', rule: gemm },
  { operators: 'Einsum', rule: einsum },
  { domain: MICROSOFT, operators: 'FusedMatMul FusedMatMulActivation TransposeMatMul', rule: fusedMatMul },
  { domain: MICROSOFT, operators: 'FusedGemm GemmFloat8', rule: gemm },
  { domain: MICROSOFT, operators: 'QGemm', rule: quantizedGemm },
  { domain: MICROSOFT, operators: 'DynamicQuantizeMatMul GemmFastGelu', rule: product(0, 1, first) },
  { domain: MICROSOFT, operators: 'MatMulInteger16', rule: product(0, 1, () => 'int32') },
  { domain: MICROSOFT, operators: 'MatMulIntegerToFloat', rule: product(0, 1, (call) => call.type(2)) },
  { domain: MICROSOFT, operators: 'MatMulNBits MatMulBnb4 MatMulFpQ4', rule: matMulBlocks },
]
