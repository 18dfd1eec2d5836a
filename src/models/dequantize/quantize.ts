/** Float32 matrices as integers with a scale a block: for sources of more precision than the wanted weight format. */
import { TensorBytesError } from '../errors.ts'
import type { BlockQuants } from './unpack.ts'

const BLOCK = 32
/** Scales tried around the one that maps the extreme value to the end of the range; the least squared error wins. */
const TRIALS = [1, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79] as const

/**
 * Symmetric quantisation of a row-major [rows, columns] matrix in blocks of 32 along a row: w ~ scale * (q - zero).
 * 4 bits: q in 0..15, the block's extreme value at 0 as in Q4_0; 8 bits: q in 1..255.
 * @throws TensorBytesError when the rows are not whole blocks
 */
export function quantizeBlocks(values: Float32Array, rows: number, columns: number, bits: 4 | 8): BlockQuants {
  if (columns % BLOCK !== 0 || values.length !== rows * columns) {
    throw new TensorBytesError(
      `${values.length} values are not ${rows} rows of ${columns}, in whole blocks of ${BLOCK}`,
    )
  }
  const blocks = values.length / BLOCK
  const quants = new Uint8Array(values.length)
  const scales = new Float32Array(blocks)
  const zero = bits === 4 ? 8 : 128
  for (let block = 0; block < blocks; block++) {
    const from = block * BLOCK
    const extreme = extremeOf(values, from)
    // A block of zeros keeps scale 0, and any integer stands for zero then.
    const scale = bits === 4 ? bestScale(values, from, extreme / -8) : Math.fround(Math.abs(extreme) / 127)
    scales[block] = scale
    const low = bits === 4 ? -8 : -127
    const high = bits === 4 ? 7 : 127
    for (let j = 0; j < BLOCK; j++) {
      const whole = scale === 0 ? 0 : nearest(values[from + j]! / scale)
      quants[from + j] = (whole < low ? low : whole > high ? high : whole) + zero
    }
  }
  return { bits, block: BLOCK, quants, scales, offsets: null, zero }
}

/** The value of largest magnitude, with its sign. */
function extremeOf(values: Float32Array, from: number): number {
  let extreme = 0
  for (let at = from; at < from + BLOCK; at++) {
    if (Math.abs(values[at]!) > Math.abs(extreme)) extreme = values[at]!
  }
  return extreme
}

function bestScale(values: Float32Array, from: number, start: number): number {
  let best = Math.fround(start)
  if (best === 0) return 0
  let least = Infinity
  for (const trial of TRIALS) {
    const scale = Math.fround(start * trial)
    if (scale === 0) break
    let error = 0
    for (let at = from; at < from + BLOCK; at++) {
      const value = values[at]!
      const whole = nearest(value / scale)
      const off = value - (whole < -8 ? -8 : whole > 7 ? 7 : whole) * scale
      error += off * off
    }
    if (error < least) {
      least = error
      best = scale
    }
  }
  return best
}

/** Math.round of a quotient of float32s, in a third of its time: none lies so near below a half that a sum rounds it up. */
function nearest(quotient: number): number {
  return Math.floor(quotient + 0.5)
}
