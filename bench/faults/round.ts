/** One round: a placement, answers that are asked for at once, and the faults of its schedule, undone at the end. */
import { joined } from '../../test/integration/support.ts'
import type { Answer, RealPeer } from '../../test/integration/support.ts'
import type { GenerateEvent } from '../../src/pipeline/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { spread } from '../promises/field.ts'
import type { Field } from '../promises/field.ts'
import { add, askOne } from '../support/cases.ts'
import type { Case, Tally } from '../support/cases.ts'
import { inflict } from './kinds.ts'
import type { Kind } from './kinds.ts'
import { shuffled } from './schedule.ts'
import type { Schedule } from './schedule.ts'

const clock = systemClock()
const JOIN_MS = 90_000

export interface Scene {
  readonly field: Field
  /** The origin, to which nothing is done. */
  readonly a: RealPeer
  /** The others, the first of them on host 2. */
  readonly names: readonly string[]
  readonly peers: Map<string, RealPeer>
  readonly cases: readonly Case[]
  readonly tally: Tally
  readonly random: () => number
}

export class Round {
  readonly #scene: Scene
  readonly #schedule: Schedule
  readonly #order: readonly string[]
  readonly #over: readonly string[]
  readonly #spare: readonly string[]
  /** How each fault is undone, by the peer that has it. */
  readonly #undo = new Map<string, () => Promise<RealPeer>>()
  readonly #pending: Promise<void>[] = []
  #hasBegun = false
  #hasFollowed = false

  constructor(scene: Scene, schedule: Schedule) {
    const { stages, replicas } = schedule
    this.#scene = scene
    this.#schedule = schedule
    this.#order = shuffled(scene.names, scene.random)
    this.#over = this.#order.slice(0, stages)
    this.#spare = this.#order.slice(stages, stages + replicas)
  }

  /** Returns the answers. @throws when a placement cannot be made, or a peer does not come back */
  async run(): Promise<readonly Answer[]> {
    const { a, peers, cases, tally, random } = this.#scene
    const { isEarly, at, users } = this.#schedule
    const [over, spare] = [this.#over, this.#spare].map((names) => names.map((name) => peers.get(name)!))
    await spread(a, over!, spare)
    const asked = shuffled(cases, random).slice(0, users)
    if (isEarly) this.#later(at, () => this.#begin())
    const onToken = (count: number): void => {
      if (!isEarly && count >= at) this.#begin()
    }
    const answers = await Promise.all(
      asked.map((each, place) =>
        askOne(a, each, tally, place === 0 ? onToken : undefined, (event) => this.#noted(event)),
      ),
    )
    // Faults of an answer that was shorter, or that nobody had to replace for, come too.
    this.#begin()
    for (let place = 0; place < this.#pending.length; place++) await this.#pending[place]
    for (const [name, back] of this.#undo) peers.set(name, await back())
    await joined([a, ...peers.values()], JOIN_MS)
    return answers
  }

  /** For people. */
  toString(): string {
    const { shape, kinds, isEarly, at, gap, users } = this.#schedule
    const when = isEarly ? `${at} ms after it was asked` : `at token ${at}`
    const what = shape === 'one' ? kinds[0] : `${kinds.join(' and ')} (${shape}, ${gap} ms)`
    return `${what} ${when}, ${users} at once over ${this.#over.join(' ')}, spares ${this.#spare.join(' ') || 'none'}; hit ${[...this.#undo.keys()].join(' ')}`
  }

  #begin(): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    const { shape, kinds, gap } = this.#schedule
    const [victim] = shuffled(this.#over, this.#scene.random)
    this.#strike(victim, kinds[0])
    if (shape === 'one' || shape === 'twice') return
    const [other] = shuffled(
      (shape === 'two' && this.#over.length > 1 ? this.#over : this.#order).filter((name) => name !== victim),
      this.#scene.random,
    )
    this.#later(gap, () => this.#strike(other, kinds[1]))
  }

  /** Whoever takes over may be hit as well. */
  #noted(event: GenerateEvent): void {
    const { shape, gap, kinds } = this.#schedule
    if (event.type !== 'reroute' || shape !== 'twice' || this.#hasFollowed) return
    this.#hasFollowed = true
    const names = event.route
      .map(({ peer }) => this.#scene.names.find((name) => this.#scene.peers.get(name)!.id === peer))
      .filter((name) => name !== undefined)
    const taker = names.find((name) => !this.#over.includes(name)) ?? names[0]
    this.#later(gap, () => this.#strike(taker, kinds[1]))
  }

  #strike(name: string | undefined, kind: Kind): void {
    if (name === undefined || this.#undo.has(name)) return
    const { field, names, peers, tally } = this.#scene
    add(tally.faults, kind)
    this.#undo.set(name, inflict(field, { name, host: names.indexOf(name) + 2, peer: peers.get(name)! }, kind))
  }

  #later(milliseconds: number, action: () => void): void {
    const wait = async (): Promise<void> => {
      await clock.sleep(milliseconds)
      action()
    }
    this.#pending.push(wait())
  }
}
