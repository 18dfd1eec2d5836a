/**
 * Coordinates drawn by chance, the same ones at all members (Konecny et al., arXiv 1610.05492): which they are follows from job and
 * step, so that nobody chooses or sends them, and sums of what is sent fit together.
 */
import { wordsFrom } from '../privacy/words.ts'
import { ascii, u32 } from '../secagg/bytes.ts'
import { maskStream } from '../secagg/keys.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { Compression } from './types.ts'

/** k of d coordinates, rising: each set is as likely as any other. @param step sums that have changed the model */
export function drawnCoordinates(job: string, step: number, d: number, k: number): Uint32Array {
  const key = new Uint8Array(nodePrimitives.sha256(ascii('weft fed coordinates/1'), ascii(job), ascii('\n'), u32(step)))
  const stream = maskStream(nodePrimitives, key)
  const words = wordsFrom((length) => stream.next(length))
  const order = Uint32Array.from({ length: d }, (_, index) => index)
  for (let at = 0; at < k; at++) {
    const other = at + words.below(d - at)
    ;[order[at], order[other]] = [order[other]!, order[at]!]
  }
  return order.slice(0, k).sort()
}

/** Coordinates of a share of d, one at least. */
export function drawnCount(d: number, share: number): number {
  return Math.max(1, Math.min(d, Math.round(share * d)))
}

/**
 * @param feedback what was not sent is kept and added to the next update (Stich, Cordonnier, Jaggi, arXiv 1809.07599, algorithm 1);
 *   without it the mean is stretched by d / k, so that it is right on average
 */
export function randomK(job: string, share: number, feedback: boolean): Compression {
  let known: { readonly step: number; readonly places: Uint32Array; readonly d: number } | undefined
  const placesOf = (step: number, d: number): Uint32Array => {
    if (known?.step !== step || known.d !== d) {
      known = { step, d, places: drawnCoordinates(job, step, d, drawnCount(d, share)) }
    }
    return known.places
  }
  return {
    sums: 1,
    first: () => ({}),
    isLast: () => true,
    size: ({ global }) => drawnCount(global.length, share),
    send({ done }, vector) {
      const places = placesOf(done, vector.length)
      const reals = Float64Array.from(places, (place) => vector[place]!)
      if (!feedback) return { reals }
      const residual = vector.slice()
      for (const place of places) residual[place] = 0
      return { reals, residual }
    },
    receive({ done, global }, mean) {
      const d = global.length
      const stretch = feedback ? 1 : d / mean.length
      const update = new Float64Array(d)
      for (const [at, place] of placesOf(done, d).entries()) update[place] = stretch * mean[at]!
      return update
    },
    after: () => ({}),
  }
}
