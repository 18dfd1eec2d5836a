/**
 * A hop's replacement while the hop still serves: it is opened under a number of its own, fed what the predecessor kept,
 * and computes its KV cache beside the session. When it has caught up, a reroute takes it into the session, and what is
 * left to be fed is what came meanwhile.
 */
import { encodeControl, frame } from '../../net/index.ts'
import { PeerLostError } from '../ring/errors.ts'
import type { OriginListener } from '../ring/origins.ts'
import { RING } from '../ring/protocol.ts'
import type { Feed } from '../ring/protocol.ts'
import type { FirstHop } from './first-hop.ts'
import { openingOf } from './opening.ts'
import type { RouteSegment } from './route.ts'
import type { SessionInit, SessionNeeds } from './session.ts'
import { requestNumber } from './token-frames.ts'

/** Fetching and packing a part of a model, and computing a prompt. */
const SHADOW_DEADLINE_MS = 60_000
/** So near is near enough: the rest costs a step or two. */
const NEAR_ROWS = 2
/** What comes while the last was fed gets less each time, unless the replacement is slower than the session. */
const ROUNDS = 6

/** The session that it follows. */
export interface Followed {
  readonly request: number
  readonly attempt: number
  readonly first: FirstHop
  readonly signal: AbortSignal
}

export interface Shadow {
  /** Under which its hop knows it. */
  readonly request: number
  close(): void
}

/**
 * @param route with the replacement at `place`
 * @throws what the peer refuses with, PeerLostError
 */
export async function openShadow(
  needs: SessionNeeds,
  init: SessionInit,
  followed: Followed,
  route: readonly RouteSegment[],
  place: number,
): Promise<Shadow> {
  const { peer } = route[place]!
  const request = requestNumber(needs.random)
  const progress = new Progress()
  const fail = (error: Error): void => progress.fail(error)
  const stop = listen(needs, request, peer, progress)
  const abort = (): void => fail(followed.signal.reason as Error)
  followed.signal.addEventListener('abort', abort, { once: true })
  const cancel = needs.clock.after(SHADOW_DEADLINE_MS, () => fail(new PeerLostError(peer, 'it does not catch up')))
  const end = (): void => {
    cancel()
    followed.signal.removeEventListener('abort', abort)
    stop()
  }
  const close = (): void => {
    needs.ring.send(peer, frame({ type: RING.close, request })).catch(() => undefined)
  }
  try {
    const control = encodeControl({ ...openingOf(init, route, place, []), shadow: true })
    await needs.ring.send(peer, frame({ type: RING.open, request, hop: place, control }))
    await progress.reaches(0)
    for (let round = 0, from = 0; round < ROUNDS && followed.first.rows - from > NEAR_ROWS; round++) {
      const to = followed.first.rows
      await feed(needs, followed, route, { peer, place, request, from, to })
      await progress.reaches(to)
      from = to
    }
    return { request, close }
  } catch (error) {
    close()
    throw error
  } finally {
    end()
  }
}

/** Rows that the shadow has computed; -1 until it is open. */
class Progress {
  #rows = -1
  #error: Error | undefined
  #wake: () => void = () => undefined

  at(rows: number): void {
    this.#rows = Math.max(this.#rows, rows)
    this.#wake()
  }

  fail(error: Error): void {
    this.#error ??= error
    this.#wake()
  }

  async reaches(rows: number): Promise<void> {
    while (this.#error === undefined && this.#rows < rows) await new Promise<void>((resolve) => (this.#wake = resolve))
    if (this.#error !== undefined) throw this.#error
  }
}

function listen(needs: SessionNeeds, request: number, peer: string, progress: Progress): () => void {
  const nothing = (): void => undefined
  const listener: OriginListener = {
    attempt: 0,
    peers: new Set([peer]),
    opened: () => progress.at(0),
    taken: (message) => progress.at(message.position + message.rows),
    failed: (_hop, error) => progress.fail(error),
    lost: (_peer, why) => progress.fail(new PeerLostError(peer, why)),
    leaving: () => progress.fail(new PeerLostError(peer, 'it is about to leave')),
    broken: nothing,
    rerouted: nothing,
    token: nothing,
  }
  const undo = [needs.ring.listen(request, listener), needs.watch(peer)]
  return () => {
    for (const action of undo) action()
  }
}

async function feed(
  needs: SessionNeeds,
  followed: Followed,
  route: readonly RouteSegment[],
  target: Feed,
): Promise<void> {
  if (target.place === 0) {
    await followed.first.giveShadow(target, (message) => needs.ring.send(target.peer, message))
    return
  }
  const { request, attempt } = followed
  const hop = target.place - 1
  const message = frame({ type: RING.feed, request, attempt, hop, control: encodeControl({ ...target }) })
  await needs.ring.send(route[hop]!.peer, message)
}
