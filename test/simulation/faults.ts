/** Injects faults at random times, and takes them back; in the second phase it heals a core and leaves the rest broken. */
import type { Frame } from '../../src/net/index.ts'
import type { CancelTimer } from '../../src/util/index.ts'
import { wipe } from './disk/memory-disk.ts'
import type { RunLog } from './log.ts'
import type { SimulatedChannel } from './net/channel.ts'
import type { Hub } from './net/hub.ts'
import type { SimulatedPeer } from './peer.ts'
import type { FaultRates } from './plan.ts'
import type { Chance } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** Peers that keep the model, whatever happens to the others' disks. */
const KEEPERS = 2
const KEPT_FRAMES = 64

export interface FaultNeeds {
  readonly scheduler: Scheduler
  readonly hub: Hub
  readonly log: RunLog
  readonly chance: Chance
  readonly peers: readonly SimulatedPeer[]
  readonly rates: FaultRates
}

type Kind = Exclude<keyof FaultRates, 'replay' | 'silent' | 'reformat'>

export class Faults {
  readonly #needs: FaultNeeds
  /** How often each kind has fired. */
  readonly fired = new Map<string, number>()
  /** How to take back what stands. */
  readonly #standing = new Set<() => void>()
  #isOver = false
  readonly #old: { readonly frame: Frame; readonly channel: SimulatedChannel }[] = []

  constructor(needs: FaultNeeds) {
    this.#needs = needs
  }

  get total(): number {
    return [...this.fired.values()].reduce((sum, count) => sum + count, 0)
  }

  start(): void {
    const { hub, rates } = this.#needs
    const kinds: readonly Kind[] = [
      'crash',
      'freeze',
      'partition',
      'slowWay',
      'hostCrash',
      'hostWedge',
      'leave',
      'slowDevice',
    ]
    for (const kind of kinds) this.#next(kind)
    if (rates.replay > 0) hub.tamper = (frame, channel) => this.#replay(frame, channel)
  }

  #next(kind: Kind): void {
    const { chance, rates, scheduler } = this.#needs
    const wait = chance.wait(rates[kind])
    if (wait === Infinity) return
    scheduler.after(wait, () => {
      if (this.#isOver) return
      this.#fire(kind)
      this.#next(kind)
    })
  }

  #count(kind: string): void {
    this.fired.set(kind, (this.fired.get(kind) ?? 0) + 1)
  }

  #fire(kind: Kind): void {
    const { chance, log, peers } = this.#needs
    if (kind === 'partition') return this.#partition()
    const up = peers.filter((peer) => peer.isUp && !peer.process.isFrozen)
    const peer = chance.pick(up)
    // A mesh of nobody shows nothing.
    if (peer === undefined || (up.length <= 2 && (kind === 'crash' || kind === 'leave'))) return
    if (kind === 'crash') this.#crash(peer)
    else if (kind === 'leave') this.#leave(peer)
    else if (kind === 'freeze') this.#freeze(peer)
    else if (kind === 'slowDevice') this.#slow(peer)
    else if (kind === 'slowWay') this.#clog(peer)
    else {
      const host = chance.pick(peer.hosts?.running ?? [])
      if (host === undefined) return
      log.add(kind, peer.name, host.pid)
      if (kind === 'hostCrash') host.crash()
      else host.wedge()
    }
    this.#count(kind)
  }

  #crash(peer: SimulatedPeer): void {
    const { chance, rates } = this.#needs
    peer.kill(chance.is(rates.silent))
    const isWiped = peer.index >= KEEPERS && chance.is(rates.reformat)
    this.#undo(chance.between(500, 30_000), () => this.#restart(peer, isWiped))
  }

  #restart(peer: SimulatedPeer, isWiped: boolean): void {
    if (isWiped) {
      this.#needs.log.add('reformatted', peer.name)
      this.#count('reformat')
      for (const folder of ['store', 'cache', 'partitions', 'state', 'peers']) wipe(`${peer.home}/${folder}`)
    }
    void peer.start()
  }

  #leave(peer: SimulatedPeer): void {
    const { chance } = this.#needs
    void peer.leave().then(() => this.#undo(chance.between(500, 20_000), () => void peer.start()))
  }

  #freeze(peer: SimulatedPeer): void {
    peer.freeze()
    this.#undo(this.#needs.chance.between(200, 15_000), () => peer.thaw())
  }

  #slow(peer: SimulatedPeer): void {
    const { chance, log } = this.#needs
    peer.slowness = chance.between(2, 15)
    log.add('slow device', peer.name, peer.slowness)
    this.#undo(chance.between(2_000, 30_000), () => (peer.slowness = 1))
  }

  #clog(peer: SimulatedPeer): void {
    const { chance, hub, log } = this.#needs
    const latency = chance.between(50, 2_000)
    log.add('slow way', peer.name, latency)
    this.#undo(
      chance.between(500, 10_000),
      hub.skies.storm(peer.id, { latency, jitter: latency / 4, rate: chance.between(2, 200) }),
    )
  }

  /** None, one or some are apart from the others; both ways, or one. */
  #partition(): void {
    const { chance, hub, log, peers } = this.#needs
    const isOne = chance.is(0.5)
    const apart = new Set(isOne ? [chance.pick(peers)!.id] : peers.filter(() => chance.is(0.5)).map(({ id }) => id))
    const isOneWay = chance.is(0.3)
    log.add('partition', isOneWay, ...peers.filter(({ id }) => apart.has(id)).map(({ name }) => name))
    this.#count(isOneWay ? 'one-way partition' : 'partition')
    const isCut = (from: string, to: string): boolean =>
      apart.has(from) !== apart.has(to) && (!isOneWay || apart.has(from))
    this.#undo(chance.between(500, 30_000), hub.skies.cut(isCut))
  }

  /** An old frame of the same two peers comes once more behind this one. */
  #replay(frame: Frame, channel: SimulatedChannel): readonly Frame[] {
    const { chance, log, rates } = this.#needs
    this.#old.push({ frame, channel })
    if (this.#old.length > KEPT_FRAMES) this.#old.shift()
    if (this.#isOver || !chance.is(rates.replay)) return [frame]
    const same = this.#old.filter(({ channel: other }) => other.remote === channel.remote)
    const old = chance.pick(same)
    if (old === undefined) return [frame]
    this.#count('replay')
    log.add('replay', old.frame.type, old.frame.position, old.frame.attempt)
    return [frame, { ...old.frame }]
  }

  #undo(wait: number, action: () => void): void {
    const { scheduler } = this.#needs
    const once = (): void => {
      if (!this.#standing.delete(once)) return
      cancel()
      action()
    }
    const cancel: CancelTimer = scheduler.after(wait, once)
    this.#standing.add(once)
  }

  /**
   * No fault comes any more. What stands is taken back, but for the peers outside of the core: they die without a word
   * and stay dead.
   */
  heal(core: ReadonlySet<SimulatedPeer>): void {
    const { log, peers } = this.#needs
    this.#isOver = true
    for (const peer of peers) {
      if (core.has(peer)) continue
      peer.isOut = true
      if (!peer.process.isDead) peer.kill(true)
    }
    for (const action of this.#standing) action()
    log.add('healed', ...[...core].map(({ name }) => name))
  }
}
