/**
 * One side of a connection: its channels, and whether the other side still answers. Heart-beats are not sent, their
 * outcome is computed: a side that hears nothing finds out after as long as the product's heart-beats would take.
 */
import { PeerFrozenError } from '../../../src/net/index.ts'
import type { CancelTimer } from '../../../src/util/index.ts'
import type { SimulatedChannel } from './channel.ts'
import type { Hub } from './hub.ts'
import type { SimulatedNetwork } from './network.ts'
import type { Pipe } from './pipe.ts'

/** As the product: a beat a second while watched, 1.45 s for its answer; else one in 5 s, and 30 s. */
const WATCHED_BEAT_MS = 1_000
const WATCHED_WAIT_MS = 1_450
const BEAT_MS = 5_000
const BEAT_WAIT_MS = 30_000

export class Link {
  readonly hub: Hub
  readonly node: SimulatedNetwork
  readonly peer: string
  readonly direction: 'inbound' | 'outbound'
  readonly openedAt: number
  readonly channels = new Set<SimulatedChannel>()
  other!: Link
  out!: Pipe
  isOpen = true
  /** Since when nothing is answered, and how far the next beat is then, as a share of the time between two. */
  #mute: { readonly since: number; readonly phase: number } | undefined
  /** When somebody began to watch. */
  #watchedAt: number | undefined
  #cancel: CancelTimer = () => undefined

  constructor(hub: Hub, node: SimulatedNetwork, peer: string, direction: Link['direction']) {
    this.hub = hub
    this.node = node
    this.peer = peer
    this.direction = direction
    this.openedAt = hub.scheduler.now
  }

  /** Something of the way, of the other side or of the watches has changed. */
  look(): void {
    if (!this.isOpen) return
    const isWatched = this.node.isWatching(this.peer)
    if (!isWatched) this.#watchedAt = undefined
    else this.#watchedAt ??= this.hub.scheduler.now
    this.#cancel()
    if (!this.#isMute()) {
      this.#mute = undefined
      // What it sends is answered by a reset: the other side has ended meanwhile.
      if (!this.other.isOpen) this.#expectReset()
      return
    }
    const { now } = this.hub.scheduler
    // What changes meanwhile on other ways moves no beat of this one.
    const mute = (this.#mute ??= { since: now, phase: this.hub.skies.chance.next() })
    const due = this.#beatAt(mute) + (isWatched ? WATCHED_WAIT_MS : BEAT_WAIT_MS)
    this.#cancel = this.node.process.after(due - now, () => {
      if (!this.isOpen || !this.#isMute()) return
      this.node.countBeat(false)
      this.end(new PeerFrozenError(this.peer, this.hub.scheduler.now - mute.since), 'frozen')
    })
  }

  /** Milliseconds that a beat waits for its answer; 0: all are answered, or in time. As `Vitals.quality` has it. */
  get silent(): number {
    const silent = this.#mute === undefined ? 0 : this.hub.scheduler.now - this.#beatAt(this.#mute)
    return silent > WATCHED_WAIT_MS ? silent : 0
  }

  /** The first that is not answered: who begins to watch beats at once. */
  #beatAt({ since, phase }: { readonly since: number; readonly phase: number }): number {
    if (this.#watchedAt === undefined) return since + phase * BEAT_MS
    return Math.max(since + phase * WATCHED_BEAT_MS, this.#watchedAt)
  }

  /** @param why null: nobody is told, its node has stopped or died */
  end(reason: Error, why: 'frozen' | 'lost' | 'stopped' | null): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.#cancel()
    this.out.close()
    const channels = [...this.channels]
    if (why !== null) {
      for (const channel of channels) channel.ended(reason)
      this.node.left(this, why)
    }
    this.hub.linkEnded(this)
  }

  #expectReset(): void {
    const latency = this.hub.skies.way(this.peer, this.node.id).latency
    this.#cancel = this.node.process.after(latency, () => {
      if (!this.#isMute()) this.end(new Error('the connection was reset'), 'lost')
    })
  }

  /** No answer to what it sends: cut either way, a slow one, or nobody there who could answer. */
  #isMute(): boolean {
    const { skies } = this.hub
    const { id } = this.node
    const { process } = this.other.node
    if (skies.isCut(id, this.peer) || skies.isCut(this.peer, id)) return true
    // Once its machine runs again, that answers for the process that is no more.
    const isGone = process.isDead && this.other.node.isSilent && !this.hub.has(this.peer)
    if (process.isFrozen || isGone) return true
    const trip = skies.way(id, this.peer).latency + skies.way(this.peer, id).latency
    return trip > WATCHED_WAIT_MS && this.node.isWatching(this.peer)
  }
}
