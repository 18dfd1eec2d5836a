/** Secrets out of shares of which some may be wrong: what its owner committed to tells the right one. */
import { interpolate } from './shamir.ts'
import type { Share } from './shamir.ts'

export interface Restored {
  readonly secret: Uint8Array
  /** Places whose share is off the polynomial. */
  readonly wrong: readonly number[]
}

/** So many sets of t are tried; with more shares than that to choose from, chance finds a right set among few wrong. */
const MAX_SETS = 20_000

/** @returns undefined when no t of the shares restore a secret that passes the test */
export function restore(
  shares: readonly Share[],
  t: number,
  isRight: (secret: Uint8Array) => boolean,
): Restored | undefined {
  if (shares.length < t) return undefined
  for (const set of setsOf(shares, t)) {
    const secret = interpolate(set, 0)
    if (!isRight(secret)) continue
    const wrong = shares
      .filter((share) => !set.includes(share) && Buffer.compare(interpolate(set, share.x), share.y) !== 0)
      .map(({ x }) => x)
    return { secret, wrong }
  }
  return undefined
}

function* setsOf(shares: readonly Share[], t: number): Generator<readonly Share[]> {
  if (choices(shares.length, t) <= MAX_SETS) {
    yield* combinations(shares, t)
    return
  }
  yield shares.slice(0, t)
  // Which sets are tried needs no secret: the wrong shares were there before.
  let state = 1
  for (let attempt = 1; attempt < MAX_SETS; attempt++) {
    const pool = [...shares]
    for (let place = 0; place < t; place++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      const other = place + (state % (pool.length - place))
      ;[pool[place], pool[other]] = [pool[other]!, pool[place]!]
    }
    yield pool.slice(0, t)
  }
}

/** In lexicographic order: the first t first, since wrong shares are rare. */
function* combinations<T>(items: readonly T[], size: number, from = 0): Generator<readonly T[]> {
  if (size === 0) {
    yield []
    return
  }
  for (let index = from; index <= items.length - size; index++) {
    for (const rest of combinations(items, size - 1, index + 1)) yield [items[index]!, ...rest]
  }
}

function choices(n: number, k: number): number {
  let count = 1
  for (let index = 1; index <= k; index++) count = (count * (n - k + index)) / index
  return count
}
