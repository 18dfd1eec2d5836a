/**
 * Rounds of federations on their way to who asks. A name (`clinic@live`) stands for the model of one round. Every so often the newest round
 * becomes a candidate: its loss on the held-out records of this site is held against that of what serves, then a share of the requests gets
 * it. It is promoted or taken back by what was agreed when the roll-out was begun; all the while the old one serves.
 */
import type { JobPlan, StandingModel } from '../../federated/index.ts'
import type { AuditEvent } from '../../trust/index.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import type { RolloutBook } from './book.ts'
import { isCanary, verdictOfLoss, verdictOfRequests } from './decide.ts'
import { RolloutStateError, RolloutUnknownError } from './errors.ts'
import type { Aliases, Picked } from './picked.ts'
import { liveLoss } from './live-loss.ts'
import { ALIAS, defined, DEFAULT_SPEC, shown, withStep } from './record.ts'
import type { Candidate, RolloutRecord, RolloutSpec, RolloutStep } from './record.ts'

/** Between two looks for a new round. */
const LOOK_MS = 1000
/** After one that failed: a full disk is not emptied in a second, and each try measures the round anew. */
const AFTER_FAILURE_MS = 60_000

/** Where jobs stand. */
export interface RolloutSource {
  /** @throws JobUnknownError */
  plan(job: string): { readonly job: string; readonly plan: JobPlan }
  model(job: string): Promise<StandingModel | undefined>
}

/** Where models of rounds lie, to be asked for. */
export interface Outlet {
  /** The model that the plan's rounds belong to. @throws where this peer cannot serve it */
  modelOf(plan: JobPlan): Promise<string>
  put(model: string, name: string, standing: StandingModel): Promise<void>
  remove(model: string, name: string): Promise<void>
}

type Counter = 'rollout_candidates' | 'rollouts_promoted' | 'rollouts_back' | 'canary_requests' | 'canary_failures'

export interface RolloutNeeds {
  readonly clock: Clock
  readonly book: RolloutBook
  readonly outlet: Outlet
  readonly note: (event: AuditEvent) => void
  readonly count: (counter: Counter) => void
  readonly emit: (event: string, facts: Record<string, unknown>) => void
  readonly log: (facts: Record<string, unknown>, text: string) => void
}

export type BeginRequest = { readonly [Name in keyof RolloutSpec]?: RolloutSpec[Name] | undefined } & {
  readonly job: string
  /** @default the plan's name, `@live` */
  readonly alias?: string | undefined
}

export class Rollouts implements Aliases {
  readonly #needs: RolloutNeeds
  #source: RolloutSource | undefined
  #cancel: CancelTimer = () => undefined
  #isStopped = false
  /** Changes are made one after the other. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(needs: RolloutNeeds) {
    this.#needs = needs
  }

  /** From here on rounds are looked for. */
  follow(source: RolloutSource): void {
    this.#source = source
    this.#tick()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel()
    await this.#turn
  }

  /** @throws JobUnknownError, RolloutStateError */
  begin({ job: asked, alias: wanted, ...given }: BeginRequest): Promise<object> {
    return this.#alone(async () => {
      const { job, plan } = this.#source!.plan(asked)
      const alias = wanted ?? `${plan.name.toLowerCase()}@live`
      if (!ALIAS.test(alias)) throw new RolloutStateError(job, `"${alias}" is no name like clinic@live`)
      const model = await this.#needs.outlet.modelOf(plan)
      const known = this.#needs.book.get(model, alias)
      if (known?.ended === false && known.job !== job) {
        throw new RolloutStateError(job, `${alias} is that of job ${known.job}, which has not ended`)
      }
      const own = this.#needs.book.ofJob(job)
      if (own !== undefined && own.alias !== alias) throw new RolloutStateError(job, `it goes to ${own.alias}`)
      const spec = { ...DEFAULT_SPEC, ...known?.spec, ...defined(given) }
      const standing = await this.#source!.model(job)
      if (spec.requests === 0 && standing?.trainer.testRecords === 0) {
        throw new RolloutStateError(job, 'this site has no held-out records, so requests have to decide: --requests N')
      }
      const seen = known?.job === job ? known.seen : 0
      const { live = null, previous = null, steps = [] } = known ?? {}
      const record: RolloutRecord = {
        schema: 'weft.rollout/1',
        model,
        alias,
        job,
        spec,
        live,
        previous,
        seen,
        steps,
        candidate: known?.job === job ? known.candidate : null,
        ended: false,
      }
      return shown(await this.#step(record, 'begin', null, JSON.stringify(spec)))
    })
  }

  status(job: string): object {
    return shown(this.#known(job))
  }

  /** What is tried takes the place of what serves, whatever the requests have said. @throws RolloutStateError */
  promote(job: string): Promise<object> {
    return this.#alone(async () => {
      const record = this.#known(job)
      if (record.candidate === null) throw new RolloutStateError(record.job, 'no round is being tried')
      return shown(await this.#promote(record, record.candidate, 'by command'))
    })
  }

  /** What is tried is taken back; where nothing is, what served before serves again. @throws RolloutStateError */
  back(job: string): Promise<object> {
    return this.#alone(async () => {
      const record = this.#known(job)
      if (record.candidate !== null) return shown(await this.#takeBack(record, record.candidate.round, 'by command'))
      const { live, previous } = record
      if (live === null) throw new RolloutStateError(record.job, 'no round serves')
      this.#needs.count('rollouts_back')
      const made = await this.#step({ ...record, live: previous, previous: null }, 'back', live.round, 'by command')
      await this.#needs.outlet.remove(record.model, live.name)
      return shown(made)
    })
  }

  /** Later rounds are tried no more; what serves goes on. */
  end(job: string): Promise<object> {
    return this.#alone(async () => {
      const record = this.#known(job)
      const open = record.candidate === null ? record : await this.#takeBack(record, record.candidate.round, 'it ended')
      return shown(await this.#step({ ...open, ended: true }, 'end', null, 'by command'))
    })
  }

  has(model: string, alias: string): boolean {
    return this.#needs.book.get(model, alias) !== undefined
  }

  /** What a request for this alias runs with. */
  pick(model: string, alias: string, request: string): Picked | undefined {
    const record = this.#needs.book.get(model, alias)
    if (record === undefined) return undefined
    const { candidate, live, spec } = record
    const isTried = candidate !== null && isCanary(alias, candidate.name, request, spec.canary)
    if (isTried) this.#needs.count('canary_requests')
    const told = (isFailed: boolean): void => {
      if (candidate === null) return
      if (isTried && isFailed) this.#needs.count('canary_failures')
      void this.#alone(() => this.#ended(model, alias, candidate.name, { isTried, isFailed })).catch((error: unknown) =>
        this.#needs.log({ alias, err: error }, 'a roll-out could not be written down'),
      )
    }
    const serves = live?.name ?? null
    return isTried
      ? { name: candidate.name, live: serves, arm: 'candidate', ended: told }
      : { name: serves, live: serves, arm: 'live', ended: told }
  }

  /** All that was told so far is written down when it resolves. */
  async settled(): Promise<void> {
    await this.#turn
  }

  #known(asked: string): RolloutRecord {
    const { job } = this.#source?.plan(asked) ?? { job: asked }
    const record = this.#needs.book.ofJob(job)
    if (record === undefined) throw new RolloutUnknownError(job)
    return record
  }

  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => undefined)
    return mine
  }

  #tick(milliseconds = LOOK_MS): void {
    if (this.#isStopped) return
    this.#cancel = this.#needs.clock.after(milliseconds, () => {
      const open = this.#needs.book.list().filter(isOpen)
      const looks = open.map(({ model, alias }) => this.#alone(() => this.#look(model, alias)))
      void Promise.allSettled(looks).then((results) => {
        const failed = results.filter((one) => one.status === 'rejected')
        for (const { reason } of failed) this.#needs.log({ err: reason as Error }, 'a round cannot be rolled out')
        this.#tick(failed.length === 0 ? LOOK_MS : AFTER_FAILURE_MS)
      })
    })
  }

  async #look(model: string, alias: string): Promise<void> {
    const record = this.#needs.book.get(model, alias)
    if (record === undefined || !isOpen(record) || this.#isStopped) return
    const standing = await this.#source!.model(record.job)
    if (standing === undefined || standing.round <= record.seen) return
    const { every } = record.spec
    const isDue = Math.floor(standing.round / every) > Math.floor(record.seen / every)
    if (!isDue && !standing.isOver) return
    const { candidate } = record
    const why = `nobody has asked for it, and round ${standing.round} is due`
    await this.#try(candidate === null ? record : await this.#takeBack(record, candidate.round, why), standing)
  }

  async #try(record: RolloutRecord, standing: StandingModel): Promise<void> {
    const { model, alias, job, spec } = record
    const { round, trainer, weights } = standing
    const name = `${alias.split('@')[0]}-${job.slice(0, 4)}-r${round}`
    const loss = (await trainer.loss(weights, 'test')) ?? null
    const live = await liveLoss(record, standing)
    const candidate: Candidate = {
      name,
      job,
      round,
      loss,
      at: this.#now(),
      tried: { served: 0, failed: 0 },
      beside: { served: 0, failed: 0 },
    }
    const seen = { ...record, seen: round }
    const verdict = verdictOfLoss(loss, live, spec)
    this.#needs.count('rollout_candidates')
    if (verdict.is === 'back') {
      await this.#takeBack(await this.#step(seen, 'candidate', round, verdict.why), round, verdict.why)
      return
    }
    const why = verdict.is === 'promote' ? verdict.why : 'no held-out records'
    await this.#needs.outlet.put(model, name, standing)
    const tried = await this.#step({ ...seen, candidate }, 'candidate', round, why)
    if (spec.requests === 0 || spec.canary === 0) await this.#promote(tried, candidate, why)
  }

  /** @param name of the candidate that there was when the request began */
  async #ended(
    model: string,
    alias: string,
    name: string,
    { isTried, isFailed }: { readonly isTried: boolean; readonly isFailed: boolean },
  ): Promise<void> {
    const record = this.#needs.book.get(model, alias)
    if (record === undefined || record.candidate?.name !== name) return
    const one = (tally: Candidate['tried']): Candidate['tried'] => ({
      served: tally.served + 1,
      failed: tally.failed + (isFailed ? 1 : 0),
    })
    const { tried, beside } = record.candidate
    const counts = isTried ? { tried: one(tried), beside } : { tried, beside: one(beside) }
    const candidate = { ...record.candidate, ...counts }
    const counted = { ...record, candidate }
    const verdict = verdictOfRequests(candidate, record.spec)
    if (verdict.is === 'promote') await this.#promote(counted, candidate, verdict.why)
    else if (verdict.is === 'back') await this.#takeBack(counted, candidate.round, verdict.why)
    else await this.#needs.book.save(counted)
  }

  async #promote(record: RolloutRecord, candidate: Candidate, why: string): Promise<RolloutRecord> {
    const { name, job, round, loss } = candidate
    const live = { name, job, round, loss, at: this.#now() }
    this.#needs.count('rollouts_promoted')
    const made = await this.#step({ ...record, live, previous: record.live, candidate: null }, 'promote', round, why)
    // What served before stays for a way back; what served before that goes.
    if (record.previous !== null) await this.#needs.outlet.remove(record.model, record.previous.name)
    return made
  }

  async #takeBack(record: RolloutRecord, round: number, why: string): Promise<RolloutRecord> {
    this.#needs.count('rollouts_back')
    const made = await this.#step({ ...record, candidate: null }, 'back', round, why)
    if (record.candidate !== null) await this.#needs.outlet.remove(record.model, record.candidate.name)
    return made
  }

  /** Durable when it resolves, and written down for who audits this site. */
  async #step(
    record: RolloutRecord,
    step: RolloutStep['step'],
    round: number | null,
    why: string,
  ): Promise<RolloutRecord> {
    const made = withStep(record, { at: this.#now(), step, round, why: why.slice(0, 300) })
    await this.#needs.book.save(made)
    const { alias, job, model, live } = made
    const serves = live === null ? {} : { serves: live.round }
    const facts = { alias, ...(round === null ? {} : { round }), ...serves }
    this.#needs.note({
      who: 'weft',
      what: `rollout.${step}`,
      target: job,
      result: step === 'back' ? 'failed' : 'ok',
      facts,
    })
    this.#needs.emit('fed.rollout', { job, model, alias, step, round, serves: live?.round ?? null, why })
    return made
  }

  #now(): string {
    return new Date(this.#needs.clock.wall()).toISOString()
  }
}

/** May try a round: what is being tried has been asked for by nobody, or there is nothing. */
function isOpen({ ended, candidate }: RolloutRecord): boolean {
  return !ended && (candidate === null || candidate.tried.served + candidate.beside.served === 0)
}
