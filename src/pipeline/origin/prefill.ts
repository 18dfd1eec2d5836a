/** The rows of a prompt on their way into a session: a bounded number of them at a time. */
import type { Arrival, OriginSession } from './session.ts'

/** Chunks under way at once beyond one a hop. */
const CHUNKS_AHEAD = 1

/** The last thing to arrive is the first token. @param rows that travel together */
export async function* prefill(session: OriginSession, ids: readonly number[], rows: number): AsyncGenerator<Arrival> {
  const window = (session.hops.length + CHUNKS_AHEAD) * rows
  let { sent, taken } = session.reused ?? { sent: 0, taken: 0 }
  for (;;) {
    while (sent < ids.length && sent - taken < window) {
      const end = Math.min(sent + rows, ids.length)
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
