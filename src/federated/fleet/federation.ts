/** All jobs of a peer: what people ask of them, and what other peers ask. */
import { join } from 'node:path'
import { needFolders } from '../../store/index.ts'
import type { CancelTimer } from '../../util/index.ts'
import { JobStateError } from '../plan/errors.ts'
import { checkJobPlan } from '../plan/job-plan.ts'
import { openPrivacyLedger } from '../privacy/ledger.ts'
import type { PrivacyLedger } from '../privacy/ledger.ts'
import { FED_PROTOCOL } from '../rounds/wire.ts'
import { progressOf, sendJoin } from './asking.ts'
import type { CheckedData } from './check-data.ts'
import { makeJoin, makeOffer, makeStart } from './documents.ts'
import type { Offer } from './documents.ts'
import { hooksOf, NO_HOOKS } from './hooks.ts'
import type { HookOptions, TestHooks } from './hooks.ts'
import { budgetDocument, setCap } from './budget.ts'
import { lookUp, offerToJoin } from './finding.ts'
import { JobFolder } from './job-folder.ts'
import { describeJob } from './describe.ts'
import type { JobStatus } from './describe.ts'
import { exportJob } from './export.ts'
import type { Exported } from './export.ts'
import { resultsOf } from './results.ts'
import type { JobResults } from './results.ts'
import { folderFiles, MemberState } from '../rounds/member-state.ts'
import type { FederationNeeds, JoinRequest } from './needs.ts'
import { Leaving } from './leaving.ts'
import { JobLinks } from './links.ts'
import { RunningJob } from './running-job.ts'
import type { RunningNeeds } from './running-job.ts'
import { checkOutside } from '../site/external.ts'
import { admittedData, checkRole, enoughJoins } from './taking-part.ts'

/** Between two looks for documents that others may have by now. */
const LOOK_MS = 700

export class Federation {
  readonly #needs: FederationNeeds
  readonly #root: string
  readonly #ledger: PrivacyLedger
  readonly #folders = new Map<string, JobFolder>()
  readonly #running = new Map<string, RunningJob>()
  readonly #starting = new Set<string>()
  /** Where jobs stand that this site has left. */
  readonly #left = new Map<string, MemberState>()
  readonly #links: JobLinks
  readonly #leaving: Leaving
  #cancel: CancelTimer = () => undefined
  #stopped = false
  hooks: TestHooks = NO_HOOKS

  private constructor(needs: FederationNeeds) {
    this.#needs = needs
    this.#root = join(needs.paths.state, 'federated')
    this.#links = new JobLinks(needs, { folders: this.#folders, running: this.#running }, () => this.hooks)
    const { identity, clock, paths } = needs
    this.#leaving = new Leaving(clock, identity.id, () => this.#links.asking)
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
    needs.network?.handle(FED_PROTOCOL, 'federate', (channel) => opened.#links.serve(channel))
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
    this.testWith(request.test)
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
    const running = this.#running.get(folder.id)
    await running?.stop()
    this.#running.delete(folder.id)
    if (running !== undefined) this.#left.set(folder.id, running.standing)
    await this.#leaving.tell(folder)
    return this.status(folder.id)
  }

  /** The author freezes the roster: those who joined. @throws JobStateError */
  async start(job: string, test: HookOptions = {}): Promise<JobStatus> {
    const folder = this.#known(job)
    const { identity } = this.#needs
    this.#checkRole()
    if (folder.offer.author !== identity.id)
      throw new JobStateError(folder.id, `its author ${folder.offer.author} starts it`)
    if (folder.start === undefined) {
      const joins = enoughJoins(folder, this.#needs.admits)
      await folder.saveStart(makeStart(identity, folder.offer, joins))
      await folder.note(this.#now(), 'started', { members: joins.map(({ peer }) => peer) })
    } else if (folder.site.stopped !== null && folder.site.data !== null) {
      await folder.saveSite({ stopped: null })
    }
    this.testWith(test)
    await this.#open(folder)
    return this.status(folder.id)
  }

  jobs(): JobStatus[] {
    const created = (id: string): number => Date.parse(this.#folders.get(id)!.offer.created)
    return [...this.#folders.keys()].sort((one, other) => created(one) - created(other)).map((id) => this.status(id))
  }

  status(job: string): JobStatus {
    const folder = this.#known(job)
    const running = this.#running.get(folder.id)
    const standing = running?.standing ?? this.#left.get(folder.id)
    return describeJob({ folder, running, standing }, this.#needs, this.hooks)
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

  testWith(options: HookOptions = {}): void {
    this.hooks = hooksOf(this.#needs, options, this.hooks)
  }

  async export(job: string, out: string): Promise<Exported> {
    return this.#look(job, (part) => exportJob(part, out))
  }

  /** @throws JobStateError: nothing was asked, or its rounds are not over */
  async results(job: string): Promise<JobResults> {
    return this.#look(job, resultsOf)
  }

  /** What came of a job at this site, which may have left it. @throws JobUnknownError, JobStateError */
  async #look<T>(job: string, use: (part: RunningJob) => Promise<T>): Promise<T> {
    const folder = this.#known(job)
    const running = this.#running.get(folder.id)
    if (running !== undefined) return use(running)
    const opened = await RunningJob.look(this.#runs(folder.id), folder)
    try {
      return await use(opened)
    } finally {
      await opened.stop()
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await Promise.all([...this.#running.values()].map((running) => running.stop()))
    this.#running.clear()
  }

  readonly #checkRole = (peer?: string): void => checkRole(this.#needs, peer)

  #now(): string {
    return new Date(this.#needs.clock.wall()).toISOString()
  }

  #known(job: string): JobFolder {
    return lookUp(this.#folders, job)
  }

  async #find(request: JoinRequest, signal?: AbortSignal): Promise<JobFolder> {
    const offer = await offerToJoin(this.#links.asking, this.#folders, request, signal)
    const known = this.#folders.get(offer.job)
    if (known !== undefined) return known
    const folder = await JobFolder.create(this.#root, offer)
    this.#folders.set(folder.id, folder)
    return folder
  }

  async #approved(folder: JobFolder): Promise<void> {
    const own = makeJoin(this.#needs.identity, folder.offer, folder.site.site ?? 'site')
    await folder.addJoin(own)
    await this.#ask(folder)
  }

  async #resume(): Promise<void> {
    for (const folder of this.#folders.values()) {
      if (folder.start === undefined) continue
      const left = async ({ id, path }: JobFolder): Promise<unknown> =>
        this.#left.set(id, await MemberState.open(folderFiles(path)))
      const going = folder.site.stopped === null ? this.#open(folder) : left(folder)
      await going.catch((error: unknown) => this.#cannot(folder, error))
    }
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
      const running = await RunningJob.open(this.#runs(folder.id), folder)
      this.#running.set(folder.id, running)
      this.#left.delete(folder.id)
      this.#leaving.forget(folder)
      running.run()
    } finally {
      this.#starting.delete(folder.id)
    }
  }

  #runs(job: string): RunningNeeds {
    const { identity, emit } = this.#needs
    return {
      ...this.#needs,
      self: identity,
      ledger: this.#ledger,
      connect: (peer, signal) => this.#links.connect(peer, job, signal),
      progress: (peer) => progressOf(this.#links.asking, peer, job),
      event: (event, facts) => emit(`fed.${event}`, facts),
      hooks: this.hooks,
    }
  }

  #tick(): void {
    if (this.#stopped) return
    this.#cancel = this.#needs.clock.after(LOOK_MS, () => {
      const waiting = [...this.#folders.values()].filter(
        ({ id, site }) => site.approved !== null && !this.#running.has(id),
      )
      const next = (folder: JobFolder): Promise<void> =>
        folder.site.stopped === null ? this.#ask(folder) : this.#leaving.tell(folder)
      void Promise.all(waiting.map((folder) => next(folder).catch(() => undefined))).then(() => this.#tick())
    })
  }

  /** Tells the author of this site's word, and asks whether the job has started. */
  async #ask(folder: JobFolder): Promise<void> {
    const { identity } = this.#needs
    const own = folder.joins.get(identity.id)
    if (folder.start === undefined && folder.offer.author !== identity.id && own !== undefined) {
      const start = await sendJoin(this.#links.asking, folder.offer, own)
      if (start !== undefined) await folder.saveStart(start)
    }
    if (folder.start === undefined) return
    await this.#open(folder).catch(async (error: unknown) => {
      await folder.saveSite({ stopped: (error as Error).message })
      this.#cannot(folder, error)
    })
  }
}
