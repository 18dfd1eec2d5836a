/** A stage's sessions and the jobs that wait in it. */
import { decodeControl, DTYPE } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { NotFiniteError } from './errors.ts'
import type { KvCache } from './kv-cache.ts'
import type { DecoderPart, HeadPart, Segment } from './parts.ts'
import type { SessionPrefix } from './prefix-cache.ts'
import { RUN } from './protocol.ts'
import type { Likelihood, RunControl, TokenControl } from './protocol.ts'
import type { Sampled, Sampler } from './sampler.ts'

export interface Session {
  readonly key: string
  readonly request: number
  readonly hop: number
  readonly segment: Segment
  readonly caches: readonly KvCache[]
  readonly sampler: Sampler | null
  readonly reserved: number
  readonly positions: number
  /** Position that the next rows must have. */
  expected: number
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
  micros: number
  /** What is told of how its rows ran: RUN.batched, RUN.single, RUN.spun. */
  ran: number
  /** Of rows that go to the head, where a token is wanted. */
  readonly guesses: readonly number[]
}

/** What a head may be asked again of: all that one step can choose, and the step before. */
const CHOSEN_ROWS = 64

/** The guesses in a frame of rows, fewer than the rows. */
export function guessesOf({ segment }: Session, { control, flags, dims }: Frame): readonly number[] {
  if (segment.head === null || control.length === 0 || (flags & RUN.token) === 0) return []
  const { guesses = [] } = decodeControl(control) as RunControl
  return guesses.slice(0, (dims[0] ?? 1) - 1)
}

/** Rows that a token is wanted of: the last, and as many before it as there are guesses. */
export function askedRows({ rows, guesses }: Job, rowBytes: number): Uint8Array[] {
  const first = rows.length - (guesses.length + 1) * rowBytes
  return Array.from({ length: guesses.length + 1 }, (_, row) =>
    rows.subarray(first + row * rowBytes, first + (row + 1) * rowBytes),
  )
}

/**
 * Tokens behind the rows of a job, while the guesses are right. Each is what the sampler would have chosen without them:
 * it goes on with a token only when that is what was guessed.
 * @param logits of each row that is asked for
 */
export async function choose(
  { session, frame, count, guesses }: Job,
  logits: readonly Float32Array[],
): Promise<Sampled[]> {
  const first = frame.position + count - 1 - guesses.length
  const tokens: Sampled[] = []
  for (const [index, row] of logits.entries()) {
    const ready = session.sampler?.ready?.()
    if (ready !== undefined) await ready
    if (session.closed) return tokens
    const sampled = session.chosen.get(first + index) ?? session.sampler!.sample(row, first + index + 1)
    if (!Number.isFinite(row[sampled.id])) throw new NotFiniteError(`the logits at position ${first + index + 1}`)
    session.chosen.set(first + index, sampled)
    session.chosen.delete(first + index - CHOSEN_ROWS)
    tokens.push(sampled)
    if (sampled.id !== guesses[index]) break
  }
  return tokens
}

/** What is said of tokens: of one behind the last row, or of those that guesses gave. */
export function tokenControl({ frame, count, guesses }: Job, tokens: readonly Sampled[]): TokenControl {
  if (guesses.length === 0) return likelihoodOf(tokens[0]!)
  const first = frame.position + count - 1 - guesses.length
  return tokens[0]!.logprob === undefined ? { first } : { first, each: tokens.map(likelihoodOf) }
}

function likelihoodOf(sampled: Sampled): Likelihood {
  if (sampled.logprob === undefined) return {}
  return { logprob: sampled.logprob, top: (sampled.top ?? []).map(({ id, logprob }) => [id, logprob] as const) }
}

/** A row that was alone in a run of a part that takes it once. */
export function markSingle(jobs: readonly Job[]): void {
  if (jobs.length === 1 && jobs[0]!.count === 1) jobs[0]!.ran |= RUN.single
}

/** The frame that answers a job, but for its type and payload. */
export function answer(job: Job): Frame {
  const flags = (job.frame.flags & (RUN.token | RUN.rewind)) | job.ran
  return {
    ...job.frame,
    flags,
    rows: job.count,
    micros: job.micros,
    dtype: DTYPE.none,
    dims: [],
    payload: new Uint8Array(0),
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
