/** One generation: the prompt in overlapping chunks, then token by token until something ends it. */
import type { Tokenizer } from '../../models/index.ts'
import { MOST_ROWS } from '../../placement/index.ts'
import type { Clock } from '../../util/index.ts'
import type { GenerateEvent, GenerateRequest } from '../types.ts'
import { ContextFullError, EmptyPromptError } from './errors.ts'
import { openOutgrowing, outgrows } from './outgrowing.ts'
import { prefill } from './prefill.ts'
import type { Arrival, OriginSession, SessionRequest, TokenArrival } from './session.ts'
import { Timings } from './timings.ts'
import { createStopStrings } from './stop-strings.ts'

/** Of the batch lane: whoever comes meanwhile waits for one of them. */
const YIELDING_ROWS = 32
const DEFAULT_DEADLINE_MS = 600_000
/** Stands for a row that is no token's: any id that each vocabulary has. */
const NO_TOKEN = 0

export interface GenerateNeeds {
  readonly clock: Clock
  readonly tokenizer: Tokenizer
  /** Positions that the model can see. */
  readonly context: number
  /** Rows of a soft prompt, which stand before the text. @default 0 */
  readonly virtual?: number
  /** Rows of a prompt that travel together, no fewer. @default as many as suit the route */
  readonly chunkRows?: number
  /** Positions beyond which all rows of a text are computed in another way. @default the context */
  readonly firstContext?: number | undefined
  open(request: SessionRequest): Promise<OriginSession>
  /** A text has outgrown the first context, and begins anew. */
  readonly outgrown?: () => void
  counters(): Readonly<Record<string, number>>
}

export interface GenerateInit {
  readonly request: GenerateRequest
  readonly promptIds: readonly number[]
  readonly signal: AbortSignal
  /** Time of the clock from which the deadline of the request counts, where it has one. @default now */
  readonly since?: number
}

/**
 * @throws EmptyPromptError, ContextFullError before anything is sent; a coded error later ends the iteration after the
 * tokens so far
 */
export async function* generate(needs: GenerateNeeds, init: GenerateInit): AsyncGenerator<GenerateEvent> {
  const { request, promptIds } = init
  const { context, firstContext = context, virtual = 0 } = needs
  if (promptIds.length === 0) throw new EmptyPromptError()
  const ids = [...Array.from({ length: virtual }, () => NO_TOKEN), ...promptIds]
  if (ids.length >= context) throw new ContextFullError(ids.length, context)
  // Without a wish it ends with the context that it begins in: stages keep room for all that a text may become.
  const room = (ids.length <= firstContext ? firstContext : context) - ids.length
  const limit = Math.min(request.maxTokens ?? Math.max(1, room), context - ids.length)
  // Of a prompt whose tokens are told, all but the first are given to the head as what it is to choose.
  const rows = request.echo === true ? virtual + 1 : ids.length
  const forced = ids.length - rows
  const timings = new Timings(needs.clock, needs.counters())
  const chunk = needs.chunkRows ?? (request.lane === 'batch' ? YIELDING_ROWS : MOST_ROWS)
  const session = await openText(needs, chunk, {
    prompt: ids.slice(0, rows),
    positions: ids.length + limit,
    ...deadlineOf(init),
    sampler: {
      sampling: request.sampling,
      logprobs: request.logprobs ?? -1,
      history: request.sampling.repetitionPenalty === 1 ? [] : [...new Set(promptIds)],
      ...(request.format === undefined ? {} : { format: request.format }),
      ...(forced === 0 ? {} : { forced: { from: rows, ids: ids.slice(rows) } }),
    },
    signal: init.signal,
    // Guesses take rows that people could have.
    speculate: request.speculate ?? (request.lane === 'batch' ? 'off' : 'auto'),
    lane: request.lane,
    follow: {
      start: rows,
      limit: forced + limit,
      endTokens: request.ignoreEnd === true ? new Set() : needs.tokenizer.endTokens,
      forced,
    },
  })
  try {
    const cached = Math.max(0, (session.reused?.found ?? 0) - virtual)
    yield { type: 'start', prompt_ids: promptIds, route: session.hops }
    const stream = needs.tokenizer.stream()
    if (request.echo === true)
      yield { type: 'token', id: promptIds[0]!, text: stream.push(promptIds[0]!), echoed: true }
    let token: TokenArrival | undefined
    if (forced + limit > 0)
      for await (const step of prefill(session, ids.slice(0, rows), {
        most: chunk,
        isFixed: needs.chunkRows !== undefined,
      })) {
        if ('token' in step) token = step.token
        else if (!('takenTo' in step)) yield routeEvent(step)
        else yield { type: 'prefill', done: step.takenTo, total: ids.length }
      }
    for (let left = forced; left > 0; left--) {
      yield { ...tokenEvent(token!, stream.push(token!.id)), echoed: true }
      if (left > 1 || limit > 0) token = yield* nextToken(session)
    }
    timings.prefilled({ tokens: ids.length, cached }, session.hops.length)
    const answer = { needs, init, session, timings, stream, limit }
    yield* limit > 0 ? decode(answer, token!) : noAnswer(answer)
  } finally {
    session.close()
  }
}

/** One of its own counts from when the request was taken, so that hops and what ends the session agree with whoever asked. */
function deadlineOf({ request: { deadline }, since }: GenerateInit): Pick<SessionRequest, 'deadline' | 'since'> {
  if (deadline === undefined) return { deadline: DEFAULT_DEADLINE_MS }
  return { deadline, ...(since === undefined ? {} : { since }) }
}

function openText(needs: GenerateNeeds, rows: number, request: SessionRequest): Promise<OriginSession> {
  const { firstContext: first = needs.context } = needs
  if (!outgrows(request, first)) return needs.open(request)
  const outgrown = (): void => needs.outgrown?.()
  return openOutgrowing({ clock: needs.clock, first, rows, open: (own) => needs.open(own), outgrown }, request)
}

interface Answer {
  readonly needs: GenerateNeeds
  readonly init: GenerateInit
  readonly session: OriginSession
  readonly timings: Timings
  readonly stream: ReturnType<Tokenizer['stream']>
  readonly limit: number
}

/** What was asked for was the prompt alone. */
async function* noAnswer({ needs, init, session, timings, stream }: Answer): AsyncGenerator<GenerateEvent> {
  const rest = stream.end()
  if (rest !== '') yield { type: 'token', id: init.promptIds.at(-1)!, text: rest, echoed: true }
  yield* lateNews(session)
  yield { type: 'end', finish: 'length', text: '', ids: [], stats: timings.stats(0, needs.counters()) }
}

async function* decode(
  { needs, init, session, timings, stream, limit }: Answer,
  first: TokenArrival,
): AsyncGenerator<GenerateEvent> {
  const { request } = init
  const stops = createStopStrings(request.stop ?? [])
  const ids: number[] = []
  let text = ''
  let token = first
  let finish: 'stop' | 'length' | undefined
  while (finish === undefined) {
    if (needs.tokenizer.endTokens.has(token.id) && request.ignoreEnd !== true) {
      finish = 'stop'
      break
    }
    ids.push(token.id)
    const shown = stops.push(stream.push(token.id))
    text += shown.text
    if (shown.stopped) finish = 'stop'
    else if (ids.length >= limit) finish = 'length'
    yield tokenEvent(token, shown.text)
    if (finish !== undefined) break
    token = yield* nextToken(session)
    timings.token(token.computeMs, token.together)
  }
  const rest = finish === 'stop' && stops.stopped ? '' : stops.push(stream.end()).text + stops.end()
  if (rest !== '') yield { type: 'token', id: ids.at(-1)!, text: rest }
  yield* lateNews(session)
  yield { type: 'end', finish, text: text + rest, ids, stats: timings.stats(ids.length, needs.counters()) }
}

async function* nextToken(session: OriginSession): AsyncGenerator<GenerateEvent, TokenArrival> {
  for (;;) {
    const arrival = await session.take()
    if ('token' in arrival) return arrival.token
    if (!('takenTo' in arrival)) yield routeEvent(arrival)
  }
}

async function* lateNews(session: OriginSession): AsyncGenerator<GenerateEvent> {
  for (const late of (await session.settle?.()) ?? [])
    if (!('token' in late) && !('takenTo' in late)) yield routeEvent(late)
}

function routeEvent(arrival: Exclude<Arrival, { token: unknown } | { takenTo: unknown }>): GenerateEvent {
  if ('audit' in arrival) return { type: 'audit', ...arrival.audit }
  if ('waiting' in arrival) return { type: 'waiting', code: arrival.waiting.code, message: arrival.waiting.message }
  const { attempt, lost, route, replayedRows, exact } = arrival.rerouted
  return { type: 'reroute', attempt, lost, route, replayed_rows: replayedRows, exact }
}

function tokenEvent(token: TokenArrival, text: string): Extract<GenerateEvent, { type: 'token' }> {
  return {
    type: 'token',
    id: token.id,
    text,
    ...(token.logprob === undefined ? {} : { logprob: token.logprob }),
    ...(token.top === undefined ? {} : { top: token.top }),
  }
}
