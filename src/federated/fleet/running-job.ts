/** A job that has started, at one of its members: its trainer, its own loop, and what it does for the others. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AnalysisMath } from '../analysis/math.ts'
import { AnalysisSite } from '../analysis/site.ts'
import type { Engine } from '../../onnx/index.ts'
import { publicKeyBytes } from '../../trust/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import { JobRefusedError, JobStateError } from '../plan/errors.ts'
import { planHash } from '../plan-hash.ts'
import { extentOf } from '../plan/job-plan.ts'
import type { FedPlan } from '../plan/schema.ts'
import { readFedData } from '../plan/read-plan.ts'
import type { SiteData } from '../plan/read-plan.ts'
import type { PrivacyLedger } from '../privacy/ledger.ts'
import { keyedWords } from '../privacy/words.ts'
import { Coordinator } from '../rounds/coordinator.ts'
import { COORDINATOR_TIMES } from '../rounds/coordinator-types.ts'
import type { CoordinatorNeeds, Waiting } from '../rounds/coordinator-types.ts'
import { JobView } from '../rounds/job-view.ts'
import { MemberLoop } from '../rounds/member-loop.ts'
import { MEMBER_TIMES } from '../rounds/member-types.ts'
import { folderFiles, MemberState } from '../rounds/member-state.ts'
import type { Pipe } from '../rounds/pipe.ts'
import { factsOf } from '../rounds/wire.ts'
import { Site } from '../site/site.ts'
import type { RoundSite } from '../site/site.ts'
import type { BaseProvider, LocalTrainer } from '../site/local-trainer.ts'
import { openTrainer } from '../site/open-trainer.ts'
import type { Signer } from './documents.ts'
import { JobFolder } from './job-folder.ts'
import { GoneMembers } from './leaving.ts'
import type { TestHooks } from './hooks.ts'
import { RoundNotes } from './round-notes.ts'
import { RunningGossip } from './running-gossip.ts'
import { SignedResults } from './signed-results.ts'
import type { SignedResult } from './signed-results.ts'
import { checkApproval, partInRound } from './taking-part.ts'
import { TranscriptStore } from './transcript-store.ts'
import type { TakingPart } from './taking-part.ts'

/** Between two looks whether the site's policy lets it go on: an hour begins, or somebody changes it. */
const HELD_MS = 10_000

export interface RunningNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly engine: Engine
  readonly threads: number
  readonly base?: BaseProvider | undefined
  readonly self: Signer
  readonly ledger: PrivacyLedger
  readonly admits: (peer: string) => boolean
  /** @throws the refusal of the site's own policy */
  readonly permit: (part: TakingPart) => void
  readonly isPresent: (peer: string) => boolean
  readonly watch: (peer: string) => () => void
  readonly connect: (peer: string, signal: AbortSignal) => Promise<Pipe>
  readonly progress: (peer: string) => Promise<number | undefined>
  readonly event: (event: string, facts: Record<string, unknown>) => void
  readonly hooks: TestHooks
}

export class RunningJob {
  readonly folder: JobFolder
  readonly view: JobView
  readonly standing: MemberState
  readonly coordinator: Coordinator
  /** Where the plan wants them. */
  readonly transcripts: TranscriptStore | undefined
  /** What came of each round, as its members signed it. */
  readonly signed: SignedResults
  readonly #needs: RunningNeeds
  readonly #notes: RoundNotes
  #trainer: LocalTrainer | undefined
  #loop: MemberLoop | undefined
  #site: Site | undefined
  /** Where the plan is one: it begins once the statistics are there. */
  gossip: RunningGossip | undefined
  /** In place of trainer and site where the plan is an analysis. */
  analysis: AnalysisSite | undefined
  readonly gone: GoneMembers
  #error: Error | undefined
  #held: Error | undefined
  readonly #abort = new AbortController()
  #ended: Promise<void> = Promise.resolve()

  private constructor(needs: RunningNeeds, folder: JobFolder, view: JobView, standing: MemberState) {
    this.#needs = needs
    this.folder = folder
    this.view = view
    this.standing = standing
    this.gone = new GoneMembers(view.peers, (peer) => this.#note('member.left', { peer }))
    this.signed = new SignedResults(join(folder.path, 'signed'))
    const { transcripts } = view.plan
    if (transcripts !== undefined) {
      this.transcripts = new TranscriptStore(join(folder.path, 'transcripts'), needs.self, transcripts)
    }
    this.#notes = new RoundNotes({
      folder,
      view,
      standing,
      signed: this.signed,
      weights: () => this.weights(),
      note: (event, facts) => this.#note(event, facts),
    })
    this.coordinator = new Coordinator({ ...this.#forOthers(), ...this.transcripts?.keepers(folder.id) })
  }

  #forOthers(): CoordinatorNeeds {
    const { clock, self, admits, hooks } = this.#needs
    const { view: job, standing } = this
    const log = (event: string, facts: Record<string, unknown>): void => this.#note(event, facts)
    const common = { clock, self, job, standing, admits, times: COORDINATOR_TIMES, log, filter: hooks.filter }
    return { ...common, ...this.gone.among(this.#needs.isPresent) }
  }

  /** @throws PlanChangedError, JobRefusedError, and what reading data throws */
  static async open(needs: RunningNeeds, folder: JobFolder): Promise<RunningJob> {
    checkApproval(folder)
    return RunningJob.look(needs, folder)
  }

  /** To see what came of it, and not to run: it may have been stopped here. @throws the same but for the plan */
  static async look(needs: RunningNeeds, folder: JobFolder): Promise<RunningJob> {
    const { start, offer, site } = folder
    if (start === undefined) throw new JobStateError(folder.id, 'it has not started')
    const members = start.members.map((member) => {
      const key = publicKeyBytes(member.peer)
      if (key === undefined) throw new JobRefusedError(folder.id, `${member.peer} has no Ed25519 key`)
      return { peer: member.peer, key, site: member.site }
    })
    const view = new JobView({ id: folder.id, plan: offer.plan, planHash: planHash(offer.plan), members })
    const running = new RunningJob(needs, folder, view, await MemberState.open(folderFiles(folder.path)))
    try {
      if (site.data !== null && view.peers.includes(needs.self.id)) await running.#openSite(site.data)
    } catch (error) {
      await running.stop()
      throw error
    }
    return running
  }

  /** Why this site takes no part any more. */
  get error(): Error | undefined {
    return this.#error
  }

  /** Why this site waits: its policy does not let it go on now. */
  get held(): Error | undefined {
    return this.#held
  }

  get isOver(): boolean {
    const isOver = this.view.isOver(this.standing.current.state) && this.standing.isCertified
    return isOver && this.gossip?.loop.isOver !== false
  }

  /** The part that is under way: what all do together, or the gossip after it. */
  get #active(): MemberLoop | RunningGossip['loop'] | undefined {
    const isGossip = this.gossip !== undefined && this.#loop?.stage === 'over'
    return isGossip ? this.gossip?.loop : this.#loop
  }

  get stage(): string {
    if (this.#error !== undefined) return 'refused'
    if (this.isOver) return 'over'
    if (this.#held !== undefined) return 'held by the policy'
    return this.#active?.stage ?? 'aggregates alone'
  }

  /** Whom the round waits for: known here where this peer aggregates, else as whoever does says. */
  get waiting(): Waiting | undefined {
    return this.coordinator.waiting ?? this.gossip?.waiting ?? this.#loop?.waiting
  }

  get aggregator(): string | undefined {
    return this.#active?.aggregator
  }

  async #openSite(path: string): Promise<void> {
    const { clock, random, self, ledger } = this.#needs
    const data = await readFedData(path)
    const site = await this.#siteOf(data)
    const dataset = data.data.dataset ?? data.data.site
    const part = partInRound(this.folder.offer.author, this.view, dataset, site.records)
    const common = {
      clock,
      random,
      self,
      standing: this.standing,
      ledger,
      connect: this.#needs.connect,
      admits: this.#needs.admits,
      permit: () => this.#permitted(part),
      times: MEMBER_TIMES,
      log: (event: string, facts: Record<string, unknown>) => this.#note(event, facts),
      before: this.#needs.hooks.before,
    }
    if (this.view.gossip !== undefined && this.#site !== undefined) {
      this.gossip = await RunningGossip.open({
        ...common,
        host: this.#forOthers(),
        path: this.folder.path,
        job: this.view as JobView<FedPlan>,
        site: this.#site,
        note: (event, facts) => this.#note(event, facts),
        events: () => this.folder.events(),
      })
    }
    this.#loop = new MemberLoop({
      ...common,
      job: this.view,
      site,
      dataset,
      progress: this.#needs.progress,
      connected: this.#needs.isPresent,
      applied: (before, facts) => this.#notes.applied(before, facts),
      noted: () => this.#notes.standing(),
      signed: (result) => this.#keepSigned(result),
      told: (sum) => this.transcripts?.told(this.folder.id, sum) ?? Promise.resolve(),
    })
  }

  /** What cannot be written is logged, and the round goes on. */
  #keepSigned(result: SignedResult): Promise<void> {
    return this.signed.add(result).catch((error: unknown) => {
      this.#note('result.unsaved', { step: result.result.step, why: (error as Error).message })
    })
  }

  async #siteOf(data: SiteData): Promise<RoundSite> {
    const { base, clock, engine, threads, random } = this.#needs
    const { math } = this.view
    const words = keyedWords(random)
    if (math instanceof AnalysisMath) return (this.analysis = await AnalysisSite.open(math, data, words))
    const work = join(this.folder.path, 'work')
    await mkdir(work, { recursive: true, mode: 0o700 })
    this.#trainer = await openTrainer({ base, clock, engine, folder: work, threads }, math.plan, data)
    this.#site = new Site(this.#trainer, math, words)
    if (this.folder.site.trainer !== null) this.#site.external = { command: this.folder.site.trainer, folder: work }
    return this.#site
  }

  /** Resolves when the next round may begin. @throws what `checkApproval` throws */
  async #permitted(part: TakingPart): Promise<void> {
    for (;;) {
      checkApproval(await JobFolder.open(this.folder.path))
      try {
        this.#needs.permit(part)
        this.#held = undefined
        return
      } catch (error) {
        const { code, message: why } = error as Error & { code?: string }
        if (this.#held?.message !== why) this.#note('site.held', { code, why })
        this.#held = error as Error
      }
      await this.#needs.clock.sleep(HELD_MS, this.#abort.signal)
    }
  }

  run(): void {
    const loop = this.#loop
    if (loop === undefined) return
    const { self, watch } = this.#needs
    this.#unwatch = this.view.peers.filter((peer) => peer !== self.id).map((peer) => watch(peer))
    const all = async (): Promise<void> => {
      await loop.run()
      await this.gossip?.run()
    }
    this.#ended = all().then(
      () => this.#over({ rounds: extentOf(this.view.plan).rounds }),
      (error: unknown) => {
        if (this.#stopped) return
        this.#error = error as Error
        this.#note('site.refused', { stage: this.#active?.failedIn, ...factsOf(error) })
      },
    )
  }

  #stopped = false
  #unwatch: readonly (() => void)[] = []

  #over(facts: Record<string, unknown>): void {
    for (const stop of this.#unwatch) stop()
    this.#note('job.over', facts)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const stop of this.#unwatch) stop()
    this.#loop?.stop()
    this.#abort.abort(new Error('the job was stopped here'))
    this.coordinator.stop()
    this.gossip?.stop()
    await this.#ended.catch(() => undefined)
    await this.#trainer?.close()
  }

  /** Weights of the model now, by name, with those that stay at this site; nothing before the statistics. */
  async weights(): Promise<{ readonly site: Site; readonly weights: Float32Array } | undefined> {
    const { state } = this.standing.current
    if (this.#site === undefined || state.pooled === null) return undefined
    const own = this.gossip?.model
    return { site: this.#site, weights: own ?? (await this.#site.weights(state, this.standing.memory)) }
  }

  #note(event: string, facts: Record<string, unknown>): void {
    const at = new Date(this.#needs.clock.wall()).toISOString()
    this.#needs.event(event, { job: this.folder.id, ...facts })
    void this.folder.note(at, event, facts).catch(() => undefined)
  }
}
