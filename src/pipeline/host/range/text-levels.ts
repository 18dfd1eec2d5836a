/** What rows of a model are at each boundary: their least and greatest levels, of texts and of the tokens that are furthest out. */
import type { Embedding } from '../../../models/index.ts'
import { levelOfSingles } from '../../row-level.ts'

/** Of one look into the embedding: their rows stay in a processor's own cache, and what is thrown away stays little. */
const LOOK_ELEMENTS = 1 << 16

export interface OuterTokens {
  /** Of the row with the least level of all, and with the greatest. */
  readonly ids: readonly [least: number, greatest: number]
  readonly low: number
  readonly high: number
}

/** Looks at the row of every token: what goes into the first layer is known for all texts then. */
export function outerTokens(embedding: Pick<Embedding, 'rows'>, vocabulary: number, width: number): OuterTokens {
  let [low, high, least, greatest] = [Infinity, -Infinity, 0, 0]
  const step = Math.max(1, Math.floor(LOOK_ELEMENTS / width))
  for (let from = 0; from < vocabulary; from += step) {
    const ids = Int32Array.from({ length: Math.min(step, vocabulary - from) }, (_, index) => from + index)
    const bits = new Uint32Array(embedding.rows(ids).buffer)
    for (let row = 0; row < ids.length; row++) {
      const level = levelOfSingles(bits.subarray(row * width, (row + 1) * width))
      if (level < low) [low, least] = [level, from + row]
      if (level > high) [high, greatest] = [level, from + row]
    }
  }
  return { ids: [least, greatest], low, high }
}

/** Least and greatest level of rows [count, width]; NaN where one has a number that is none. */
export function levelsOf(rows: Float32Array, width: number): readonly [low: number, high: number] {
  const bits = new Uint32Array(rows.buffer, rows.byteOffset, rows.length)
  let [low, high] = [Infinity, -Infinity]
  for (let at = 0; at < bits.length; at += width) {
    const level = levelOfSingles(bits.subarray(at, at + width))
    if (Number.isNaN(level)) return [level, level]
    low = Math.min(low, level)
    high = Math.max(high, level)
  }
  return [low, high]
}
