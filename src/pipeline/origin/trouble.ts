/** What a session knows of its route's troubles: which segments are lost, which channels broke, whom not to ask again. */
import { NotFiniteError } from '../host/errors.ts'
import { AnswerFormatError, FormatUnsupportedError } from '../host/grammar/errors.ts'
import { StageHostLostError } from '../host/host-errors.ts'
import { PeerLostError, RowsNotFiniteError } from '../ring/errors.ts'
import type { RouteSegment } from './route.ts'
import type { Failover } from './session.ts'

export interface LostSegment {
  readonly segment: RouteSegment
  readonly why: string
  /** Who takes it is known already, and ready. */
  readonly by?: RouteSegment
}

/** A channel that breaks so often between two peers that can both be reached is not tried again. */
const BREAKS = 2
/** Failures of one peer in one session, for a reason of its own, after which others are asked. */
const FAILURES = 2
const LEAVES = 'it is about to leave'
const STUCK = 'it takes rows and passes none on'
const SILENT = 'it does not answer'
const WRONG = 'its rows are not what others compute'

const ALWAYS_RECOVERABLE: ReadonlySet<string> = new Set([PeerLostError.info.code, StageHostLostError.info.code])
/** Another peer would compute the same, or refuse the same. */
const NEVER_RECOVERABLE: ReadonlySet<string> = new Set([
  NotFiniteError.info.code,
  AnswerFormatError.info.code,
  FormatUnsupportedError.info.code,
])

/** @param begun the session has been open: a refusal now is one of a replacement, not of the request */
export function isRecoverable(error: Error, begun: boolean): boolean {
  const code = 'code' in error ? String(error.code) : ''
  if (ALWAYS_RECOVERABLE.has(code)) return true
  return begun && !NEVER_RECOVERABLE.has(code)
}

export class Trouble {
  /** By the block that the segment begins with. */
  readonly #lost = new Map<number, LostSegment>()
  readonly #breaks = new Map<string, number>()
  readonly #failures = new Map<string, number>()
  readonly avoid = new Set<string>()
  /** Peers that took too long to open a session: they go on with loading meanwhile, and are as good as others when that is done. */
  readonly #slow = new Set<string>()
  /** Stages that have computed what are no numbers. */
  #notFinite = 0
  readonly #self: string
  readonly #failover: Pick<Failover, 'isReachable' | 'refused'>
  /** Grows with everything that is noted. */
  version = 0

  constructor(self: string, failover: Pick<Failover, 'isReachable' | 'refused'>) {
    this.#self = self
    this.#failover = failover
  }

  get lost(): LostSegment[] {
    return [...this.#lost.values()]
  }

  /** Peers to be asked last. @param isReady what it was to load is loaded by now */
  avoiding(isReady: (peer: string) => boolean = () => false): ReadonlySet<string> {
    return new Set([...this.avoid, ...[...this.#slow].filter((peer) => !isReady(peer))])
  }

  lose(segment: RouteSegment, why: string, by?: RouteSegment): void {
    if (this.#lost.has(segment.from)) return
    this.#lost.set(segment.from, { segment, why, ...(by === undefined ? {} : { by }) })
    this.version++
  }

  /**
   * Whether the session goes on after this failure of a segment. What are no numbers for a second time are none anywhere: another
   * peer was asked where there is one, so it is the model, or what it was asked with.
   * @param begun as of isRecoverable
   */
  survives(segment: RouteSegment, error: Error, begun: boolean): boolean {
    this.#failover.refused?.(segment, error)
    if (!('code' in error) || error.code !== RowsNotFiniteError.info.code) return isRecoverable(error, begun)
    this.avoid.add(segment.peer)
    return begun && ++this.#notFinite === 1
  }

  /** The peer itself failed at this, for whatever reason. */
  fail(segment: RouteSegment, why: string): void {
    const failures = (this.#failures.get(segment.peer) ?? 0) + 1
    this.#failures.set(segment.peer, failures)
    if (failures >= FAILURES) this.avoid.add(segment.peer)
    this.lose(segment, why)
  }

  /**
   * It has not answered in time. Returns the loss.
   * @param fresh segments that were to be opened: whoever takes long for that is not asked again before others
   */
  silent(segment: RouteSegment, fresh: ReadonlySet<RouteSegment>): PeerLostError {
    if (fresh.has(segment)) {
      this.#slow.add(segment.peer)
      this.lose(segment, SILENT)
    } else this.fail(segment, SILENT)
    return new PeerLostError(segment.peer, SILENT)
  }

  /**
   * Nothing has come for too long. Returns what to recover from.
   * @param hop that passes nothing on; undefined: all are asked how far they are, and nobody is lost
   */
  stuck(route: readonly RouteSegment[], hop: number | undefined, silentMs: number): PeerLostError {
    const why = `nothing came for ${(silentMs / 1000).toFixed(1)} s`
    const segment = hop === undefined ? undefined : route[hop]
    if (segment === undefined || segment.peer === this.#self) {
      this.version++
      return new PeerLostError(route.at(-1)!.peer, why)
    }
    this.avoid.add(segment.peer)
    this.lose(segment, STUCK)
    return new PeerLostError(segment.peer, why)
  }

  /** Nothing that it computes is used any more. Returns the loss. */
  condemn(route: readonly RouteSegment[], peer: string): PeerLostError {
    this.avoid.add(peer)
    for (const segment of route) if (segment.peer === peer) this.lose(segment, WRONG)
    this.version++
    return new PeerLostError(peer, WRONG)
  }

  /**
   * A hop cannot reach its neighbour, though the origin may reach both. When only a channel has ended, it is tried again over
   * new ones before the neighbour is replaced. Returns what to recover from.
   * @param gone the neighbour is gone for the hop: it does not answer heartbeats
   */
  broken(route: readonly RouteSegment[], hop: number, peer: string, why: string, gone: boolean): PeerLostError {
    const loss = new PeerLostError(peer, why)
    const at = route[hop]
    // Both ends of a broken way tell of it: whoever is being replaced for it does not take the other along.
    if (at === undefined || this.#lost.has(at.from)) return loss
    const neighbour = [route[hop + 1], route[hop - 1]].find((segment) => segment?.peer === peer)
    // The origin does not replace itself.
    const segment = peer === this.#self ? at : neighbour
    const isOften = this.#breaksOften(at.peer, peer)
    if (segment === undefined || !(gone || isOften || !this.#failover.isReachable(peer))) return loss
    // Who is ready for these blocks is whom the hop does not reach: it would be lost there again.
    this.avoid.add(segment.peer)
    this.lose(segment, why)
    return loss
  }

  /**
   * Returns what to recover from.
   * @param gone nothing more comes from it; otherwise a channel to it has ended, with what it carried
   */
  lostPeer(route: readonly RouteSegment[], peer: string, why: string, gone: boolean): PeerLostError {
    if (gone || !this.#failover.isReachable(peer)) {
      for (const segment of route) if (segment.peer === peer) this.lose(segment, why)
    } else this.version++
    return new PeerLostError(peer, why)
  }

  /**
   * What was for it could not be sent. Returns the loss. One that was not reached in time counts as connected for a while yet, and
   * nobody is as ready for its blocks as itself: it would be waited for once more. Where a channel has ended it may be back already.
   */
  unsent(route: readonly RouteSegment[], peer: string, error: unknown): PeerLostError {
    if (error instanceof PeerLostError) this.avoid.add(peer)
    return this.lostPeer(route, peer, error instanceof Error ? error.message : String(error), true)
  }

  #breaksOften(from: string, to: string): boolean {
    const key = `${from} ${to}`
    const count = (this.#breaks.get(key) ?? 0) + 1
    this.#breaks.set(key, count)
    this.version++
    return count >= BREAKS
  }

  /** Its stage has moved to another that has caught up. Returns the loss. */
  leaves(segment: RouteSegment, by: RouteSegment): PeerLostError {
    this.lose(segment, LEAVES, by)
    return new PeerLostError(segment.peer, LEAVES)
  }

  /** These were replaced. */
  settle(lost: readonly LostSegment[]): void {
    for (const { segment } of lost) this.#lost.delete(segment.from)
  }
}
