/**
 * Turns a source matrix into what the engine's kernels take, one matrix at a time (DESIGN decision 3). All forms have
 * rows that do not depend on each other:
 *
 * - `blocks`: MatMulNBits, accuracy level 4. Source quantisation is kept without loss; an affine one,
 *   w = d q + m, becomes w = d (q - zero) + (m + d zero), whose second part meets only the block sums of the input: in the
 *   kernel's own form where that can be had (fold-offsets.ts), else in a node of its own.
 * - `rows`: row int8 (row-weights.ts).
 * - `float`: MatMul in float32.
 */
import type { WeightSink } from '../../onnx/index.ts'
import type { StoredTensor } from '../../onnx/index.ts'
import { dequantize, floatsToHalves, halvesToFloats, sourceBytes } from '../dequantize/index.ts'
import type { SourceType } from '../manifest.ts'
import type { MatrixForm } from './matrix-forms.ts'
import { packBlockRows, SOURCE_FORMS } from './pack-quants.ts'
import type { BlockForm } from './pack-quants.ts'
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

/** Rows of a matrix that are read when it is their turn: so a large one is never in memory as a whole. */
export interface LaterMatrix extends Omit<SourceMatrix, 'bytes'> {
  /** The bytes hold until the next one of the same matrix is loaded. */
  load(): Promise<SourceMatrix>
}

export type MatrixSource = SourceMatrix | LaterMatrix

function isLoaded(source: MatrixSource): source is SourceMatrix {
  return 'bytes' in source
}

export function load(source: MatrixSource): Promise<SourceMatrix> {
  return isLoaded(source) ? Promise.resolve(source) : source.load()
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
  file: WeightSink,
  sources: readonly MatrixSource[],
  format: MatrixForm,
): Promise<PackedMatrix> {
  const inputs = sources[0]!.inputs
  const outputs = sources.reduce((sum, source) => sum + source.outputs, 0)
  const rotation = rotationOf(inputs)
  if (format === 'rows' && rotation !== null) return packRows(file, sources, rotation)
  if (!usesBlocks(sources[0]!.type, format, inputs)) return packFloat(file, sources, outputs, inputs, format === 'f16')
  return packBlocks(file, sources, blockForm(sources[0]!.type, format), outputs, inputs)
}

/** Whether `packMatrix` can put them into one kernel call. */
export function packsTogether(sources: readonly MatrixSource[], format: MatrixForm): boolean {
  const keys = sources.map((source) => {
    if (format === 'rows' && rotationOf(source.inputs) !== null) return 'rows'
    if (!usesBlocks(source.type, format, source.inputs)) return 'float'
    const { bits, block, affine } = blockForm(source.type, format)
    return `${bits}/${block}/${affine}`
  })
  return new Set(keys).size === 1
}

/** How a matrix of this source type is held in blocks under a weight format. */
export function blockForm(type: SourceType, format: MatrixForm): BlockForm {
  const own = SOURCE_FORMS[type]
  if (format === 'q4') return own?.bits === 4 ? own : { bits: 4, block: 32, affine: false }
  if (format === 'blocks8' || format === 'rows') return { bits: 8, block: 32, affine: false }
  return own ?? { bits: 8, block: 32, affine: false }
}

async function packBlocks(
  file: WeightSink,
  sources: readonly MatrixSource[],
  form: BlockForm,
  outputs: number,
  inputs: number,
): Promise<PackedMatrix> {
  const { bits, block, affine } = form
  const blocks = inputs / block
  const bytesPerRow = (inputs * bits) / 8
  const scales = new Float32Array(outputs * blocks)
  const offsets = affine ? new Float32Array(blocks * outputs) : null
  let row = 0
  const pack = ({ type, bytes, outputs: rows }: SourceMatrix, quants: Uint8Array): void => {
    const own = scales.subarray(row * blocks, (row + rows) * blocks)
    const shifts = offsets === null ? null : new Float32Array(own.length)
    packBlockRows({ type, bytes, rows, columns: inputs, quants, scales: own, offsets: shifts }, form)
    if (offsets !== null) transposeInto(shifts!, rows, blocks, offsets, row, outputs)
    row += rows
  }
  const pieces = async function* (): AsyncIterable<Uint8Array> {
    const buffer = new Uint8Array(Math.max(...sources.map((source) => source.outputs)) * bytesPerRow)
    for (const source of sources) {
      const loaded = await load(source)
      const packed = buffer.subarray(0, loaded.outputs * bytesPerRow)
      pack(loaded, packed)
      yield packed
    }
  }
  const whole = (loaded: readonly SourceMatrix[]): Uint8Array => {
    const packed = new Uint8Array(outputs * bytesPerRow)
    for (const source of loaded) pack(source, packed.subarray(row * bytesPerRow, (row + source.outputs) * bytesPerRow))
    return packed
  }
  const packed = sources.every(isLoaded) ? whole(sources) : pieces()
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
  file: WeightSink,
  sources: readonly MatrixSource[],
  outputs: number,
  inputs: number,
  half: boolean,
): Promise<PackedMatrix> {
  const weights = new Float32Array(inputs * outputs)
  let at = 0
  for (const each of sources) {
    const source = await load(each)
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
