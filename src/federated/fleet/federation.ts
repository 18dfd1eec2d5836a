/** All jobs of a peer: what people ask of them, and what other peers ask. */
import { join } from 'node:path'
import type { Channel } from '../../net/index.ts'
import { needFolders } from '../../store/index.ts'
import { RoleError } from '../../trust/index.ts'
import type { CancelTimer } from '../../util/index.ts'
import { JobStateError, JobUnknownError, PlanChangedError } from '../plan/errors.ts'
import { checkJobPlan } from '../plan/job-plan.ts'
import { openPrivacyLedger } from '../privacy/ledger.ts'
import type { PrivacyLedger } from '../privacy/ledger.ts'
import { pipeOver, pipePair } from '../rounds/pipe.ts'
import type { Pipe } from '../rounds/pipe.ts'
import { FED_PROTOCOL } from '../rounds/wire.ts'
import { answerPipe } from './answering.ts'
import { askFor, progressOf, sendJoin } from './asking.ts'
import type { CheckedData } from './check-data.ts'
import { makeJoin, makeOffer, makeStart } from './documents.ts'
import type { Offer } from './documents.ts'
import { hooksOf, NO_HOOKS } from './hooks.ts'
import type { HookOptions, TestHooks } from './hooks.ts'
import { budgetDocument, setCap } from './budget.ts'
import { findJob, JobFolder, lookUp } from './job-folder.ts'
import { describeJob } from './describe.ts'
import type { JobStatus } from './describe.ts'
import { exportJob } from './export.ts'
import type { Exported } from './export.ts'
import type { FederationNeeds, JoinRequest } from './needs.ts'
import { RunningJob } from './running-job.ts'
import { checkOutside } from '../site/external.ts'
import { admittedData } from './taking-part.ts'

/** Between two looks for documents that others may have by now. */
const LOOK_MS = 700

export class Federation {
  readonly #needs: FederationNeeds
  readonly #root: string
  readonly #ledger: PrivacyLedger
  readonly #folders = new Map<string, JobFolder>()
  readonly #running = new Map<string, RunningJob>()
  readonly #starting = new Set<string>()
  #cancel: CancelTimer = () => undefined
  #stopped = false
  hooks: TestHooks = NO_HOOKS

  private constructor(needs: FederationNeeds) {
    this.#needs = needs
    this.#root = join(needs.paths.state, 'federated')
    const { identity, clock, paths } = needs
    const signer = { sign: (bytes: Uint8Array) => identity.sign(bytes), verify: needs.verify }
    const places = { path: join(this.#root, 'ledger.db'), anchor: join(paths.keys, 'federated-ledger.anchor') }
    this.#ledger = openPrivacyLedger({ signer, wall: () => clock.wall() }, places)
  }

  /** Serves others, and goes on with the jobs that were under way. */
  static async open(needs: FederationNeeds): Promise<Federation> {
    const opened = new Federation(needs)
    await needFolders(opened.#root, 0o700)
    const damaged = (job: string, error: unknown): void => needs.log({ job, err: error }, 'a job cannot be read')
    for (const folder of await JobFolder.openAll(opened.#root, damaged)) opened.#folders.set(folder.id, folder)
    needs.network?.handle(FED_PROTOCOL, 'federate', (channel) => opened.#serve(channel))
    // Alone, beside a running peer, say, nothing goes on.
    if (needs.network === null) return opened
    await opened.#resume()
    opened.#tick()
    return opened
  }

  get ledger(): PrivacyLedger {
    return this.#ledger
  }

  /** Makes a job of a plan, signed by this peer. @throws FedPlanError */
  async create(plan: unknown): Promise<Offer> {
    this.#checkRole()
    const offer = makeOffer(this.#needs.identity, checkJobPlan(plan, 'the plan'), this.#now())
    const folder = await JobFolder.create(this.#root, offer)
    this.#folders.set(folder.id, folder)
    await folder.note(this.#now(), 'created', { plan: offer.plan_hash, author: offer.author })
    return offer
  }

  /** @throws JobUnknownError, and what data, plan and budget refuse */
  async joinJob(request: JoinRequest, signal?: AbortSignal): Promise<JobStatus & { readonly data: CheckedData }> {
    this.#checkRole()
    const folder = await this.#find(request, signal)
    const { plan, plan_hash, author } = folder.offer
    this.#checkRole(author)
    if (folder.start !== undefined && !folder.start.members.some(({ peer }) => peer === this.#needs.identity.id)) {
      throw new JobStateError(folder.id, 'it has started without this site')
    }
    if (request.trainer !== undefined) checkOutside(plan)
    const data = await admittedData(this.#needs, this.#root, folder.offer, request.data, signal)
    const { privacy = 'off' } = plan
    if (privacy !== 'off') setCap(this.#ledger, data.dataset, privacy, request.cap)
    const at = this.#now()
    const approved = request.unapproved === true ? null : { plan_hash, at, by: 'join' }
    const own = { data: request.data, site: data.site, dataset: data.dataset, trainer: request.trainer ?? null }
    await folder.saveSite({ ...own, approved, stopped: null })
    await folder.note(at, 'joined', { plan: plan_hash, site: data.site, records: data.records })
    if (approved !== null) await this.#approved(folder)
    return { ...this.status(folder.id), data }
  }

  /** A person says yes to the plan as it is. */
  async approve(job: string, hash?: string): Promise<JobStatus> {
    const folder = this.#known(job)
    const { plan_hash, author } = folder.offer
    for (const peer of [this.#needs.identity.id, author]) this.#checkRole(peer)
    if (hash !== undefined && hash !== plan_hash)
      throw new JobStateError(folder.id, `its plan has the hash ${plan_hash}`)
    if (folder.site.data === null) throw new JobStateError(folder.id, 'this site has not joined it: weft fed join')
    await admittedData(this.#needs, this.#root, folder.offer, folder.site.data)
    await folder.saveSite({ approved: { plan_hash, at: this.#now(), by: 'approve' }, stopped: null })
    await folder.note(this.#now(), 'approved', { plan: plan_hash })
    await this.#approved(folder)
    return this.status(folder.id)
  }

  /** This site takes no part any more; before the start others hear of it. */
  async leave(job: string, why: string): Promise<JobStatus> {
    const folder = this.#known(job)
    await folder.saveSite({ stopped: why })
    await folder.note(this.#now(), 'left', { why })
    await this.#running.get(folder.id)?.stop()
    this.#running.delete(folder.id)
    await folder.removeJoin(this.#needs.identity.id)
    return this.status(folder.id)
  }

  /** The author freezes the roster: those who joined. @throws JobStateError */
  async start(job: string): Promise<JobStatus> {
    const folder = this.#known(job)
    const { identity } = this.#needs
    this.#checkRole()
    if (folder.offer.author !== identity.id)
      throw new JobStateError(folder.id, `its author ${folder.offer.author} starts it`)
    if (folder.start === undefined) {
      const joins = [...folder.joins.values()].filter(({ peer }) => this.#needs.admits(peer))
      const least = folder.offer.plan.minimum?.sites ?? 3
      if (joins.length < least)
        throw new JobStateError(folder.id, `${joins.length} sites have joined, ${least} are needed`)
      await folder.saveStart(makeStart(identity, folder.offer, joins))
      await folder.note(this.#now(), 'started', { members: joins.map(({ peer }) => peer) })
    } else if (folder.site.stopped !== null && folder.site.data !== null) {
      await folder.saveSite({ stopped: null })
    }
    await this.#open(folder)
    return this.status(folder.id)
  }

  jobs(): JobStatus[] {
    return [...this.#folders.keys()].map((id) => this.status(id))
  }

  status(job: string): JobStatus {
    const folder = this.#known(job)
    return describeJob(folder, this.#running.get(folder.id), this.#needs, this.hooks)
  }

  events(job: string): Promise<Record<string, unknown>[]> {
    return this.#known(job).events()
  }

  /** What there is of a job here, for what serves its models. @throws JobUnknownError */
  at(job: string): { readonly offer: JobFolder['offer']; readonly running: RunningJob | undefined } {
    const { id, offer } = this.#known(job)
    return { offer, running: this.#running.get(id) }
  }

  budget(): object {
    return budgetDocument(this.#ledger)
  }

  testWith(options: HookOptions): void {
    this.hooks = hooksOf(this.#needs, options, this.hooks)
  }

  async export(job: string, out: string): Promise<Exported> {
    return exportJob(this.takenPart(job), out)
  }

  /** A job that this site takes part in. @throws JobUnknownError, JobStateError */
  takenPart(job: string): RunningJob {
    const { id } = this.#known(job)
    const running = this.#running.get(id)
    if (running === undefined) throw new JobStateError(id, 'this site takes no part in it')
    return running
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await Promise.all([...this.#running.values()].map((running) => running.stop()))
    this.#running.clear()
  }

  /** @throws RoleError, MembershipStaleError: the membership does not admit this peer, or another, to federations */
  #checkRole(peer = this.#needs.identity.id): void {
    if (!this.#needs.admits(peer)) throw this.#needs.refusal?.(peer) ?? new RoleError(peer, 'federate')
  }

  #now(): string {
    return new Date(this.#needs.clock.wall()).toISOString()
  }

  #known(job: string): JobFolder {
    return lookUp(this.#folders, job)
  }

  async #find({ job, hash }: JoinRequest, signal?: AbortSignal): Promise<JobFolder> {
    const known = findJob(this.#folders, job)
    const offer = known?.offer ?? (await askFor(this.#asking(), { job, hash }, signal))
    if (offer === undefined) throw new JobUnknownError(job)
    if (hash !== undefined && hash !== offer.plan_hash) throw new PlanChangedError(offer.job, hash, offer.plan_hash)
    if (known !== undefined) return known
    const folder = await JobFolder.create(this.#root, offer)
    this.#folders.set(folder.id, folder)
    return folder
  }

  async #approved(folder: JobFolder): Promise<void> {
    const own = makeJoin(this.#needs.identity, folder.offer, folder.site.site ?? 'site')
    await folder.addJoin(own)
    await this.#look(folder)
  }

  async #resume(): Promise<void> {
    for (const folder of this.#folders.values())
      if (folder.start !== undefined) await this.#open(folder).catch((error: unknown) => this.#cannot(folder, error))
  }

  #cannot(folder: JobFolder, error: unknown): void {
    this.#needs.log({ job: folder.id, err: error }, 'this site cannot go on with a job')
    const facts = { code: (error as { code?: string }).code, why: (error as Error).message }
    void folder.note(this.#now(), 'site.refused', facts).catch(() => undefined)
  }

  async #open(folder: JobFolder): Promise<void> {
    const before = this.#running.get(folder.id)
    // What this site refused is begun again when a person says so: the cause may be gone.
    if ((before !== undefined && before.error === undefined) || this.#starting.has(folder.id) || this.#stopped) return
    if (folder.site.approved === null) return
    this.#starting.add(folder.id)
    try {
      await before?.stop()
      this.#running.delete(folder.id)
      const { identity, emit } = this.#needs
      const running = await RunningJob.open(
        {
          ...this.#needs,
          self: identity,
          ledger: this.#ledger,
          connect: (peer, signal) => this.#connect(peer, folder.id, signal),
          progress: (peer) => progressOf(this.#asking(), peer, folder.id),
          event: (event, facts) => emit(`fed.${event}`, facts),
          hooks: this.hooks,
        },
        folder,
      )
      this.#running.set(folder.id, running)
      running.run()
    } finally {
      this.#starting.delete(folder.id)
    }
  }

  async #connect(peer: string, job: string, signal: AbortSignal): Promise<Pipe> {
    const { identity, clock, network } = this.#needs
    if (peer !== identity.id) {
      if (network === null) throw new JobStateError(job, 'this peer has no network')
      return this.#kept(pipeOver(clock, await network.open(peer, FED_PROTOCOL, signal)))
    }
    const [mine, theirs] = pipePair(clock, identity.id, identity.id)
    void this.#answer(theirs)
    return this.#kept(mine)
  }

  readonly #kept = (pipe: Pipe): Pipe => this.hooks.recorded?.(pipe) ?? pipe

  #serve(channel: Channel): void {
    void this.#answer(this.#kept(pipeOver(this.#needs.clock, channel)))
  }

  async #answer(pipe: Pipe): Promise<void> {
    const { identity, admits } = this.#needs
    await answerPipe({ folders: this.#folders, running: this.#running, self: identity.id, admits }, pipe)
  }

  #asking(): Parameters<typeof askFor>[0] {
    const { clock, network, admits } = this.#needs
    const peers = (): string[] => network?.connected().flatMap(({ id }) => (admits(id) ? [id] : [])) ?? []
    return { clock, peers, network }
  }

  #tick(): void {
    if (this.#stopped) return
    this.#cancel = this.#needs.clock.after(LOOK_MS, () => {
      const waiting = [...this.#folders.values()].filter(
        ({ id, site }) => site.approved !== null && site.stopped === null && !this.#running.has(id),
      )
      void Promise.all(waiting.map((folder) => this.#look(folder).catch(() => undefined))).then(() => this.#tick())
    })
  }

  /** Tells the author of this site's word, and asks whether the job has started. */
  async #look(folder: JobFolder): Promise<void> {
    const { identity } = this.#needs
    const own = folder.joins.get(identity.id)
    if (folder.start === undefined && folder.offer.author !== identity.id && own !== undefined) {
      const start = await sendJoin(this.#asking(), folder.offer, own)
      if (start !== undefined) await folder.saveStart(start)
    }
    if (folder.start === undefined) return
    await this.#open(folder).catch(async (error: unknown) => {
      await folder.saveSite({ stopped: (error as Error).message })
      this.#cannot(folder, error)
    })
  }
}
