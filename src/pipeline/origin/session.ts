/**
 * A session from its origin's side: all hops opened, rows sent, tokens received, all hops closed. What the hops lose is
 * an error here, at most a heartbeat later.
 */
import { DTYPE, encodeControl, frame } from '../../net/index.ts'
import { Inbox } from '../../util/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import { RUN } from '../host/protocol.ts'
import type { SamplerInit } from '../host/sampler.ts'
import { RowDigest } from '../ring/digest.ts'
import { DeadlineError, PeerLostError } from '../ring/errors.ts'
import { RING } from '../ring/protocol.ts'
import type { RouteOpen } from '../ring/protocol.ts'
import type { RingService } from '../ring/service.ts'
import type { RouteHop, TokenLogprob } from '../types.ts'
import { createFollower } from './follower.ts'
import type { Follow } from './follower.ts'
import type { RouteSegment } from './route.ts'

/** A hop that has to fetch and pack its blocks first takes this long at most. */
const OPEN_DEADLINE_MS = 300_000

export interface TokenArrival {
  readonly id: number
  readonly logprob?: number
  readonly top?: readonly TokenLogprob[]
  /** Milliseconds that stages computed for this step, all hops together. */
  readonly computeMs: number
}

/** What the last hop says: a token, or that rows of the prompt up to a position were taken in. */
export type Arrival = { readonly token: TokenArrival } | { readonly takenTo: number }

export interface OriginSession {
  readonly hops: readonly RouteHop[]
  /** The next thing to arrive. @throws what has ended the session */
  take(): Promise<Arrival>
  /**
   * Ids of the prompt for positions from `position` on; `wantToken`: the head chooses what follows the last of them, and
   * what follows that, as `Follow` says.
   */
  send(ids: readonly number[], position: number, wantToken: boolean): Promise<void>
  close(): void
}

export interface SessionNeeds {
  readonly ring: RingService
  readonly clock: Clock
  readonly random: RandomSource
  /** Has a peer's heartbeat watched while the session lasts; returns how to end that. */
  watch(peer: string): () => void
}

/** What a generation asks of a session, whatever computes it. */
export interface SessionRequest {
  readonly positions: number
  readonly deadline: number
  readonly sampler: SamplerInit
  readonly signal: AbortSignal
  readonly follow: Follow
}

export interface SessionInit extends SessionRequest {
  readonly digest: string
  readonly route: readonly RouteSegment[]
}

/** @throws PeerLostError, and whatever a hop refuses with */
export async function openSession(needs: SessionNeeds, init: SessionInit): Promise<OriginSession> {
  const request = requestNumber(needs.random)
  const pids = new Map<number, number>()
  const opened = new Inbox<number>()
  const arrivals = new Inbox<Arrival>()
  const fail = (error: Error): void => {
    opened.fail(error)
    arrivals.fail(error)
  }
  const send = sender(needs.ring, init.route[0]!.peer, request)
  const follower = createFollower(init.follow, (id, position) => void send([id], position, true).catch(fail))
  const stopListening = needs.ring.listen(
    request,
    init.route.map((hop) => hop.peer),
    {
      opened: (hop, pid) => {
        pids.set(hop, pid)
        opened.push(hop)
      },
      token: (message, control) => {
        const token = arrival(message, control)
        follower.arrived(token.id, arrivals.length)
        arrivals.push({ token })
      },
      taken: (message) => arrivals.push({ takenTo: message.position + 1 }),
      failed: fail,
    },
  )
  const watches = [...new Set(init.route.map((hop) => hop.peer))].map((peer) => needs.watch(peer))
  const onAbort = (): void => fail(init.signal.reason as Error)
  init.signal.addEventListener('abort', onAbort, { once: true })
  const cancelDeadline = needs.clock.after(init.deadline, () => fail(new DeadlineError(init.deadline)))
  const close = (): void => {
    cancelDeadline()
    init.signal.removeEventListener('abort', onAbort)
    stopListening()
    for (const stop of watches) stop()
    for (const [hop, { peer }] of init.route.entries()) {
      needs.ring.send(peer, frame({ type: RING.close, request, hop })).catch(() => undefined)
    }
  }
  try {
    if (init.signal.aborted) throw init.signal.reason as Error
    await openHops(needs, init, request, opened, fail)
  } catch (error) {
    close()
    throw error
  }
  const hops = init.route.map((hop, index) => ({ peer: hop.peer, pid: pids.get(index)!, from: hop.from, to: hop.to }))
  const take = async (): Promise<Arrival> => {
    const next = await arrivals.take()
    follower.taken(arrivals.length)
    return next
  }
  return { hops, take, send, close }
}

/** Below 2^53, from the random source, never 0. */
function requestNumber(random: RandomSource): number {
  const bytes = random.bytes(8)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return (view.getUint32(0) & 0x1fffff) * 4294967296 + view.getUint32(4) + 1
}

async function openHops(
  needs: SessionNeeds,
  init: SessionInit,
  request: number,
  opened: Inbox<number>,
  fail: (error: Error) => void,
): Promise<void> {
  const cancel = needs.clock.after(Math.min(OPEN_DEADLINE_MS, init.deadline), () =>
    fail(new DeadlineError(OPEN_DEADLINE_MS)),
  )
  try {
    const route = init.route.map(({ peer, from, to }) => ({ peer, from, to }))
    for (const [hop, { peer }] of init.route.entries()) {
      const last = hop === init.route.length - 1
      const open: RouteOpen = {
        digest: init.digest,
        route,
        positions: init.positions,
        deadline: init.deadline,
        sampler: last ? { ...init.sampler, history: [...init.sampler.history] } : null,
      }
      needs.ring
        .send(peer, frame({ type: RING.open, request, hop, control: encodeControl(open) }))
        .catch((error: unknown) => fail(error instanceof Error ? error : new PeerLostError(peer, String(error))))
    }
    for (let count = 0; count < init.route.length; count++) await opened.take()
  } finally {
    cancel()
  }
}

function sender(ring: RingService, first: string, request: number): OriginSession['send'] {
  const digest = new RowDigest()
  let step = 0
  return (ids, position, wantToken) => {
    const payload = new Uint8Array(Int32Array.from(ids).buffer)
    return ring.send(
      first,
      frame({
        type: RING.rows,
        request,
        hop: 0,
        step: step++,
        position,
        dtype: DTYPE.i32,
        dims: [ids.length],
        flags: wantToken ? RUN.token : 0,
        digest: digest.next(payload),
        payload,
      }),
    )
  }
}

function arrival(
  message: Parameters<Parameters<RingService['listen']>[2]['token']>[0],
  control: Parameters<Parameters<RingService['listen']>[2]['token']>[1],
): TokenArrival {
  const id = new DataView(message.payload.buffer, message.payload.byteOffset).getInt32(0, true)
  const top = control.top?.map(([token, logprob]) => ({ id: token, logprob }))
  return {
    id,
    computeMs: message.micros / 1000,
    ...(control.logprob === undefined ? {} : { logprob: control.logprob }),
    ...(top === undefined ? {} : { top }),
  }
}
