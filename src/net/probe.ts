/** The asking side of probes: how many bytes a second go to a peer and come from it, measured here in a second. */
import type { Clock } from '../util/index.ts'
import { ChannelClosedError, ProtocolUnsupportedError } from './errors.ts'
import { frame } from './frame.ts'
import type { Frame } from './frame.ts'
import { piece } from './probe-service.ts'
import type { ProbeNeeds } from './probe-service.ts'
import { MAX_WAY_BYTES, PIECE_BYTES, PROBE, PROBE_EVERY_MS, PROBE_PROTOCOL, ROUND_BYTES, WAY_MS } from './probe-wire.ts'
import type { Channel } from './types.ts'

/** Opening the channel: its greeting, and a lane. */
const OPEN_MS = 5_000
/** Below it the reads of a socket are seen, not the line: then the whole time since the question counts. */
const LEAST_MS = 1

export interface ProbeResult {
  /** Bytes a second from the peer, and to it; null where that could not be measured. */
  readonly down: number | null
  readonly up: number | null
  /** Sent and received. */
  readonly bytes: number
  readonly ms: number
  /** Why there is no figure. */
  readonly why: string | null
}

export interface Prober {
  /** One probe; within ten seconds the one before is told again. Never throws but for the signal. */
  probe(peer: string, signal?: AbortSignal): Promise<ProbeResult>
}

export function createProber(needs: ProbeNeeds): Prober {
  const kept = new Map<string, { readonly at: number; readonly result: Promise<ProbeResult> }>()
  return {
    probe(peer, signal) {
      const now = needs.clock.now()
      for (const [other, { at }] of kept) if (now - at >= PROBE_EVERY_MS) kept.delete(other)
      const before = kept.get(peer)
      if (before !== undefined) return before.result
      const result = run(needs, peer, signal)
      kept.set(peer, { at: now, result })
      // Given up by its caller, it has measured nothing that another could be told.
      result.catch(() => kept.delete(peer))
      return result
    },
  }
}

async function run(needs: ProbeNeeds, peer: string, signal?: AbortSignal): Promise<ProbeResult> {
  needs.telemetry.count('probes', 1, { outcome: 'sent' })
  const started = needs.clock.now()
  try {
    const channel = await open(needs, peer, signal)
    const end = (): void => channel.abort(new ChannelClosedError(peer, 'the probe is over'))
    signal?.addEventListener('abort', end, { once: true })
    try {
      return await measure(needs.clock, channel)
    } finally {
      signal?.removeEventListener('abort', end)
      end()
    }
  } catch (error) {
    signal?.throwIfAborted()
    const why =
      error instanceof ProtocolUnsupportedError ? 'its version does not answer probes' : (error as Error).message
    return { down: null, up: null, bytes: 0, ms: needs.clock.now() - started, why }
  }
}

/** The stream says whether probes are served at all: a lane that is refused would not be tried again for the ring. */
async function open(needs: ProbeNeeds, peer: string, signal?: AbortSignal): Promise<Channel> {
  const late = AbortSignal.timeout(OPEN_MS)
  const either = signal === undefined ? late : AbortSignal.any([late, signal])
  const stream = await needs.network.open(peer, PROBE_PROTOCOL, either)
  try {
    return await needs.network.openLane(peer, PROBE_PROTOCOL, either)
  } finally {
    void stream.close()
  }
}

async function measure(clock: Clock, channel: Channel): Promise<ProbeResult> {
  const started = clock.now()
  const arrivals = new Arrivals(clock, channel)
  const down = await oneWay(clock, arrivals, (bytes) =>
    channel.send(frame({ type: PROBE.ask, position: bytes })).catch(() => undefined),
  )
  const up = await oneWay(clock, arrivals, async (bytes) => {
    for (let left = bytes; left > 0 && !arrivals.over; left -= PIECE_BYTES) {
      arrivals.sent += PIECE_BYTES
      await channel.send(piece(PIECE_BYTES)).catch(() => undefined)
    }
  })
  const why = down === null || up === null ? (arrivals.why ?? 'it took longer than a second') : null
  return { down, up, bytes: arrivals.bytes, ms: clock.now() - started, why }
}

/** Rounds until they are all done or the time is; the rate of the largest one counts. */
async function oneWay(
  clock: Clock,
  arrivals: Arrivals,
  send: (bytes: number) => Promise<void>,
): Promise<number | null> {
  const until = clock.now() + WAY_MS
  let rate: number | null = null
  let last = 0
  for (const bytes of ROUND_BYTES) {
    const asked = clock.now()
    if (arrivals.over || (rate !== null && asked + 2 * last > until)) break
    const round = arrivals.round(bytes)
    void send(bytes)
    const whole = await round.whole(until + WAY_MS - asked)
    last = clock.now() - asked
    rate = round.rate(asked) ?? rate
    if (!whole) break
  }
  return rate
}

/** Pieces, and answers to pieces, as they come in. */
class Arrivals {
  readonly #clock: Clock
  #round: Round | undefined
  over = false
  why: string | undefined
  /** In pieces to the peer, and both ways. */
  sent = 0
  bytes = 0
  #taken = 0

  constructor(clock: Clock, channel: Channel) {
    this.#clock = clock
    channel.onFrame((got) => this.#take(got))
    void channel.closed.then((reason) => this.#end(reason?.message ?? 'it ended the probe'))
  }

  round(bytes: number): Round {
    this.#round = new Round(this.#clock, bytes)
    if (this.over) this.#round.end()
    return this.#round
  }

  #take(got: Frame): void {
    if (got.type === PROBE.refused) {
      this.#end(`it answers one probe in ${PROBE_EVERY_MS / 1000} s, the next in ${got.position} ms`)
    } else if (got.type === PROBE.piece) this.#count(got.payload.length)
    else if (got.type === PROBE.taken && this.#taken + PIECE_BYTES <= this.sent) {
      // an answer to what was not sent yet would make the way look faster than it is
      this.#taken += PIECE_BYTES
      this.#count(PIECE_BYTES)
    }
  }

  #count(bytes: number): void {
    this.bytes += bytes
    if (this.bytes > 2 * MAX_WAY_BYTES) this.#end('it sends more than it was asked for')
    else this.#round?.arrived(bytes)
  }

  #end(why: string): void {
    this.why ??= why
    this.over = true
    this.#round?.end()
  }
}

class Round {
  readonly #clock: Clock
  readonly #wanted: number
  readonly #done = Promise.withResolvers<boolean>()
  #got = 0
  #first: { readonly at: number; readonly bytes: number } | undefined
  #last = 0

  constructor(clock: Clock, wanted: number) {
    this.#clock = clock
    this.#wanted = wanted
  }

  arrived(bytes: number): void {
    this.#last = this.#clock.now()
    this.#got += bytes
    this.#first ??= { at: this.#last, bytes }
    if (this.#got >= this.#wanted) this.#done.resolve(true)
  }

  end(): void {
    this.#done.resolve(false)
  }

  /** Whether it was all there in time. */
  async whole(milliseconds: number): Promise<boolean> {
    const cancel = this.#clock.after(milliseconds, () => this.end())
    const whole = await this.#done.promise
    cancel()
    return whole
  }

  /** Bytes a second after the first piece; where that took no time, since it was asked for. Null without a piece. */
  rate(asked: number): number | null {
    if (this.#first === undefined) return null
    const span = this.#last - this.#first.at
    if (span >= LEAST_MS) return ((this.#got - this.#first.bytes) / span) * 1000
    return (this.#got / Math.max(this.#last - asked, LEAST_MS)) * 1000
  }
}
