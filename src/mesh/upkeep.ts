/** What must be done again and again: saying that we live, and forgetting who was not heard for long. */
import type { Network } from '../net/index.ts'
import type { Clock } from '../util/index.ts'
import { dialable } from './acquaint.ts'
import { AWAY_KEEP_MS, HEARTBEAT_MS, HEARTBEAT_PEERS, MAX_ADDRESSES } from './limits.ts'
import type { MeshLogger } from './needs.ts'
import { standingPlacements } from './placements.ts'
import type { Publisher } from './publisher.ts'
import type { RecordBook } from './record-book.ts'
import type { OwnProfile } from './types.ts'

export interface UpkeepNeeds {
  readonly network: Network
  readonly clock: Clock
  readonly book: RecordBook
  readonly publisher: Publisher
  readonly logger: MeshLogger
  /** Ourselves, and who is connected. */
  readonly isNear: (peer: string) => boolean
}

/** Milliseconds after which a peer says again that it lives, in a mesh of so many. */
export function heartbeatMs(peers: number): number {
  return HEARTBEAT_MS * Math.max(1, peers / HEARTBEAT_PEERS)
}

export class Upkeep {
  readonly #needs: UpkeepNeeds
  #profile: { readonly own: OwnProfile; readonly at: number } | undefined

  #leaving = false

  constructor(needs: UpkeepNeeds) {
    this.#needs = needs
  }

  async publishProfile(own: OwnProfile): Promise<void> {
    const { clock, network, publisher } = this.#needs
    this.#profile = { own, at: clock.now() }
    const state = this.#leaving ? 'draining' : own.state
    const circuits = network.reach().circuits.slice(0, MAX_ADDRESSES)
    const addresses = dialable(network).slice(0, MAX_ADDRESSES)
    await publisher.profile({ ...own, state, addresses, ...(circuits.length === 0 ? {} : { circuits }) })
  }

  /** The same again, with the addresses of now. */
  refreshProfile(): void {
    if (this.#profile === undefined) return
    this.publishProfile(this.#profile.own).catch((error: unknown) => {
      this.#needs.logger.warn({ err: error }, 'the profile of this peer could not be published again')
    })
  }

  /** The last word before the end: no later profile takes it back. */
  async drain(): Promise<void> {
    if (this.#profile === undefined) return
    this.#leaving = true
    await this.publishProfile(this.#profile.own).catch(() => undefined)
  }

  /** At each round of anti-entropy. */
  round(): void {
    const { book, clock, isNear } = this.#needs
    for (const author of book.authors()) {
      if (isNear(author)) book.heard(author, 0)
      else if (book.silence(author) > AWAY_KEEP_MS) this.#forget(author)
    }
    book.shadows.sweep()
    if (this.#profile !== undefined && clock.now() - this.#profile.at >= heartbeatMs(book.size)) this.refreshProfile()
  }

  /** A standing placement stays: its stages may well be there, and withdrawn ones keep older ones away. */
  #forget(author: string): void {
    const { book } = this.#needs
    const standing = new Set([...standingPlacements(book).values()].map(({ id }) => id))
    for (const { id } of book.recordsOf(author)) if (!standing.has(id)) book.drop(id)
  }
}
