/** Rotary position tables (Su et al., arXiv 2104.09864), computed in float64 and stored as float32. */
import type { DecoderShape } from '../manifest.ts'

/** Elements that are made at once. */
const PIECE = 1 << 20

export type RotaryShape = Pick<DecoderShape, 'rope_base' | 'rope_dim' | 'rope_factors' | 'rope_amplitude'>

/** What the layers with a window are rotated by, where that is not what the others are. */
export function windowRotary({ window, rope_dim }: DecoderShape): RotaryShape | null {
  return window?.rope_base === undefined ? null : { rope_base: window.rope_base, rope_dim, rope_factors: [] }
}

/** Rows that stand behind the last one of a text for its attention are rotated too: at most so many (AttentionRule). */
const ROWS_BEHIND = 4

/** What a range of rows of the tables is made for: positions from 0 on. */
export interface RotaryRows {
  readonly rope: RotaryShape
  readonly positions: number
}

/** The tables of a stage: for texts within the first context, and behind them for longer ones where those have other factors. */
export function stageRotary(shape: DecoderShape, rope: RotaryShape): readonly RotaryRows[] {
  const rows = (own: RotaryShape, context: number): RotaryRows => ({ rope: own, positions: context + ROWS_BEHIND })
  const { rope_long: long, context } = shape
  if (long === undefined) return [rows(rope, context)]
  return [rows(rope, long.beyond), rows(rope === shape ? longRope(shape) : rope, context)]
}

/** What texts that outgrow the first context are rotated by. */
export function longRope(shape: DecoderShape): RotaryShape {
  return { ...shape, rope_factors: shape.rope_long?.factors ?? shape.rope_factors }
}

/** Positions of the context for which the first factors hold. */
export function firstContext({ rope_long, context }: DecoderShape): number {
  return rope_long?.beyond ?? context
}

/** The row of a stage's tables at which a text begins that may have so many positions. */
export function firstRotaryRow({ rope_long: long }: DecoderShape, positions: number): number {
  return long === undefined || positions <= long.beyond ? 0 : long.beyond + ROWS_BEHIND
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
