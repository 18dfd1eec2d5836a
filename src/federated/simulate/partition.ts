/** Rows of one table over virtual clients: evenly, or by label after a Dirichlet distribution (Hsu et al., arXiv 1909.06335). */
import { shuffled } from '../../data/index.ts'
import type { Seeded } from '../../data/index.ts'

/**
 * Places by client; each gets at least one.
 * @param labels of each place
 */
export function partition(
  labels: readonly number[],
  clients: number,
  skew: number | undefined,
  seeded: Seeded,
): Uint32Array[] {
  const all = shuffled(labels.length, seeded)
  const parts = Array.from({ length: clients }, (): number[] => [])
  if (skew === undefined) for (const [index, place] of all.entries()) parts[index % clients]!.push(place)
  else {
    for (const label of new Set(labels)) {
      const own = [...all].filter((place) => labels[place] === label)
      const weights = parts.map(() => gamma(skew, seeded))
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      let [from, reached] = [0, 0]
      for (const [client, weight] of weights.entries()) {
        reached += weight
        const to = client === clients - 1 ? own.length : Math.round((own.length * reached) / total)
        parts[client]!.push(...own.slice(from, to))
        from = Math.max(from, to)
      }
    }
  }
  // Nobody is left without a row: the largest gives.
  for (const part of parts) {
    if (part.length > 0) continue
    const largest = parts.reduce((best, one) => (one.length > best.length ? one : best))
    part.push(largest.pop()!)
  }
  return parts.map((part) => Uint32Array.from(part).sort())
}

/** Marsaglia and Tsang 2000; below 1 by the boost of the same paper. */
function gamma(shape: number, seeded: Seeded): number {
  if (shape < 1) return gamma(shape + 1, seeded) * Math.max(seeded.uniform(), 1e-12) ** (1 / shape)
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = seeded.normal()
    const v = (1 + c * x) ** 3
    if (v <= 0) continue
    const u = seeded.uniform()
    if (Math.log(Math.max(u, 1e-12)) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v
  }
}
