/**
 * Quantised rows as the block kernel (MatMulNBits) takes them: integers in their order, two 4-bit ones a byte, the even
 * one low; scales and offsets beside them. The commonest sources are moved without being taken apart, 32 bits at a time (all machines that the
 * engine runs on are little-endian).
 */
import { dequantize, quantizeBlocks, sourceBytes, unpackQuants } from '../dequantize/index.ts'
import type { BlockQuants } from '../dequantize/index.ts'
import { halfTable } from '../dequantize/half.ts'
import type { SourceType } from '../manifest.ts'

/** How a matrix is held in blocks. */
export interface BlockForm {
  readonly bits: 4 | 8
  readonly block: 16 | 32
  readonly affine: boolean
}

export const SOURCE_FORMS: Readonly<Partial<Record<SourceType, BlockForm>>> = {
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

/** Rows [rows, columns] and where they go. */
export interface RowsToPack {
  readonly type: SourceType
  readonly bytes: Uint8Array
  readonly rows: number
  readonly columns: number
  /** [rows, columns * bits / 8] */
  readonly quants: Uint8Array
  /** [rows, columns / block] */
  readonly scales: Float32Array
  /** [rows, columns / block]; null where the form is symmetric. */
  readonly offsets: Float32Array | null
}

/** Elements that are taken apart at once: their integers, and float32 where they are rounded, stay small beside the matrix. */
const TILE_ELEMENTS = 1 << 20

/** @throws TensorBytesError when the bytes are not those of so many rows */
export function packBlockRows(work: RowsToPack, form: BlockForm): void {
  const { type, bytes, rows, columns, quants, scales, offsets } = work
  const move = bytes.length === sourceBytes(type, rows * columns) ? MOVES[type] : undefined
  if (move !== undefined && sameForm(SOURCE_FORMS[type], form)) return move(work)
  const rowBytes = sourceBytes(type, columns)
  const blocks = columns / form.block
  const packed = (columns * form.bits) / 8
  const tile = Math.max(1, Math.floor(TILE_ELEMENTS / columns))
  for (let row = 0; row < rows; row += tile) {
    const end = Math.min(row + tile, rows)
    const part = bytes.subarray(row * rowBytes, end === rows ? bytes.length : end * rowBytes)
    const made = quantsOf(type, part, end - row, columns, form)
    packQuants(made.quants, form.bits, quants.subarray(row * packed))
    scales.set(made.scales, row * blocks)
    offsets?.set(made.offsets!, row * blocks)
  }
}

function sameForm(own: BlockForm | undefined, wanted: BlockForm): boolean {
  return own?.bits === wanted.bits && own.block === wanted.block && own.affine === wanted.affine
}

function quantsOf(type: SourceType, bytes: Uint8Array, rows: number, columns: number, form: BlockForm): BlockQuants {
  if (sameForm(SOURCE_FORMS[type], form)) return unpackQuants(type, bytes, rows, columns)
  return quantizeBlocks(dequantize(type, bytes, rows * columns), rows, columns, form.bits)
}

function packQuants(quants: Uint8Array, bits: 4 | 8, into: Uint8Array): void {
  if (bits === 8) {
    into.set(quants)
    return
  }
  const bytes = quants.length / 2
  for (let at = 0; at < bytes; at++) into[at] = quants[2 * at]! | (quants[2 * at + 1]! << 4)
}

const MOVES: Readonly<Partial<Record<SourceType, (work: RowsToPack) => void>>> = {
  Q4_0: (work) => moveNibbles(work, false),
  Q4_1: (work) => moveNibbles(work, true),
  Q8_0: moveBytes,
}

const NIBBLES = 0x0f0f0f0f
const SIGNS = 0x80808080

/** Blocks of 32: element j is the low nibble of byte j, element j + 16 the high one; in the kernel's form neighbours share a byte. */
function moveNibbles({ bytes, quants, scales, offsets }: RowsToPack, affine: boolean): void {
  const halves = halfTable()
  const from = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const into = new Uint32Array(quants.buffer, quants.byteOffset, quants.byteLength / 4)
  const blocks = scales.length
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 16, to += 4) {
    const scale = halves[from.getUint16(at, true)]!
    scales[block] = scale
    at += 2
    if (affine) {
      // As unpackQuants has it: 8 stands for zero in the kernel.
      offsets![block] = halves[from.getUint16(at, true)]! + 8 * scale
      at += 2
    }
    const a = from.getUint32(at, true)
    const b = from.getUint32(at + 4, true)
    const c = from.getUint32(at + 8, true)
    const d = from.getUint32(at + 12, true)
    into[to] = paired(a & NIBBLES) | (paired(b & NIBBLES) << 16)
    into[to + 1] = paired(c & NIBBLES) | (paired(d & NIBBLES) << 16)
    into[to + 2] = paired((a >>> 4) & NIBBLES) | (paired((b >>> 4) & NIBBLES) << 16)
    into[to + 3] = paired((c >>> 4) & NIBBLES) | (paired((d >>> 4) & NIBBLES) << 16)
  }
}

/** Four bytes below 16 as two bytes, the first of each pair low. */
function paired(nibbles: number): number {
  const joined = nibbles | (nibbles >>> 4)
  return (joined & 0xff) | ((joined >>> 8) & 0xff00)
}

/** Blocks of 32 signed bytes behind their scale; unsigned with 128 for zero in the kernel. Unrolled: five times as fast. */
function moveBytes({ bytes, quants, scales }: RowsToPack): void {
  const halves = halfTable()
  const from = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const into = new Uint32Array(quants.buffer, quants.byteOffset, quants.byteLength / 4)
  const blocks = scales.length
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 34, to += 8) {
    scales[block] = halves[from.getUint16(at, true)]!
    into[to] = from.getUint32(at + 2, true) ^ SIGNS
    into[to + 1] = from.getUint32(at + 6, true) ^ SIGNS
    into[to + 2] = from.getUint32(at + 10, true) ^ SIGNS
    into[to + 3] = from.getUint32(at + 14, true) ^ SIGNS
    into[to + 4] = from.getUint32(at + 18, true) ^ SIGNS
    into[to + 5] = from.getUint32(at + 22, true) ^ SIGNS
    into[to + 6] = from.getUint32(at + 26, true) ^ SIGNS
    into[to + 7] = from.getUint32(at + 30, true) ^ SIGNS
  }
}
