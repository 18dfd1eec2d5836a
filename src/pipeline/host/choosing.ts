/** What a head chooses behind the rows of a job: one token, or several where guesses came with the rows and were right. */
import { decodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { NotFiniteError } from './errors.ts'
import type { Job, Session } from './jobs.ts'
import { RUN } from './protocol.ts'
import type { Likelihood, RunControl, TokenControl } from './protocol.ts'
import type { Sampled } from './sampler.ts'

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
export function tokenControl({ frame, count, guesses }: Job, tokens: readonly Sampled[]): TokenControl {
  if (guesses.length === 0) return likelihoodOf(tokens[0]!)
  const first = frame.position + count - 1 - guesses.length
  return tokens[0]!.logprob === undefined ? { first } : { first, each: tokens.map(likelihoodOf) }
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
