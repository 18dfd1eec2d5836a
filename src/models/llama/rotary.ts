/** Rotary position tables (Su et al., arXiv 2104.09864), computed in float64 and stored as float32. */
import type { LlamaShape } from '../manifest.ts'

export interface RotaryTables {
  /** [positions, pairs of a head]: pairs that are not rotated have cosine 1 and sine 0. */
  readonly cos: Float32Array
  readonly sin: Float32Array
}

export function rotaryTables(shape: LlamaShape, positions: number, pairs: number): RotaryTables {
  const cos = new Float32Array(positions * pairs)
  const sin = new Float32Array(positions * pairs)
  for (let pair = 0; pair < pairs; pair++) {
    const factor = shape.rope_factors[pair] ?? 1
    const rotated = 2 * pair < shape.rope_dim
    const frequency = rotated ? shape.rope_base ** ((-2 * pair) / shape.rope_dim) / factor : 0
    for (let position = 0; position < positions; position++) {
      cos[position * pairs + pair] = Math.cos(position * frequency)
      sin[position * pairs + pair] = Math.sin(position * frequency)
    }
  }
  return { cos, sin }
}
