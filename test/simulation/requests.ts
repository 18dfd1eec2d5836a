/** Texts that are asked for, and what becomes of each: exact, once, in order, and ended before its time. */
import { WeftError } from '../../src/errors.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { RunLog } from './log.ts'
import type { SimulatedPeer } from './peer.ts'
import type { Chance } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import { MODEL, VOCABULARY } from './toy/model.ts'
import type { Reference } from './toy/mix.ts'

/** What the end of a request may come after its deadline: closing, and one look of whoever waits. */
export const LATE_MS = 10_000

export interface RequestNeeds {
  readonly scheduler: Scheduler
  readonly log: RunLog
  readonly chance: Chance
  readonly peers: readonly SimulatedPeer[]
  readonly reference: Reference
  /** Share of the rows of other peers that are checked. */
  readonly auditRate: number
  /** Somebody gives wrong rows now: a text may be wrong that nobody has checked. */
  readonly isLiedTo: () => boolean
  /** What must not be. */
  readonly violated: (what: string) => void
}

export interface Outcomes {
  asked: number
  exact: number
  /** By code. */
  readonly failed: Map<string, number>
  /** Their origin died, and they with it. */
  withOrigin: number
  rerouted: number
  /** Wrong, while somebody lied. */
  lied: number
}

interface Open {
  readonly by: SimulatedPeer
  readonly life: number
  readonly until: number
}

export class Requests {
  readonly #needs: RequestNeeds
  readonly outcomes: Outcomes = { asked: 0, exact: 0, failed: new Map(), withOrigin: 0, rerouted: 0, lied: 0 }
  readonly #open = new Map<number, Open>()
  #next = 1
  #isOver = false

  constructor(needs: RequestNeeds) {
    this.#needs = needs
  }

  /** So many a minute, from peers at random. */
  start(perMinute: number): void {
    const { chance, scheduler, peers } = this.#needs
    scheduler.after(chance.wait(perMinute), () => {
      if (this.#isOver) return
      const by = chance.pick(peers.filter((peer) => peer.isUp && !peer.process.isFrozen))
      if (by !== undefined) void this.ask(by)
      this.start(perMinute)
    })
  }

  stop(): void {
    this.#isOver = true
  }

  /** Whether it came, and exactly. */
  async ask(by: SimulatedPeer, within?: number): Promise<boolean> {
    const { chance, log, scheduler } = this.#needs
    const number = this.#next++
    const prompt = Array.from({ length: chance.whole(1, 60) }, () => chance.whole(3, VOCABULARY - 1))
    const count = chance.whole(2, 60)
    const deadline = within ?? chance.between(15_000, 60_000)
    this.outcomes.asked++
    this.#open.set(number, { by, life: by.lives, until: scheduler.now + deadline + LATE_MS })
    log.add('asked', number, by.name, prompt.length, count)
    const isExact = await this.#run(number, by, prompt, count, deadline)
    if (!this.#open.delete(number)) this.#violated(number, 'it ended twice')
    return isExact
  }

  async #run(
    number: number,
    by: SimulatedPeer,
    prompt: readonly number[],
    count: number,
    deadline: number,
  ): Promise<boolean> {
    const { auditRate, isLiedTo, log, reference } = this.#needs
    let mayBeWrong = isLiedTo()
    let isWrong = false
    const expected = reference.answer(prompt, count)
    const came: number[] = []
    const input = { kind: 'ids', ids: prompt } as const
    const audit = auditRate === 0 ? {} : { audit: 'sample' as const, auditRate }
    const request = { model: MODEL, input, sampling: GREEDY, maxTokens: count, ignoreEnd: true, deadline, ...audit }
    let ends = 0
    try {
      for await (const event of by.peer!.generate(request)) {
        if (ends > 0) this.#violated(number, `${event.type} after the end`)
        // What is left of a text at its end comes as one more event of the last token.
        const isRest = came.length === count && event.type === 'token' && event.id === came.at(-1)
        if (event.type === 'token' && !isRest) {
          const wanted = expected[came.length]
          mayBeWrong ||= isLiedTo()
          if (event.id !== wanted) isWrong = true
          if (isWrong && !mayBeWrong) this.#violated(number, `token ${came.length} is ${event.id}, not ${wanted}`)
          came.push(event.id)
        } else if (event.type === 'reroute') {
          this.outcomes.rerouted++
          log.add('rerouted', number, event.attempt, event.replayed_rows)
        } else if (event.type === 'end') {
          ends++
          if (event.ids.join() !== came.join()) this.#violated(number, 'the text is not what came')
          if (!isWrong && came.length !== count) this.#violated(number, 'it ended too soon')
        }
      }
    } catch (error) {
      const code = error instanceof WeftError ? error.info.code : 'uncoded'
      if (code === 'uncoded') this.#violated(number, `an error without a code: ${String((error as Error).stack)}`)
      this.outcomes.failed.set(code, (this.outcomes.failed.get(code) ?? 0) + 1)
      log.add('failed', number, code, came.length, String(error).slice(0, 300))
      return false
    }
    if (ends !== 1) this.#violated(number, 'it has no end')
    if (isWrong) this.outcomes.lied++
    else this.outcomes.exact++
    log.add('answered', number, came.length)
    return ends === 1
  }

  /** Those that are open beyond their time, or whose origin is gone. */
  check(): void {
    const { scheduler, log } = this.#needs
    for (const [number, { by, life, until }] of this.#open) {
      if (by.lives !== life || by.process.isDead) {
        this.#open.delete(number)
        this.outcomes.withOrigin++
        log.add('gone', number)
      } else if (scheduler.now > Math.max(until, by.thawedAt + LATE_MS) && !by.process.isFrozen) {
        this.#open.delete(number)
        this.#violated(number, 'it hangs')
      }
    }
  }

  get open(): number {
    return this.#open.size
  }

  #violated(number: number, what: string): void {
    this.#needs.violated(`request ${number}: ${what}`)
  }
}
