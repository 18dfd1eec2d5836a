/** Clients of a simulation that take turns in one thread: each a real site, with chance from the seed. */
import { createSeeded } from '../../data/index.ts'
import type { Contribution } from '../rounds/layout.ts'
import type { OwnModel } from '../rounds/gossip-sum.ts'
import type { RoundMath } from '../rounds/math.ts'
import type { Begun, FedState } from '../rounds/state.ts'
import { Site } from '../site/site.ts'
import type { SiteMemory } from '../site/site.ts'
import type { LocalTrainer } from '../site/local-trainer.ts'
import type { Words } from '../privacy/words.ts'

export interface ClientPool {
  readonly names: readonly string[]
  readonly records: readonly number[]
  /** Contributions of these clients to a round, in their order; their memories are held back until `commit`. */
  prepare(round: number, state: FedState, clients: readonly number[]): Promise<Contribution[]>
  commit(clients: readonly number[]): Promise<void>
  begin(state: FedState): Promise<Begun>
  metrics(state: FedState, client: number): Promise<Readonly<Record<string, number>>>
  close(): Promise<void>
}

/** Uniform words from a seed: a simulation repeats itself, and protects nobody. */
export function seededWords(seed: number, ...purpose: readonly (string | number)[]): Words {
  const seeded = createSeeded(seed, ...purpose)
  const next = (): number => seeded.uint32()
  return {
    next,
    below(bound) {
      if (bound <= 2 ** 32) return seeded.below(bound)
      const fair = Math.floor(2 ** 53 / bound) * bound
      for (;;) {
        const value = (next() >>> 11) * 2 ** 32 + next()
        if (value < fair) return value % bound
      }
    },
  }
}

export class LocalPool implements ClientPool {
  readonly names: readonly string[]
  readonly records: readonly number[]
  readonly #sites: readonly Site[]
  readonly #trainers: readonly LocalTrainer[]
  readonly #memories: SiteMemory[]
  readonly #whole: LocalTrainer | undefined
  readonly #pending = new Map<number, SiteMemory>()

  /**
   * @param first number of the first client: the chance of each is its own
   * @param whole what virtual clients stand on
   */
  constructor(trainers: readonly LocalTrainer[], math: RoundMath, seed: number, first = 0, whole?: LocalTrainer) {
    this.#whole = whole
    this.#trainers = trainers
    this.names = trainers.map(({ site }) => site)
    this.records = trainers.map(({ records }) => records)
    this.#sites = trainers.map((trainer, index) => new Site(trainer, math, seededWords(seed, 'client', first + index)))
    this.#memories = trainers.map(() => ({}))
  }

  async prepare(round: number, state: FedState, clients: readonly number[]): Promise<Contribution[]> {
    const all: Contribution[] = []
    for (const client of clients) {
      const prepared = await this.#sites[client]!.prepare(state, this.#memories[client]!, round)
      this.#pending.set(client, prepared.memory)
      all.push(prepared.contribution)
    }
    return all
  }

  commit(clients: readonly number[]): Promise<void> {
    for (const client of clients) this.#memories[client] = this.#pending.get(client) ?? this.#memories[client]!
    this.#pending.clear()
    return Promise.resolve()
  }

  begin(state: FedState): Promise<Begun> {
    return this.#sites[0]!.begin(state)
  }

  /** Of a gossip: from a model of the client's own. */
  async trainFrom(state: FedState, client: number, start: Float32Array, round: number): Promise<OwnModel> {
    const site = this.#sites[client]!
    await site.weights(state)
    return { ...(await site.trainFrom(start, round)), records: site.records }
  }

  async metrics(state: FedState, client: number): Promise<Readonly<Record<string, number>>> {
    const site = this.#sites[client]!
    const memory = this.#memories[client]!
    const weights = memory.ditto ?? (await site.weights(state, memory))
    const metrics = await site.trainer.metrics(weights, 'test')
    return { n: site.trainer.testRecords, ...metrics }
  }

  /** All parameters as one site has them. */
  weights(state: FedState, client: number): Promise<Float32Array> {
    return this.#sites[client]!.weights(state, this.#memories[client])
  }

  trainer(client: number): LocalTrainer {
    return this.#trainers[client]!
  }

  async close(): Promise<void> {
    for (const trainer of this.#trainers) await trainer.close()
    await this.#whole?.close()
  }
}
