/** Whom to dial, where, and when again: back-off that never gives up on a peer that belongs here. */
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { CancelTimer, Clock, RandomSource } from '../util/index.ts'
import { withPeer } from './addresses.ts'
import { FIRST_RETRY_MS, LAST_RETRY_MS, MAX_ADDRESSES, MAX_TARGETS, STRANGER_KEEP_MS } from './constants.ts'

/** Why it is dialled. Named and known ones for as long as it takes, announced ones while they are announced. */
export type TargetKind = 'named' | 'known' | 'announced'

export interface DialOutcome {
  readonly joined: boolean
  /** Learned by dialling an address without an id. */
  readonly peer: string | null
}

interface Target {
  readonly key: string
  kind: TargetKind
  /** Undefined until an address without an id has been dialled. */
  peer: string | undefined
  /** Without the id; the latest first. */
  addresses: string[]
  attempts: number
  lastSeen: number
  busy: boolean
  cancel: CancelTimer | undefined
}

export interface DiallerNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  connected(peer: string): boolean
  /** Dials and waits for the greeting; never rejects. `retry`: what to say about the next attempt. */
  dial(addresses: readonly string[], peer: string | null, retry: Retry): Promise<DialOutcome>
  connecting(peer: string): void
  /** Of a peer that was removed: it is not dialled, whoever announces it. @default nobody */
  keepsAway?(peer: string): boolean
}

export interface Retry {
  /** Attempts so far, this one included. */
  readonly attempt: number
  /** Milliseconds until the next. */
  readonly next: number
}

export class Dialler {
  readonly #needs: DiallerNeeds
  readonly #self: string
  readonly #targets = new Map<string, Target>()
  /** Without the id: where a peer is that is no target, and may become one. */
  lookUp: (peer: string) => readonly string[] = () => []
  #stopped = false

  constructor(needs: DiallerNeeds, self: string) {
    this.#needs = needs
    this.#self = self
  }

  /** Notes that a peer can be reached there, and dials it unless it is connected. */
  add(kind: TargetKind, peer: string | undefined, addresses: readonly string[]): void {
    if (this.#stopped || peer === this.#self) return
    if (peer !== undefined && this.#needs.keepsAway?.(peer) === true) return
    const key = peer ?? addresses[0]
    if (key === undefined) return
    let target = this.#targets.get(key)
    if (target === undefined) {
      target = { key, kind, peer, addresses: [], attempts: 0, lastSeen: 0, busy: false, cancel: undefined }
      this.#targets.set(key, target)
      this.#evict()
    }
    if (rank(kind) < rank(target.kind)) target.kind = kind
    target.lastSeen = this.#needs.clock.now()
    const fresh = addresses.some((address) => !target.addresses.includes(address))
    target.addresses = [...new Set([...addresses, ...target.addresses])].slice(0, MAX_ADDRESSES)
    if (this.#isConnected(target) || target.busy) return
    // a peer that is waiting for its next attempt and shows itself at a new address is tried there at once
    if (target.cancel === undefined || fresh) this.#schedule(target, this.#firstDelay(target))
  }

  /** Addresses that a peer has been or may be reached at. */
  addressesOf(peer: string): readonly string[] {
    const own = [...this.#targets.values()].filter((one) => one.peer === peer).flatMap((one) => one.addresses)
    return [...new Set([...own, ...this.lookUp(peer)])]
  }

  /** The peer is here; whoever dialled. */
  joined(peer: string): void {
    for (const target of this.#targets.values()) {
      if (target.peer !== peer) continue
      target.attempts = 0
      if (target.kind === 'announced') target.kind = 'known'
      target.cancel?.()
      target.cancel = undefined
    }
  }

  /** The peer has gone: it is dialled until it is back. */
  lost(peer: string): void {
    for (const target of this.#targets.values())
      if (target.peer === peer && !target.busy) this.#schedule(target, this.#jittered(FIRST_RETRY_MS / 2))
  }

  /** Nothing is dialled any more until it is added again (a person said no). */
  forget(peer: string): void {
    for (const target of this.#targets.values()) {
      if (target.peer !== peer) continue
      target.cancel?.()
      this.#targets.delete(target.key)
    }
  }

  stop(): void {
    this.#stopped = true
    for (const target of this.#targets.values()) target.cancel?.()
    this.#targets.clear()
  }

  /** Of two that see each other at the same time one goes first, so that their dials seldom cross. */
  #firstDelay(target: Target): number {
    const first = target.kind === 'named' || target.peer === undefined || this.#self < target.peer
    return first ? 0 : this.#jittered(FIRST_RETRY_MS)
  }

  #schedule(target: Target, delay: number): void {
    if (this.#stopped) return
    target.cancel?.()
    target.cancel = this.#needs.clock.after(delay, () => void this.#attempt(target))
  }

  async #attempt(target: Target): Promise<void> {
    target.cancel = undefined
    if (this.#stopped || target.busy || this.#isConnected(target)) return
    if (target.peer !== undefined && this.#needs.keepsAway?.(target.peer) === true) {
      this.#targets.delete(target.key)
      return
    }
    if (target.kind === 'announced' && this.#needs.clock.now() - target.lastSeen > STRANGER_KEEP_MS) {
      this.#targets.delete(target.key)
      return
    }
    target.busy = true
    target.attempts++
    const next = this.#jittered(Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (target.attempts - 1)))
    if (target.peer !== undefined) this.#needs.connecting(target.peer)
    const peer = target.peer ?? null
    const addresses = target.addresses.map((one) => (peer === null ? one : withPeer(one, peer)))
    const outcome = await this.#needs.dial(addresses, peer, { attempt: target.attempts, next })
    this.#needs.telemetry?.count('dials', 1, { outcome: outcome.joined ? 'ok' : 'failed' })
    target.busy = false
    // an address without an id may lead to another peer each time: only one that joined is remembered
    if (outcome.joined && target.peer === undefined && outcome.peer !== null) target.peer = outcome.peer
    if (outcome.joined) target.attempts = 0
    if (!this.#isConnected(target) && this.#targets.get(target.key) === target)
      this.#schedule(target, outcome.joined ? FIRST_RETRY_MS : next)
  }

  #isConnected(target: Target): boolean {
    return target.peer !== undefined && this.#needs.connected(target.peer)
  }

  #jittered(milliseconds: number): number {
    const [byte] = this.#needs.random.bytes(1) as unknown as [number]
    return milliseconds * (0.75 + byte / 512)
  }

  /** Announcements are free for whoever floods the network: the oldest of them make room. */
  #evict(): void {
    if (this.#targets.size <= MAX_TARGETS) return
    const strangers = [...this.#targets.values()].filter((one) => one.kind === 'announced' && !this.#isConnected(one))
    const oldest = strangers.toSorted((a, b) => a.lastSeen - b.lastSeen)[0]
    if (oldest === undefined) return
    oldest.cancel?.()
    this.#targets.delete(oldest.key)
  }
}

function rank(kind: TargetKind): number {
  return ['named', 'known', 'announced'].indexOf(kind)
}
