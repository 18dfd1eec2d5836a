/** What the ways of many peers go through while these come and go: partitions of a part, and peers at slow ends. */
import type { RunLog } from './log.ts'
import type { Hub } from './net/hub.ts'
import type { SimulatedPeer } from './peer.ts'
import type { Chance } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** Events a minute: partitions of the mesh, and slow ends of one peer in a hundred. */
const PARTITIONS = 2
const SLOW_SHARE = 0.01
/** How much of the mesh is on the other side, and for how long; a way is slow for as long. */
const APART = [0.02, 0.3] as const
const LASTS_MS = [2_000, 20_000] as const

export interface SwarmWeatherNeeds {
  readonly scheduler: Scheduler
  readonly hub: Hub
  readonly log: RunLog
  readonly chance: Chance
  readonly peers: readonly SimulatedPeer[]
}

export class SwarmWeather {
  readonly #needs: SwarmWeatherNeeds
  readonly fired = new Map<string, number>()
  readonly #standing = new Set<() => void>()
  #isOver = false

  constructor(needs: SwarmWeatherNeeds) {
    this.#needs = needs
  }

  start(): void {
    this.#every(PARTITIONS, () => this.#partition())
    this.#every(SLOW_SHARE * this.#needs.peers.length, () => this.#slow())
  }

  /** All that stands is mended. */
  stop(): void {
    this.#isOver = true
    for (const mend of this.#standing) mend()
    this.#standing.clear()
  }

  #every(perMinute: number, fire: () => void): void {
    const { chance, scheduler } = this.#needs
    scheduler.after(chance.wait(perMinute), () => {
      if (this.#isOver) return
      fire()
      this.#every(perMinute, fire)
    })
  }

  #partition(): void {
    const { chance, hub, log, peers } = this.#needs
    const share = chance.between(...APART)
    const apart = new Set(peers.filter(() => chance.is(share)).map(({ id }) => id))
    this.#stands(
      'partition',
      hub.skies.cut((from, to) => apart.has(from) !== apart.has(to)),
    )
    log.add('partition', apart.size)
  }

  #slow(): void {
    const { chance, hub, log, peers } = this.#needs
    const peer = chance.pick(peers)!
    const latency = chance.between(100, 2_000)
    this.#stands('slow way', hub.skies.storm(peer.id, { latency, rate: chance.between(2, 200) }))
    log.add('slow way', peer.name, latency)
  }

  #stands(kind: string, mend: () => void): void {
    const { chance, scheduler } = this.#needs
    this.fired.set(kind, (this.fired.get(kind) ?? 0) + 1)
    this.#standing.add(mend)
    scheduler.after(chance.between(...LASTS_MS), () => {
      if (this.#standing.delete(mend)) mend()
    })
  }
}
