/** What a head chooses behind the rows of a job: one token, or several where guesses came with the rows and were right. */
import { decodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { NotFiniteError } from './errors.ts'
import type { Job, Session } from './jobs.ts'
import { RUN } from './protocol.ts'
import type { Likelihood, RunControl, TokenControl } from './protocol.ts'
import type { Sampled } from './sampler.ts'

/** What a head may be asked again of, and what a window may be chained to: all that can be under way, and a window more. */
const CHOSEN_ROWS = 256

const NONE: Required<Pick<RunControl, 'guesses'>> = { guesses: [] }

/** The guesses in a frame of rows, fewer than the rows, and what the first of these stands for. */
export function guessesOf({ segment }: Session, { control, flags, dims }: Frame): Pick<Job, 'guesses' | 'behind'> {
  if (segment.head === null || control.length === 0 || (flags & RUN.token) === 0) return NONE
  const { guesses = [], behind } = decodeControl(control) as RunControl
  return { guesses: guesses.slice(0, (dims[0] ?? 1) - 1), behind }
}

/** Something else was chosen behind the row before these, or nothing yet. */
export function isVoid({ session, frame, behind }: Job): boolean {
  return behind !== undefined && session.chosen.get(frame.position - 1)?.id !== behind
}

/** Rows that a token is wanted of: the last, and as many before it as there are guesses. */
export function askedRows({ rows, guesses }: Job, rowBytes: number): Uint8Array[] {
  const first = rows.length - (guesses.length + 1) * rowBytes
  return Array.from({ length: guesses.length + 1 }, (_, row) =>
    rows.subarray(first + row * rowBytes, first + (row + 1) * rowBytes),
  )
}

/**
 * The token behind a row that is asked for: what the sampler chooses without guesses, since it comes to a row only when
 * those before it were right.
 * @param index of the row among those that are asked for
 */
function choose({ session, frame, count, guesses }: Job, index: number, logits: Float32Array): Sampled {
  const row = frame.position + count - 1 - guesses.length + index
  const isGuess = session.sampler?.given !== undefined
  const known = isGuess ? undefined : session.chosen.get(row)
  const sampled = known ?? session.sampler!.sample(logits, row + 1)
  if (!Number.isFinite(logits[sampled.id])) throw new NotFiniteError(`the logits at position ${row + 1}`)
  session.chosen.set(row, sampled)
  session.chosen.delete(row - CHOSEN_ROWS)
  return sampled
}

/** What is said of tokens: of one behind the last row, or of those that guesses gave. */
export function tokenControl({ frame, count, guesses, behind }: Job, tokens: readonly Sampled[]): TokenControl {
  if (guesses.length === 0 && behind === undefined) return likelihoodOf(tokens[0]!)
  const first = frame.position + count - 1 - guesses.length
  const told = { first, chains: true } as const
  return tokens[0]!.logprob === undefined ? told : { ...told, each: tokens.map(likelihoodOf) }
}

function likelihoodOf(sampled: Sampled): Likelihood & Pick<TokenControl, 'lead'> {
  if (sampled.lead !== undefined) return { lead: sampled.lead }
  if (sampled.logprob === undefined) return {}
  return { logprob: sampled.logprob, top: (sampled.top ?? []).map(({ id, logprob }) => [id, logprob] as const) }
}

/** As far as the guesses are right, and one more. Undefined: the session was closed meanwhile. @throws what the sampler throws */
export async function chosenTokens(job: Job, logits: readonly Float32Array[]): Promise<readonly Sampled[] | undefined> {
  const tokens: Sampled[] = []
  for (const [index, row] of logits.entries()) {
    const ready = job.session.sampler?.ready?.()
    if (ready !== undefined) await ready
    if (job.session.closed) return undefined
    const chosen = choose(job, index, row)
    tokens.push(chosen)
    if (chosen.id !== job.guesses[index]) break
  }
  return tokens
}
