/**
 * Turns a source matrix into what the engine's kernels take, one matrix at a time (DESIGN decision 3). All forms have
 * rows that do not depend on each other:
 *
 * - `blocks`: MatMulNBits, accuracy level 4. Source quantisation is kept without loss; an affine one,
 *   w = d q + m, becomes w = d (q - zero) + (m + d zero), whose second part meets only the block sums of the input.
 * - `rows`: row int8 (row-weights.ts).
 * - `float`: MatMul in float32.
 */
import type { WeightFile } from '../../onnx/index.ts'
import type { StoredTensor } from '../../onnx/index.ts'
import {
  dequantize,
  floatsToHalves,
  halvesToFloats,
  quantizeBlocks,
  sourceBytes,
  unpackQuants,
} from '../dequantize/index.ts'
import type { BlockQuants } from '../dequantize/index.ts'
import type { SourceType } from '../manifest.ts'
import type { MatrixForm } from './matrix-forms.ts'
import { packRows, rotationOf } from './row-weights.ts'
import type { PackedRows } from './row-weights.ts'

/** A matrix [outputs, inputs] as the graph uses it, and what is added to its outputs. */
export type PackedMatrix = MatrixWeights & { readonly bias?: StoredTensor }

type MatrixWeights =
  | {
      readonly kind: 'blocks'
      readonly bits: 4 | 8
      readonly block: 16 | 32
      readonly outputs: number
      readonly inputs: number
      readonly quants: StoredTensor
      readonly scales: StoredTensor
      /** [blocks, outputs], float32; null where the quantisation is symmetric. */
      readonly offsets: StoredTensor | null
    }
  | PackedRows
  | { readonly kind: 'float'; readonly outputs: number; readonly inputs: number; readonly weights: StoredTensor }

export interface SourceMatrix {
  readonly type: SourceType
  readonly bytes: Uint8Array
  readonly outputs: number
  readonly inputs: number
}

/** Inputs that a block kernel takes are whole blocks of this many elements. */
const BLOCK = 32

/**
 * Whether a matrix runs in block kernels: `auto` keeps a quantised source as it is and float32 as float32, takes
 * half-precision sources to 8 bits a weight; widths that are no whole number of blocks stay float.
 */
export function usesBlocks(type: SourceType, format: MatrixForm, inputs: number): boolean {
  if (format === 'f32' || format === 'f16' || inputs % BLOCK !== 0) return false
  return format !== 'auto' || type !== 'F32'
}

/** Matrices of the same inputs side by side: one kernel call for all their outputs. */
export async function packMatrix(
  file: WeightFile,
  sources: readonly SourceMatrix[],
  format: MatrixForm,
): Promise<PackedMatrix> {
  const inputs = sources[0]!.inputs
  const outputs = sources.reduce((sum, source) => sum + source.outputs, 0)
  const rotation = rotationOf(inputs)
  if (format === 'rows' && rotation !== null) return packRows(file, sources, rotation)
  if (!usesBlocks(sources[0]!.type, format, inputs)) return packFloat(file, sources, outputs, inputs, format === 'f16')
  return packBlocks(
    file,
    sources.map((source) => blockQuants(source, format)),
    outputs,
    inputs,
  )
}

/** Whether `packMatrix` can put them into one kernel call. */
export function packsTogether(sources: readonly SourceMatrix[], format: MatrixForm): boolean {
  const keys = sources.map((source) => {
    if (format === 'rows' && rotationOf(source.inputs) !== null) return 'rows'
    if (!usesBlocks(source.type, format, source.inputs)) return 'float'
    const { bits, block, affine } = blockForm(source.type, format)
    return `${bits}/${block}/${affine}`
  })
  return new Set(keys).size === 1
}

interface BlockForm {
  readonly bits: 4 | 8
  readonly block: 16 | 32
  readonly affine: boolean
}

const SOURCE_FORMS: Readonly<Partial<Record<SourceType, BlockForm>>> = {
  Q4_0: { bits: 4, block: 32, affine: false },
  Q4_1: { bits: 4, block: 32, affine: true },
  Q5_0: { bits: 8, block: 32, affine: false },
  Q5_1: { bits: 8, block: 32, affine: true },
  Q8_0: { bits: 8, block: 32, affine: false },
  Q2_K: { bits: 4, block: 16, affine: true },
  Q3_K: { bits: 4, block: 16, affine: false },
  Q4_K: { bits: 4, block: 32, affine: true },
  Q5_K: { bits: 8, block: 32, affine: true },
  Q6_K: { bits: 8, block: 16, affine: false },
}

/** How a matrix of this source type is held in blocks under a weight format. */
export function blockForm(type: SourceType, format: MatrixForm): BlockForm {
  const own = SOURCE_FORMS[type]
  if (format === 'q4') return own?.bits === 4 ? own : { bits: 4, block: 32, affine: false }
  if (format === 'blocks8' || format === 'rows') return { bits: 8, block: 32, affine: false }
  return own ?? { bits: 8, block: 32, affine: false }
}

function blockQuants(source: SourceMatrix, format: MatrixForm): BlockQuants {
  const own = SOURCE_FORMS[source.type]
  const wanted = blockForm(source.type, format)
  if (
    own === wanted ||
    (own !== undefined &&
      own.bits === 8 &&
      wanted.bits === 8 &&
      own.block === wanted.block &&
      own.affine === wanted.affine)
  ) {
    return unpackQuants(source.type, source.bytes, source.outputs, source.inputs)
  }
  const values = dequantize(source.type, source.bytes, source.outputs * source.inputs)
  return quantizeBlocks(values, source.outputs, source.inputs, wanted.bits)
}

async function packBlocks(
  file: WeightFile,
  parts: readonly BlockQuants[],
  outputs: number,
  inputs: number,
): Promise<PackedMatrix> {
  const { bits, block } = parts[0]!
  const blocks = inputs / block
  const bytesPerRow = (inputs * bits) / 8
  const packed = new Uint8Array(outputs * bytesPerRow)
  const scales = new Float32Array(outputs * blocks)
  const offsets = parts[0]!.offsets === null ? null : new Float32Array(blocks * outputs)
  let row = 0
  for (const part of parts) {
    const rows = part.scales.length / blocks
    packQuants(part.quants, bits, packed.subarray(row * bytesPerRow))
    scales.set(part.scales, row * blocks)
    if (offsets !== null) transposeInto(part.offsets!, rows, blocks, offsets, row, outputs)
    row += rows
  }
  return {
    kind: 'blocks',
    bits,
    block,
    outputs,
    inputs,
    quants: await file.append('u8', [outputs, blocks, (block * bits) / 8], packed),
    scales: await file.append('f32', [outputs, blocks], scales),
    offsets: offsets === null ? null : await file.append('f32', [blocks, outputs], offsets),
  }
}

/** MatMulNBits: two 4-bit weights a byte, the even one low. */
function packQuants(quants: Uint8Array, bits: 4 | 8, into: Uint8Array): void {
  if (bits === 8) {
    into.set(quants)
    return
  }
  const bytes = quants.length / 2
  for (let at = 0; at < bytes; at++) into[at] = quants[2 * at]! | (quants[2 * at + 1]! << 4)
}

/** Rows that are written across together: a cache holds a line of each column's while they fill. */
const TILE = 32

/** `from` is [rows, columns]; it becomes columns [row, row + rows) of `into`, which is [columns, width]. */
function transposeInto(
  from: Float32Array,
  rows: number,
  columns: number,
  into: Float32Array,
  row: number,
  width: number,
): void {
  for (let first = 0; first < rows; first += TILE) {
    const end = Math.min(first + TILE, rows)
    for (let c = 0; c < columns; c++) {
      const at = c * width + row
      for (let r = first; r < end; r++) into[at + r] = from[r * columns + c]!
    }
  }
}

async function packFloat(
  file: WeightFile,
  sources: readonly SourceMatrix[],
  outputs: number,
  inputs: number,
  half: boolean,
): Promise<PackedMatrix> {
  const weights = new Float32Array(inputs * outputs)
  let at = 0
  for (const source of sources) {
    const rowBytes = sourceBytes(source.type, inputs)
    for (let row = 0; row < source.outputs; row += TILE) {
      const count = Math.min(TILE, source.outputs - row)
      const bytes = source.bytes.subarray(row * rowBytes, (row + count) * rowBytes)
      const values = dequantize(source.type, bytes, count * inputs)
      const rounded = half ? halvesToFloats(new Uint8Array(floatsToHalves(values).buffer)) : values
      transposeInto(rounded, count, inputs, weights, at, outputs)
      at += count
    }
  }
  return { kind: 'float', outputs, inputs, weights: await file.append('f32', [inputs, outputs], weights) }
}
