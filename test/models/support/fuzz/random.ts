/** Randomness from a seed: mulberry32 (public domain), the same cases everywhere. */
export interface Random {
  /** In [0, below). */
  whole(below: number): number
  pick<T>(of: readonly T[]): T
  /** True in one of so many cases. */
  once(of: number): boolean
}

export function seeded(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const whole = (below: number): number => Math.floor(next() * below)
  return { whole, pick: (of) => of[whole(of.length)]!, once: (of) => whole(of) === 0 }
}
