/**
 * What a site adds to sums: trained once for a state, whoever aggregates; under privacy anew once its noise has left; and where others
 * were faster, weighed by its age in a later round.
 */
import { UpdateTooOldError } from '../plan/errors.ts'
import type { Prepared, RoundSite } from '../site/site.ts'
import type { JobView } from './job-view.ts'
import { decodeLeft, encodeLeft } from './left-update.ts'
import type { MemberState } from './member-state.ts'
import type { FedState } from './state.ts'
import { factsOf } from './wire.ts'

export interface OwnUpdateNeeds {
  readonly site: RoundSite
  readonly standing: MemberState
  readonly job: JobView
  readonly log: (event: string, facts: Record<string, unknown>) => void
  /** A test interface: what was trained is held here. */
  readonly before?: ((stage: string) => Promise<void>) | undefined
}

interface Cached {
  /** Of the state that it is for. */
  readonly hash: string
  readonly prepared: Prepared
  /** Its vector may be in a sum: with another model it leaves no more. */
  hasLeft: boolean
}

export class OwnUpdate {
  readonly #needs: OwnUpdateNeeds
  #cached: Cached | undefined

  constructor(needs: OwnUpdateNeeds) {
    this.#needs = needs
  }

  /** @throws what training throws, and JobDamagedError */
  async for(state: FedState, hash: Uint8Array, signal: AbortSignal): Promise<Prepared> {
    const { site, standing, before: hold } = this.#needs
    const key = hexOf(hash)
    const before = this.#cached
    if (before?.hash === key) return before.prepared
    const left = await this.#left(key)
    const known = left ?? this.#older(before, state)
    const prepared = known ?? (await site.prepare(state, standing.memory, state.done, signal))
    if (known === undefined && state.pooled !== null) await hold?.('training')
    this.#cached = { hash: key, prepared, hasLeft: left !== undefined }
    return prepared
  }

  /**
   * From here on it may be in a sum. Durable when it resolves, where training again would not give the same: a site that ends now
   * and comes back would else send another vector from the same state, and two sums would tell the difference of both.
   */
  async leaves(): Promise<void> {
    const cached = this.#cached
    if (cached === undefined || cached.hasLeft) return
    cached.hasLeft = true
    const { prepared, hash } = cached
    // With noise another one leaves each time, and is paid for.
    if (prepared.isRepeatable !== false || prepared.noise !== undefined) return
    await this.#needs.standing.keepLeft(hash, encodeLeft(hash, prepared))
  }

  /** In the clear it was sent. */
  sent(): void {
    if (this.#cached !== undefined) this.#cached.hasLeft = true
  }

  /** Whoever has it says that it is in no sum: in the clear alone can that be believed. */
  notSummed(): void {
    if (this.#cached !== undefined) this.#cached.hasLeft = false
  }

  clear(): void {
    this.#cached = undefined
  }

  /** What has left from this very state, in this process or one before it. */
  async #left(key: string): Promise<Prepared | undefined> {
    const bytes = await this.#needs.standing.left(key)
    return bytes === undefined ? undefined : decodeLeft(bytes)
  }

  /** Others have made rounds while this site trained: its update is of an earlier model, and counts as such. */
  #older(before: Cached | undefined, state: FedState): Prepared | undefined {
    const { job, log } = this.#needs
    const older = before?.hasLeft === false ? before.prepared.at?.(state.done) : undefined
    const { oldest } = job
    const { age } = older ?? {}
    if (age === undefined || oldest === undefined || age <= oldest) return older
    log('update.refused', { ...factsOf(new UpdateTooOldError(job.id, age, oldest)), age, oldest })
    return undefined
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
