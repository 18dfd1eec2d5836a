/** Fisher and Yates, from a source of randomness that is handed in. */
import type { RandomSource } from '../util/index.ts'

export function shuffled<Item>(items: readonly Item[], random: RandomSource): Item[] {
  const result = [...items]
  const draws = new DataView(new Uint8Array(random.bytes(4 * result.length)).buffer)
  for (let index = result.length - 1; index > 0; index--) {
    // The bias of a modulo below 2^-20 does not matter for lots among peers.
    const other = draws.getUint32(4 * index) % (index + 1)
    const item = result[index]!
    result[index] = result[other]!
    result[other] = item
  }
  return result
}
