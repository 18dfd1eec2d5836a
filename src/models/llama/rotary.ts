/** Rotary position tables (Su et al., arXiv 2104.09864), computed in float64 and stored as float32. */
import type { DecoderShape } from '../manifest.ts'

/** Elements that are made at once. */
const PIECE = 1 << 20

export type RotaryShape = Pick<DecoderShape, 'rope_base' | 'rope_dim' | 'rope_factors' | 'rope_amplitude'>

/** What the layers with a window are rotated by, where that is not what the others are. */
export function windowRotary({ window, rope_dim }: DecoderShape): RotaryShape | null {
  return window?.rope_base === undefined ? null : { rope_base: window.rope_base, rope_dim, rope_factors: [] }
}

/** The table [positions, pairs of a head] of cosines or sines, in pieces; pairs that are not rotated have 1 and 0. */
export function* rotaryTable(
  of: 'cos' | 'sin',
  shape: RotaryShape,
  positions: number,
  pairs: number,
): Iterable<Float32Array> {
  const step = Math.max(1, Math.floor(PIECE / pairs))
  for (let first = 0; first < positions; first += step) {
    const count = Math.min(step, positions - first)
    const piece = new Float32Array(count * pairs)
    for (let pair = 0; pair < pairs; pair++) {
      const factor = shape.rope_factors[pair] ?? 1
      const rotated = 2 * pair < shape.rope_dim
      const frequency = rotated ? shape.rope_base ** ((-2 * pair) / shape.rope_dim) / factor : 0
      const amplitude = rotated ? (shape.rope_amplitude ?? 1) : 1
      for (let row = 0; row < count; row++) piece[row * pairs + pair] = amplitude * Math[of]((first + row) * frequency)
    }
    yield piece
  }
}
