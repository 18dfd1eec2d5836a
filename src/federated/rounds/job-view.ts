/** What a round needs to know of its job: the same at every member. */
import type { FedPlan } from '../plan/schema.ts'
import { deadlineOf, minimumOf } from '../plan/train-plan.ts'
import { sumsOf } from '../plan/cohort.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import { RoundMath } from './math.ts'
import { vectorLayout } from './layout.ts'
import type { VectorLayout } from './layout.ts'
import type { FedState } from './state.ts'

export interface JobMember {
  /** PeerId. */
  readonly peer: string
  /** Ed25519, 32 bytes. */
  readonly key: Uint8Array
  readonly site: string
}

export class JobView {
  readonly id: string
  readonly plan: FedPlan
  readonly planHash: Uint8Array
  readonly members: readonly JobMember[]
  readonly math: RoundMath

  constructor(init: { readonly id: string; plan: FedPlan; planHash: Uint8Array; members: readonly JobMember[] }) {
    this.id = init.id
    this.plan = init.plan
    this.planHash = init.planHash
    this.members = init.members
    this.math = new RoundMath(init.plan, init.members.length)
  }

  get peers(): readonly string[] {
    return this.members.map(({ peer }) => peer)
  }

  get isSecure(): boolean {
    return this.plan.secagg !== undefined && this.plan.secagg !== 'off'
  }

  /** Members that a round has at least. */
  get least(): number {
    const { sites } = minimumOf(this.plan)
    return this.isSecure ? Math.max(sites, this.math.t, 3) : sites
  }

  get minimumRecords(): number {
    return minimumOf(this.plan).records
  }

  get deadlineMs(): number {
    return deadlineOf(this.plan)
  }

  isOver({ done, pooled }: FedState): boolean {
    return pooled !== null && done >= sumsOf(this.plan)
  }

  layout(state: FedState): VectorLayout {
    return vectorLayout(this.math.shape(state), this.#secagg().bits, this.members.length)
  }

  /** @param hash of the state */
  header(session: number, state: FedState, hash: Uint8Array): RoundHeader {
    const { bits, f } = this.#secagg()
    return {
      federation: this.plan.name,
      job: this.id,
      round: session,
      model: hash,
      plan: this.planHash,
      t: this.math.t,
      bits,
      f,
      c: this.math.bound,
      d: this.layout(state).d,
    }
  }

  /** Standard deviation of all noise in the sum, integer units. */
  noiseSd(state: FedState): number {
    const noise = this.math.noise(state)
    return noise === undefined ? 0 : noise.shareSigma * Math.sqrt(this.members.length)
  }

  #secagg(): { readonly bits: number; readonly f: number } {
    const { secagg = 'off' } = this.plan
    return secagg === 'off' ? { bits: 32, f: 16 } : secagg
  }
}
