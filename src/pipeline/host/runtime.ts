/**
 * The work of a stage host without its sockets: loaded parts, sessions with their KV caches, and the loop that puts
 * rows of several sessions into one run. Batching is the choice of jobs in `Lanes`, nothing else.
 */
import { DTYPE, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { errorControl } from '../told.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import type { ModelManifest } from '../../models/index.ts'
import { besideOf } from './beside.ts'
import { BlockMeter } from './block-times.ts'
import { guessesOf } from './choosing.ts'
import { Company } from './company.ts'
import { HeadSteps } from './head-steps.ts'
import {
  answer,
  boundaryRows,
  decoderJobs,
  embedded,
  markWay,
  ran,
  rowBytesOf,
  rowsOf,
  sessionKey,
  turned,
  unrun,
  withBeside,
} from './jobs.ts'
import type { Job, Session } from './jobs.ts'
import type { DecoderPart, HostParts } from './parts.ts'
import { Lanes, rowsOfRun } from './lanes.ts'
import { HOST, RUN } from './protocol.ts'
import type { CloseControl, HostStats, OpenControl } from './protocol.ts'
import { PrefixCache } from './prefix-cache.ts'
import { checkStep } from './step-check.ts'
import { sessionSampler } from './session-sampler.ts'
import type { Grammars } from './grammar/grammars.ts'

export interface StageRuntimeNeeds {
  readonly clock: Clock
  readonly manifest: ModelManifest
  readonly parts: Pick<HostParts, 'adapter' | 'admit' | 'kvBytes' | 'segment'>
  /** Bytes that KV caches may take together. */
  readonly kvBytes: number
  /** Resident bytes. @default of this process */
  resident?(): number
  emit(frame: Frame): void
  /** For answers that have a format. @default refused */
  readonly grammars?: Pick<Grammars, 'mask'> | undefined
}

export class StageRuntime {
  readonly #needs: StageRuntimeNeeds
  readonly #sessions = new Map<string, Session>()
  #waiting: Job[] = []
  /** Jobs whose session's adapter is being loaded. */
  readonly #behind = new Set<Job>()
  #running = false
  #reserved = 0
  #runs = 0
  #batchedRows = 0
  #computeMs = 0
  readonly #meter = new BlockMeter()
  readonly #heads: HeadSteps
  readonly #lanes = new Lanes()
  readonly #company: Company
  #wake: CancelTimer = () => undefined
  readonly #prefixes: PrefixCache

  constructor(needs: StageRuntimeNeeds) {
    this.#needs = needs
    this.#prefixes = new PrefixCache(needs.kvBytes)
    // Embedding and head are the other two.
    this.#company = new Company(this.#meter, needs.manifest.blocks.length - 2)
    this.#heads = new HeadSteps({
      clock: needs.clock,
      manifest: needs.manifest,
      meter: this.#meter,
      answer: (job, what) => this.#answer(job, what),
      fail: (job, error) => this.#failJob(job, error),
    })
  }

  /** Bytes of KV that no session has claimed. */
  get #free(): number {
    return this.#needs.kvBytes - this.#reserved
  }

  open(message: Frame, control: OpenControl): void {
    this.#guard(message, () => {
      const segment = this.#needs.parts.segment(control.from, control.to)
      const reserved = this.#needs.parts.kvBytes(segment, control.positions)
      const yields = control.lane === 'batch'
      // Half is left for people, where anybody is here at all.
      const kept = yields && this.#sessions.size > 0 ? this.#needs.kvBytes / 2 : 0
      this.#needs.parts.admit(reserved, this.#free - kept)
      this.#prefixes.yieldTo(this.#free - reserved)
      const key = sessionKey(message)
      const session: Session = {
        key,
        request: message.request,
        hop: message.hop,
        segment,
        reserved,
        positions: control.positions,
        yields,
        caches: segment.decoders.map((part) => part.stage.newCache(0)),
        sampler: sessionSampler(control, this.#needs.grammars),
        beside: besideOf(this.#needs.parts, control.adapter, segment),
        expected: 0,
        waiting: 0,
        closed: false,
        prefix: undefined,
        chosen: new Map(),
      }
      this.#sessions.set(key, session)
      this.#reserved += reserved
      if (control.prefix !== undefined) this.#begin(session, control.prefix)
      const { request, hop } = message
      this.#needs.emit(frame({ type: HOST.opened, request, hop, position: session.expected }))
    })
  }

  /** With what is here of its text. */
  #begin(session: Session, wanted: NonNullable<OpenControl['prefix']>): void {
    const { prefix, rows } = this.#prefixes.open(wanted, session.caches)
    session.prefix = prefix
    session.expected = rows
  }

  /** What a session computes from now on is its own. */
  apart(message: Frame): void {
    const session = this.#sessions.get(sessionKey(message))
    if (session !== undefined) session.prefix = undefined
  }

  run(message: Frame): void {
    this.#guard(message, () => {
      const session = this.#sessions.get(sessionKey(message))
      if (session === undefined) return
      const count = message.dims[0] ?? 0
      if ((message.flags & RUN.rewind) !== 0) this.#drop(session, message.position)
      checkStep(this.#needs.manifest, session, message, count)
      const rows = message.dtype === DTYPE.i32 ? embedded(session, message) : message.payload
      session.expected += count
      session.waiting += count
      const told = { micros: message.micros, since: this.#needs.clock.now(), adapter: undefined }
      const job: Job = { session, frame: message, count, rows, ...unrun(), ...told, ...guessesOf(session, message) }
      if (session.beside === null) return this.#wait(job)
      this.#behind.add(job)
      session.beside.then(
        (beside) => {
          // Dropped meanwhile it is not here any more.
          if (this.#behind.delete(job)) this.#wait(withBeside(job, beside, rowBytesOf(this.#needs.manifest)))
        },
        (error: unknown) => {
          if (this.#behind.delete(job)) this.#failJob(job, error)
        },
      )
    })
  }

  /** Rows from `position` on never were: those that wait are not computed. */
  #drop(session: Session, position: number): void {
    const isDropped = (job: Job): boolean => job.session === session && job.frame.position >= position
    const dropped = [...this.#waiting, ...this.#behind].filter(isDropped)
    if (dropped.length === 0) return
    this.#waiting = this.#waiting.filter((job) => !isDropped(job))
    for (const job of dropped) {
      this.#behind.delete(job)
      job.ran |= RUN.dropped
      this.#answer(job, { type: HOST.void })
    }
  }

  #wait(job: Job): void {
    if (job.session.closed) return
    this.#waiting.push(job)
    this.#lanes.came(job, this.#needs.clock.now())
    if (!this.#running) void this.#loop()
  }

  /** @param names of further runs of its text, which are kept */
  close(message: Frame, { names }: CloseControl = {}): void {
    const key = sessionKey(message)
    const session = this.#sessions.get(key)
    if (session === undefined) return
    session.closed = true
    session.sampler?.close?.()
    this.#sessions.delete(key)
    this.#reserved -= session.reserved
    if (session.prefix !== undefined && names !== undefined) this.#prefixes.more(session.prefix, names)
    this.#keep(session)
    this.#waiting = this.#waiting.filter((job) => job.session !== session)
    for (const job of this.#behind) if (job.session === session) this.#behind.delete(job)
  }

  #keep({ prefix, caches }: Session): void {
    if (prefix !== undefined && caches.length > 0) this.#prefixes.keep(prefix, caches, this.#free)
  }

  stats(): HostStats {
    let kvBytes = this.#prefixes.bytes
    for (const session of this.#sessions.values()) for (const cache of session.caches) kvBytes += cache.bytes
    return {
      rss: this.#needs.resident?.() ?? process.memoryUsage.rss(),
      sessions: this.#sessions.size,
      kvBytes,
      runs: this.#runs,
      batchedRows: this.#batchedRows,
      computeMs: this.#computeMs,
      blocks: this.#meter.times(),
    }
  }

  /** A refusal ends the session that caused it and nothing else. */
  #guard(message: Frame, action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#fail(message, error)
    }
  }

  #fail(message: Frame, error: unknown): void {
    this.close(message)
    this.#needs.emit(
      frame({ type: HOST.error, request: message.request, hop: message.hop, control: errorControl(error) }),
    )
  }

  #failJob({ session, frame: message }: Pick<Job, 'session' | 'frame'>, error: unknown): void {
    if (!session.closed) this.#fail(message, error)
  }

  async #loop(): Promise<void> {
    this.#running = true
    this.#wake()
    while (this.#waiting.length > 0) {
      const patience = this.#company.patience(this.#waiting, this.#needs.clock.now())
      const jobs = patience > 0 ? [] : this.#pick()
      if (jobs.length === 0) {
        const wait = patience > 0 ? patience : this.#lanes.wakeIn(this.#waiting, this.#needs.clock.now())
        this.#wake = this.#needs.clock.after(wait, () => void this.#loop())
        break
      }
      const started = this.#needs.clock.now()
      await this.#step(jobs)
      this.#computeMs += this.#needs.clock.now() - started
      this.#runs++
    }
    this.#running = false
  }

  #pick(): Job[] {
    const now = this.#needs.clock.now()
    const rowsWithin = rowsOfRun(this.#meter, this.#sessions.size > 1)
    const limits = this.#company.limits(this.#waiting, this.#sessions.values(), now)
    const jobs = this.#lanes.pick(this.#waiting, now, { riders: this.#meter.riders, rowsWithin, ...limits })
    this.#company.ran(jobs, now)
    const taken = new Set(jobs)
    this.#waiting = this.#waiting.filter((job) => !taken.has(job))
    if (jobs.length > 1) {
      this.#batchedRows += rowsOf(jobs)
      for (const job of jobs) job.ran |= RUN.batched
    }
    return jobs
  }

  /** What throws is the computing, before anything has come of it: whose rows it was shows when each runs alone. */
  async #step(jobs: readonly Job[]): Promise<void> {
    try {
      const decoder = jobs[0]!.session.segment.decoders[jobs[0]!.part]
      await (decoder === undefined ? this.#finish(jobs) : this.#decode(decoder, jobs))
    } catch (error) {
      if (jobs.length === 1) return this.#failJob(jobs[0]!, error)
      for (const job of jobs) {
        job.ran &= ~RUN.batched
        if (!job.session.closed) await this.#step([job])
      }
    }
  }

  async #decode(part: DecoderPart, jobs: readonly Job[]): Promise<void> {
    const started = this.#needs.clock.now()
    const outputs = await part.stage.run(decoderJobs(jobs, rowBytesOf(this.#needs.manifest)))
    markWay(jobs, part.stage)
    const spent = this.#needs.clock.now() - started
    this.#meter.decoded(part.to - part.from, jobs.length, rowsOf(jobs), spent)
    const micros = Math.round(spent * 1000)
    const going: Job[] = []
    const rest: Job[] = []
    for (const [index, job] of jobs.entries()) {
      if (job.session.closed) continue
      job.micros += micros
      const { segment } = job.session
      if (!ran(job, outputs[index]!)) rest.push(job)
      else if (job.part < segment.decoders.length || segment.head !== null) going.push(job)
      else this.#guard(job.frame, () => this.#emitRows(job))
      if (job.part === segment.decoders.length) this.#keep(job.session)
    }
    this.#waiting = [...going, ...turned(this.#waiting, rest)]
  }

  #answer(job: Job, what: Partial<Frame> & Pick<Frame, 'type'>): void {
    job.session.waiting -= job.count
    this.#needs.emit({ ...answer(job, this.#needs.clock.now()), ...what })
  }

  #emitRows(job: Job): void {
    this.#answer(job, { type: HOST.rows, ...boundaryRows(this.#needs.manifest, job) })
  }

  async #finish(jobs: readonly Job[]): Promise<void> {
    const { head } = jobs[0]!.session.segment
    if (head !== null) return this.#heads.finish(head, jobs)
    for (const job of jobs) if (!job.session.closed) this.#guard(job.frame, () => this.#emitRows(job))
  }
}
