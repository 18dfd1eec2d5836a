/** A stage's sessions and the jobs that wait in it. */
import { DTYPE } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { ModelManifest } from '../../models/index.ts'
import type { HostAdapter } from './adapter-stacks.ts'
import { afterPrompt } from './beside.ts'
import type { Beside } from './beside.ts'
import type { DecoderJob, DecoderStage } from './decoder-stage.ts'
import type { KvCache } from './kv-cache.ts'
import type { DecoderPart, HeadPart, Segment } from './parts.ts'
import type { SessionPrefix } from './prefix-cache.ts'
import { RUN } from './protocol.ts'
import type { Sampled, Sampler } from './sampler.ts'

export interface Session {
  readonly key: string
  readonly request: number
  readonly hop: number
  readonly segment: Segment
  readonly caches: readonly KvCache[]
  readonly sampler: Sampler | null
  readonly beside: Promise<Beside> | null
  readonly reserved: number
  readonly positions: number
  /** Its rows yield to those of others. */
  readonly yields: boolean
  /** Position that the next rows must have. */
  expected: number
  /** Rows that were given and are not answered. */
  waiting: number
  closed: boolean
  /** Undefined: nothing of it is kept for others. */
  prefix: SessionPrefix | undefined
  /** What was chosen last, by the row that it follows: asked again, it is not chosen again, since penalties count. */
  readonly chosen: Map<number, Sampled>
}

export interface Job {
  readonly session: Session
  readonly frame: Frame
  readonly count: number
  /** Index of the next decoder part of the session's segment; the head comes after the last. */
  part: number
  rows: Uint8Array
  /** Of its rows, those that have run in this part, and what came of them, where they run in pieces. */
  done: number
  pieces: Uint8Array[]
  /** Of those that are left, those that run next. */
  taken: number
  micros: number
  /** When it was given to the host. */
  readonly since: number
  /** What is told of how its rows ran: RUN.batched, RUN.single, RUN.spun, RUN.narrow, RUN.yielded, RUN.pieces, RUN.fitted, RUN.gathered. */
  ran: number
  /** Of rows that go to the head, where a token is wanted. */
  readonly guesses: readonly number[]
  /** What its first row stands for, where that is a guess. */
  readonly behind?: number | undefined
  /** What its session has beside the matrices, once it is loaded. */
  readonly adapter: HostAdapter | undefined
}

/** Of a job that has come. */
export function unrun(): Pick<Job, 'done' | 'part' | 'pieces' | 'ran' | 'taken'> {
  return { part: 0, done: 0, pieces: [], taken: 0, ran: 0 }
}

/** Rows of one run. */
export function rowsOf(jobs: readonly Job[]): number {
  return jobs.reduce((sum, { taken }) => sum + taken, 0)
}

/** The rows that run now, of all jobs for one part. */
export function decoderJobs(jobs: readonly Job[], rowBytes: number): DecoderJob[] {
  return jobs.map(({ session, frame, part, rows, done, taken, adapter }) => {
    const cache = session.caches[part]!
    // Here and not when it was given: what was given before it has run until now.
    cache.position = frame.position + done
    const { positions } = session
    return { cache, rows: rows.subarray(done * rowBytes, (done + taken) * rowBytes), count: taken, positions, adapter }
  })
}

/** Decoder layers of the part that the job waits for; none: it waits for the head. */
export function blocksOf({ session, part }: Job): number {
  const decoder = session.segment.decoders[part]
  return decoder === undefined ? 0 : decoder.to - decoder.from
}

/** They have run. @param out what came of them. @returns whether these were the last of this part */
export function ran(job: Job, out: Uint8Array): boolean {
  job.done += job.taken
  if (job.done < job.count) {
    job.pieces.push(out)
    job.ran |= RUN.pieces
    return false
  }
  job.rows = job.pieces.length === 0 ? out : new Uint8Array(Buffer.concat([...job.pieces, out]))
  job.pieces = []
  job.done = 0
  job.part++
  return true
}

/** How their run went. */
export function markWay(
  jobs: readonly Job[],
  { oneRow, spun, narrow, fitted }: Pick<DecoderStage, 'oneRow' | 'spun' | 'narrow' | 'fitted'>,
): void {
  const isSingle = oneRow && jobs.length === 1 && jobs[0]!.count === 1
  const flags =
    (isSingle ? RUN.single : 0) | (spun ? RUN.spun : 0) | (narrow ? RUN.narrow : 0) | (fitted ? RUN.fitted : 0)
  for (const job of jobs) job.ran |= flags
}

/** Sessions with rows left over had their turn: others come before these, and before what of theirs waits behind them. */
export function turned(waiting: readonly Job[], rest: readonly Job[]): Job[] {
  if (rest.length === 0) return [...waiting]
  const sessions = new Set(rest.map(({ session }) => session))
  const others = waiting.filter(({ session }) => !sessions.has(session))
  return [...others, ...rest, ...waiting.filter(({ session }) => sessions.has(session))]
}

/** The frame that answers a job, but for its type and payload. @param now in the clock of `since`, in milliseconds */
export function answer(job: Job, now: number): Frame {
  const flags = (job.frame.flags & (RUN.token | RUN.rewind)) | job.ran
  return {
    ...job.frame,
    flags,
    rows: job.count,
    micros: job.micros,
    waited: job.frame.waited + Math.max(0, Math.round((now - job.since) * 1000) - (job.micros - job.frame.micros)),
    dtype: DTYPE.none,
    dims: [],
    payload: new Uint8Array(0),
  }
}

/** Of the ids that came. */
export function embedded({ segment, sampler }: Session, { payload, position }: Frame): Uint8Array {
  const { buffer, byteOffset, byteLength } = payload
  const ids = new Int32Array(buffer, byteOffset, byteLength / 4)
  sampler?.given?.(ids, position)
  return segment.embedding!.rows(ids)
}

/** With what its session's adapter is. */
export function withBeside(job: Omit<Job, 'adapter'>, { adapter, prompt }: Beside, rowBytes: number): Job {
  const rows = prompt === undefined ? job.rows : afterPrompt(prompt, job.rows, job.frame.position, rowBytes)
  return { ...job, rows, adapter }
}

export function rowBytesOf({ boundary, shape }: ModelManifest): number {
  return shape.width * (boundary === 'f16' ? 2 : 4)
}

/** What goes to the next stage. */
export function boundaryRows({ boundary, shape }: ModelManifest, job: Job): Pick<Frame, 'dtype' | 'dims' | 'payload'> {
  return {
    dtype: boundary === 'f16' ? DTYPE.f16 : DTYPE.f32,
    dims: [job.count, shape.width],
    payload: job.rows,
  }
}

/** What the job waits for: a range of layers, the head, or (after an embedding alone) nothing. */
export function nextPart(job: Job): DecoderPart | HeadPart | null {
  const { decoders, head } = job.session.segment
  return decoders[job.part] ?? head
}

export function sessionKey(message: Frame): string {
  return `${message.request}/${message.hop}`
}
