/** Virtual clients over several threads: a share of them here, the others beside. Who computes what changes no number. */
import type { Contribution } from '../rounds/layout.ts'
import type { OwnModel } from '../rounds/gossip-sum.ts'
import { encodeState } from '../rounds/state.ts'
import type { Begun, FedState } from '../rounds/state.ts'
import type { LocalTrainer } from '../site/local-trainer.ts'
import type { ClientPool, LocalPool } from './pool.ts'
import type { ThreadShare } from './thread-share.ts'

export class SharedPool implements ClientPool {
  readonly names: readonly string[]
  readonly records: readonly number[]
  readonly #own: LocalPool
  readonly #shares: readonly ThreadShare[]

  private constructor(own: LocalPool, shares: readonly ThreadShare[], records: readonly number[]) {
    this.#own = own
    this.#shares = shares
    this.records = records
    this.names = records.map((_, index) => own.names[index] ?? `client-${index}`)
  }

  /** @param own the first clients. @param shares the others, in order. @throws what opening them throws */
  static async open(own: LocalPool, shares: readonly ThreadShare[]): Promise<SharedPool> {
    const others = await Promise.all(shares.map((share) => share.records()))
    return new SharedPool(own, shares, [...own.records, ...others.flat()])
  }

  async prepare(round: number, state: FedState, clients: readonly number[]): Promise<Contribution[]> {
    const encoded = this.#shares.length > 0 ? encodeState(state) : new Uint8Array()
    const own = clients.filter((client) => client < this.#own.names.length)
    const beside = this.#shares.map((share) => {
      const asked = clientsOf(share, clients)
      const prepared = share.prepare(round, encoded, asked)
      // It is awaited below; what fails before that is thrown there.
      prepared.catch(() => undefined)
      return { share, asked, prepared }
    })
    const made = new Map<number, Contribution>()
    for (const [at, one] of (await this.#own.prepare(round, state, own)).entries()) made.set(own[at]!, one)
    for (const { share, asked, prepared } of beside)
      for (const [at, one] of (await prepared).entries()) made.set(share.from + asked[at]!, one)
    return clients.map((client) => made.get(client)!)
  }

  async commit(clients: readonly number[]): Promise<void> {
    await this.#own.commit(clients.filter((client) => client < this.#own.names.length))
    for (const share of this.#shares) share.commit(clientsOf(share, clients))
  }

  begin(state: FedState): Promise<Begun> {
    return this.#own.begin(state)
  }

  /** Of one of the first clients. */
  trainFrom(state: FedState, client: number, start: Float32Array, round: number): Promise<OwnModel> {
    return this.#own.trainFrom(state, client, start, round)
  }

  metrics(state: FedState, client: number): Promise<Readonly<Record<string, number>>> {
    return this.#own.metrics(state, client)
  }

  /** All parameters as one of the first clients has them. */
  weights(state: FedState, client: number): Promise<Float32Array> {
    return this.#own.weights(state, client)
  }

  trainer(client: number): LocalTrainer {
    return this.#own.trainer(client)
  }

  async close(): Promise<void> {
    await Promise.all(this.#shares.map((share) => share.end()))
    await this.#own.close()
  }
}

/** Of these clients those of the share, counted from its first. */
function clientsOf({ from, to }: ThreadShare, clients: readonly number[]): number[] {
  return clients.filter((client) => client >= from && client < to).map((client) => client - from)
}
