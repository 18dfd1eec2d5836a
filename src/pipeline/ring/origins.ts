/** What comes back to the origins on this peer: each hears of its own sessions, of each hop from the peer of that hop alone. */
import { toWeftError } from '../../errors.ts'
import type { Frame } from '../../net/index.ts'
import {
  decodeAccounted,
  decodeBroken,
  decodeOpened,
  decodeRerouted,
  decodeRingError,
  decodeToken,
  RING,
} from './protocol.ts'
import type { Account } from './protocol.ts'
import { RemoteError } from './remote-error.ts'

/** Who may say what of a session. */
export interface OriginRoute {
  readonly peers: ReadonlySet<string>
  /** The hop that says tokens, and what was taken in. */
  readonly answering: number
  /** Undefined: the route has no such hop. */
  peerAt(hop: number): string | undefined
}

/** What an origin hears of its session. */
export interface OriginListener {
  /** Frames of other attempts are fenced. */
  readonly attempt: number
  readonly route: OriginRoute
  /** @param rows of its prefix that it has */
  opened(hop: number, pid: number, rows: number): void
  /** A hop that stays has its new route, and so many rows. */
  rerouted(hop: number, taken: number): void
  token(message: Frame, control: ReturnType<typeof decodeToken>): void
  taken(message: Frame): void
  /** A hop's account of rows; `message.step` is the number of the question. */
  accounted(message: Frame, account: Account): void
  /** The session has ended at this hop. */
  failed(hop: number, error: Error): void
  /** The session is well at this hop, but its neighbour is gone for it, or a channel to it has ended. */
  broken(hop: number, peer: string, why: string, gone: boolean): void
  /** The peer of this hop is about to leave. */
  leaving(hop: number): void
  /** `gone`: nothing more comes from this peer. Otherwise a channel to it has ended, with what it carried. */
  lost(peer: string, why: string, gone: boolean): void
}

export class Origins {
  readonly #listeners = new Map<number, OriginListener>()
  readonly #digests = new Map<OriginListener, string>()
  readonly #count: (name: string) => void

  constructor(count: (name: string) => void) {
    this.#count = count
  }

  /** @param digest of the model */
  listen(request: number, digest: string, listener: OriginListener): () => void {
    this.#listeners.set(request, listener)
    this.#digests.set(listener, digest)
    return () => {
      this.#listeners.delete(request)
      this.#digests.delete(listener)
    }
  }

  /** Those over peers that they may not go over any more go on elsewhere. @param refused why, or undefined */
  review(refused: (peer: string, digest: string) => Error | undefined): void {
    for (const listener of this.#listeners.values()) {
      for (const peer of listener.route.peers) {
        const error = refused(peer, this.#digests.get(listener)!)
        if (error !== undefined) listener.lost(peer, error.message, true)
      }
    }
  }

  lost(peer: string, why: string, gone: boolean): void {
    for (const listener of this.#listeners.values()) if (listener.route.peers.has(peer)) listener.lost(peer, why, gone)
  }

  /** A frame of this peer's own that nobody could read. */
  failed({ request, attempt, hop }: Frame, error: unknown): void {
    const listener = this.#listeners.get(request)
    if (listener?.attempt === attempt) listener.failed(hop, toWeftError(error))
  }

  receive(from: string, message: Frame): void {
    const listener = this.#listeners.get(message.request)
    if (listener === undefined) {
      this.#count('frames_refused')
      return
    }
    // A peer that was replaced is not of the route any more; what it sends late is of its attempt.
    if (message.attempt !== listener.attempt) {
      this.#count('frames_fenced')
      return
    }
    const { type, hop } = message
    // A stage speaks for itself: it has the number of the session, and could say what the head would.
    const answers = type === RING.token || type === RING.taken
    if (listener.route.peerAt(hop) !== from || (answers && hop !== listener.route.answering)) {
      this.#count('frames_refused')
      return
    }
    if (message.type === RING.opened) this.#opened(listener, message)
    else if (message.type === RING.rerouted) listener.rerouted(message.hop, decodeRerouted(message).taken)
    else if (message.type === RING.token) listener.token(message, decodeToken(message))
    else if (message.type === RING.taken) listener.taken(message)
    else if (message.type === RING.accounted) listener.accounted(message, decodeAccounted(message))
    else if (message.type === RING.error) listener.failed(message.hop, new RemoteError(from, decodeRingError(message)))
    else if (message.type === RING.leaving) listener.leaving(message.hop)
    else if (message.type === RING.broken) {
      const { peer, why, gone } = decodeBroken(message)
      listener.broken(message.hop, peer, why, gone)
    }
  }

  #opened(listener: OriginListener, message: Frame): void {
    const { pid, prefix = 0 } = decodeOpened(message)
    listener.opened(message.hop, pid, prefix)
  }
}
