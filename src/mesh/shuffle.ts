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

/** So many of them, or all if there are fewer: what is drawn costs, not what is drawn from. */
export function drawn<Item>(items: readonly Item[], count: number, random: RandomSource): readonly Item[] {
  if (2 * count >= items.length) return shuffled(items, random).slice(0, count)
  const chosen = new Set<number>()
  while (chosen.size < count) {
    const draws = new DataView(new Uint8Array(random.bytes(4 * (count - chosen.size))).buffer)
    for (let at = 0; at < draws.byteLength; at += 4) chosen.add(draws.getUint32(at) % items.length)
  }
  return [...chosen].map((index) => items[index]!)
}
