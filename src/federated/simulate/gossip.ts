/** A gossip in a simulation: the groups, sums and means of a real one; each client has a model of its own. */
import { createSeeded } from '../../data/index.ts'
import { FedPlanError } from '../plan/errors.ts'
import type { FedPlan } from '../plan/schema.ts'
import { gossipContribution, gossipMean } from '../rounds/gossip-sum.ts'
import type { OwnModel } from '../rounds/gossip-sum.ts'
import { gossipGroups } from '../rounds/groups.ts'
import type { FedState } from '../rounds/state.ts'
import type { ClientPool } from './pool.ts'
import { Simulation } from './simulation.ts'
import type { Entry, SimulatedRound, SimulationEvents } from './simulation.ts'
import type { SimulationSpec } from './spec.ts'

export interface GossipPool extends ClientPool {
  trainFrom(state: FedState, client: number, start: Float32Array, round: number): Promise<OwnModel>
}

export class GossipSimulation {
  readonly #plan: FedPlan
  readonly #pool: GossipPool
  readonly #spec: SimulationSpec
  readonly #common: Simulation
  #models: Float32Array[] = []

  /** @throws FedPlanError: attackers would have a common model to be held against */
  constructor(plan: FedPlan, pool: GossipPool, spec: SimulationSpec) {
    if (spec.attack !== undefined) throw new FedPlanError(plan.name, 'gossip', 'has no attackers in a simulation')
    this.#plan = plan
    this.#pool = pool
    this.#spec = spec
    this.#common = new Simulation(plan, pool, spec)
  }

  /** The statistics, and the model that all begin with. */
  get state(): FedState {
    return this.#common.state
  }

  /** Of one client. */
  model(client: number): Float32Array {
    return this.#models[client] ?? this.state.global
  }

  async run(events: SimulationEvents = {}, signal?: AbortSignal): Promise<SimulatedRound[]> {
    await this.#common.run({}, signal)
    if (this.state.pooled === null) return []
    this.#models = this.#pool.names.map(() => this.state.global)
    const lines: SimulatedRound[] = []
    for (let step = 0; step < this.#plan.rounds; step++) {
      signal?.throwIfAborted()
      const line = await this.#round(step)
      lines.push(line)
      await events.applied?.(this.state, line, true)
    }
    return lines
  }

  async #round(step: number): Promise<SimulatedRound> {
    const { state } = this
    const { job } = this.#common
    const seeded = createSeeded(this.#spec.seed, 'gossip', step)
    const { here } = this.#common.present(step + 1, false, seeded)
    const trained = new Map<number, OwnModel>()
    for (const client of here) {
      const own = await this.#pool.trainFrom(state, client, this.model(client), step)
      trained.set(client, own)
      this.#models[client] = own.weights
    }
    // Where some are not even asked, those who are fill the groups.
    const isSampled = (this.#spec.fraction ?? 1) < 1
    const asked = isSampled ? here.map((client) => job.members[client]!) : job.members
    const { group } = job.gossip!
    const groups = asked.length < group ? [] : gossipGroups(job.id, asked, step, group)
    let [sites, records, made] = [0, 0, 0]
    for (const one of groups) {
      const clients = here.filter((client) => one.members.includes(job.members[client]!))
      if (clients.length < Math.max(one.least, this.#plan.minimum?.sites ?? 3)) continue
      const entries = clients.map((client): Entry => {
        const contribution = gossipContribution(job.math, state, trained.get(client)!)
        return { place: client, client, contribution }
      })
      const mean = gossipMean(state, this.#common.sumOf(step, one, entries, seeded))
      for (const client of clients) {
        this.#models[client] = mean
        records += trained.get(client)!.records
      }
      sites += clients.length
      made++
    }
    const losses = [...trained.values()].reduce((sum, { loss, records: weight }) => sum + loss * weight, 0)
    const all = [...trained.values()].reduce((sum, one) => sum + one.records, 0)
    const [loss, dropped] = [all === 0 ? null : losses / all, this.#pool.names.length - sites]
    const bytes = job.vectorBytes(state)
    return {
      round: step + 1,
      sites,
      records,
      loss,
      groups: made,
      spread: spread(this.#models),
      dropped,
      bytes,
      refused: [],
    }
  }
}

function spread(models: readonly Float32Array[]): number {
  const d = models[0]?.length ?? 0
  let sum = 0
  for (let at = 0; at < d; at++) {
    const mean = models.reduce((all, model) => all + model[at]!, 0) / models.length
    for (const model of models) sum += (model[at]! - mean) ** 2
  }
  return Math.sqrt(sum / Math.max(1, d * models.length))
}
