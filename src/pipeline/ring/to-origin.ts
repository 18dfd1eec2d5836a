/** What a hop tells its origin. An origin that cannot be told has gone, or roams: its session waits for it a while. */
import { DTYPE, encodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { cut } from '../told.ts'
import type { Hop } from './hop.ts'
import { failureOf, forward } from './links.ts'
import type { Link } from './links.ts'
import { RING } from './protocol.ts'
import { encodeSpans } from './spans.ts'

export class ToOrigin {
  readonly #unheard: (hop: Hop) => void

  /** @param unheard the origin of this hop could not be told */
  constructor(unheard: (hop: Hop) => void) {
    this.#unheard = unheard
  }

  /** @param prefix rows of it that are here; undefined: none was asked for */
  opened(hop: Hop, prefix?: number): void {
    const control = encodeControl({ pid: hop.host.pid, ...(prefix !== undefined && { prefix }) })
    this.#tell(hop, hop.frame({ type: RING.opened, control }))
  }

  rerouted(hop: Hop): void {
    this.#tell(hop, hop.frame({ type: RING.rerouted, control: encodeControl({ taken: hop.taken }) }))
  }

  answer(hop: Hop, message: Frame): void {
    hop.answered = message
    const { request, attempt } = hop
    this.#tell(hop, forward(message, { type: message.type, request, attempt, hop: hop.place }))
  }

  /** A neighbour is gone, the session stays: its origin finds another route, or ends it. Told once an attempt. */
  broken(hop: Hop, peer: string, why: string, gone: boolean): void {
    hop.paused = true
    if (hop.told) return
    hop.told = true
    this.#tell(hop, hop.frame({ type: RING.broken, control: encodeControl({ peer, why: cut(why), gone }) }))
  }

  leaving(hop: Hop): void {
    hop.origin.send(hop.frame({ type: RING.leaving })).catch(() => undefined)
  }

  /** @param now milliseconds of the clock that its spans have */
  traced(hop: Hop, now: number): void {
    const payload = encodeSpans(hop.spans.all())
    const control = encodeControl({ now, dropped: hop.spans.dropped })
    const message = hop.frame({ type: RING.traced, control, dtype: DTYPE.bytes, dims: [payload.length], payload })
    hop.origin.send(message).catch(() => undefined)
  }

  /** What its host says of its end. */
  ended(hop: Hop, message: Frame): void {
    const { request, attempt, place } = hop
    hop.origin.send(forward(message, { type: RING.error, request, attempt, hop: place })).catch(() => undefined)
  }

  failed(hop: Hop, error: unknown): void {
    refuse(hop.origin, hop.frame({ type: RING.error }), error)
  }

  #tell(hop: Hop, message: Frame): void {
    hop.origin.send(message).catch(() => this.#unheard(hop))
  }
}

/** What a frame asks for is not done. */
export function refuse(origin: Link, message: Frame, error: unknown): void {
  origin.send(failureOf(message, error)).catch(() => undefined)
}
