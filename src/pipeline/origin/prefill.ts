/** The rows of a prompt on their way into a session: a bounded number of them at a time. */
import { chunkRows } from '../../placement/index.ts'
import type { Arrival, OriginSession } from './session.ts'

/** Chunks of full size under way at once beyond one a hop. */
const CHUNKS_AHEAD = 1
/** Fewer rows at the end of a prompt go with those before them: a run of a few takes hardly less than one of these. */
const LEAST_TAIL = 16

export interface PrefillInit {
  /** Rows that travel together at most. */
  readonly most: number
  /** All chunks have so many. @default fewer where stages would wait */
  readonly isFixed?: boolean
}

/** The last thing to arrive is the first token. */
export async function* prefill(
  session: OriginSession,
  ids: readonly number[],
  { most, isFixed = false }: PrefillInit,
): AsyncGenerator<Arrival> {
  const hops = session.hops.length
  const window = (hops + CHUNKS_AHEAD) * most
  let { sent, taken } = session.reused ?? { sent: 0, taken: 0 }
  const rows = isFixed || hops === 1 ? most : chunkRows(ids.length - taken, most)
  const tail = rows < most ? LEAST_TAIL : 0
  for (;;) {
    while (sent < ids.length && sent - taken < window) {
      const end = ids.length - sent < rows + tail ? ids.length : sent + rows
      await session.send(ids.slice(sent, end), sent, end === ids.length)
      sent = end
    }
    const arrival = await session.take()
    // After a reroute the last stage may say again what it has.
    if ('takenTo' in arrival) {
      if (arrival.takenTo <= taken) continue
      taken = arrival.takenTo
    }
    yield arrival
    if ('token' in arrival) return
  }
}
