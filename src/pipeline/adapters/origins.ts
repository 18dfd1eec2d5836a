/** The runs of which this peer is the origin, and what comes back to them from their stages. */
import { toWeftError } from '../../errors.ts'
import type { Frame } from '../../net/index.ts'
import type { Message } from '../graph/messages.ts'
import { PeerLostError } from '../ring/errors.ts'
import { decodeRingError } from '../ring/protocol.ts'
import { RemoteError } from '../ring/remote-error.ts'
import { refusedOver } from '../ring/site-gate.ts'
import type { SiteGate } from '../ring/site-gate.ts'
import { BEFORE_FIRST } from './open-stage.ts'
import type { TrainListener, TrainOrigin } from './open-stage.ts'
import { TRAIN } from './protocol.ts'

export class TrainOrigins {
  readonly #self: string
  readonly #origins = new Map<number, TrainOrigin>()

  constructor(self: string) {
    this.#self = self
  }

  /** Returns how to end that. */
  listen(request: number, where: Omit<TrainOrigin, 'listener'>, listener: TrainListener): () => void {
    this.#origins.set(request, { ...where, listener })
    return () => this.#origins.delete(request)
  }

  /**
   * Rows that left the last stage, or gradients that left the first: behind and before these stands the origin.
   * @returns whether they were taken; undefined: they are for a stage
   */
  rows(peer: string, { head, tensors }: Message, micro: number, origin: string): boolean | undefined {
    const own = this.#origins.get(head.request)
    if (own === undefined || origin !== this.#self) return undefined
    const { route, listener } = own
    if (head.type === TRAIN.forward && head.hop === route.length) {
      if (route.at(-1) !== peer) return false
      listener.rows(head.step, micro, tensors)
      return true
    }
    if (head.type !== TRAIN.backward || head.hop !== BEFORE_FIRST) return undefined
    if (route[0] !== peer) return false
    listener.returned(head.step, micro, tensors)
    return true
  }

  /** What a stage says of itself. @returns whether it is one of the run */
  told(peer: string, { head, control, tensors }: Message): boolean {
    const own = this.#origins.get(head.request)
    if (own === undefined || own.route[head.hop] !== peer) return false
    if (head.type === TRAIN.opened) own.listener.opened(head.hop, Number(control['pid']))
    else if (head.type === TRAIN.gradients) own.listener.gradients(head.hop, head.step, tensors)
    return true
  }

  /** @returns whether it is a stage of the run */
  failed(peer: string, part: Frame): boolean {
    const own = this.#origins.get(part.request)
    if (own === undefined || own.route[part.hop] !== peer) return false
    own.listener.failed(peer, new RemoteError(peer, decodeRingError(part)))
    return true
  }

  /** What this peer sent itself could not be read. */
  fault(request: number, error: unknown): void {
    this.#origins.get(request)?.listener.failed(this.#self, toWeftError(error))
  }

  peerLost(peer: string, why: string): void {
    for (const { route, listener } of this.#origins.values()) {
      if (route.includes(peer)) listener.failed(peer, new PeerLostError(peer, why))
    }
  }

  /** Runs lose the peers to which the site lets no rows go any more. */
  review(gate: SiteGate & { readonly self: string }): void {
    for (const { digest, route, listener } of this.#origins.values()) {
      for (const peer of new Set(route)) {
        const error = refusedOver(gate, peer, digest)
        if (error !== undefined) listener.failed(peer, new PeerLostError(peer, error.message))
      }
    }
  }
}
