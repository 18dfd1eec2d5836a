/**
 * The one way from a checked request to an answer: chat and text completions differ only in their shapes. Choices are
 * generated one after another; the head of the answer waits for the route of the first.
 */
import type { GenerateEvent, GenerateRequest, GenerateStats, RouteHop } from '../../pipeline/index.ts'
import type { CancelTimer } from '../../util/index.ts'
import { untilAborted } from '../abortable.ts'
import { errorBody, publicError } from '../error-body.ts'
import type { Exchange, Work } from '../exchange.ts'
import type { Asked } from '../resume/asked.ts'
import type { OpenAiNeeds } from './needs.ts'
import { routeHeader, usageOf } from './shapes.ts'
import type { Extension, Usage } from './shapes.ts'
import { createTokenTexts } from './token-texts.ts'
import type { TokenText } from './token-texts.ts'

/** One token as the shapes want it: `text` may be empty. */
export interface Piece {
  readonly text: string
  readonly offset: number
  /** Only where logprobs were asked for. */
  readonly token: TokenText | null
  readonly top: readonly TokenText[]
}

export interface Finished {
  readonly text: string
  readonly finish: 'stop' | 'length'
  readonly pieces: readonly Piece[]
}

export interface GenerationPlan {
  readonly model: string
  readonly operation: 'chat' | 'text_completion'
  readonly requests: readonly GenerateRequest[]
  /** Choices that share a prompt: it is counted once. */
  readonly choicesPerPrompt: number
  readonly stream: boolean
  readonly includeUsage: boolean
  /** As it came, for a journal. */
  readonly body: unknown
  readonly asked: Asked
  /** Seconds that a stream waits for a client that went away. */
  readonly resumeS: number | undefined
}

/** Chunks of a stream in this order for each choice (undefined: none); `whole` builds the answer that does not stream. */
export interface GenerationShape {
  begin(head: Head): void
  chunkStart(index: number): unknown
  chunkPiece(index: number, piece: Piece): readonly unknown[]
  chunkEnd(index: number, finish: 'stop' | 'length', extension: Extension): readonly unknown[]
  chunkUsage(usage: Usage): unknown
  whole(choices: readonly Finished[], usage: Usage, extension: Extension): unknown
}

export interface Head {
  /** `fp_` and the beginning of the model's digest, or null where it is not known. */
  readonly fingerprint: string | null
}

type Needs = Pick<OpenAiNeeds, 'peer' | 'clock' | 'measure' | 'waitCommentMs' | 'streams'>

export async function answerGeneration(
  needs: Needs,
  exchange: Exchange,
  plan: GenerationPlan,
  shape: GenerationShape,
): Promise<unknown> {
  const work: Work = (within) => measured(needs, within, plan, shape)
  if (!plan.stream) return work(exchange)
  const route = plan.operation === 'chat' ? 'chat' : 'completions'
  return needs.streams.open(exchange, { ...plan, route, kind: 'sse' }, work)
}

async function measured(
  needs: Needs,
  exchange: Exchange,
  plan: GenerationPlan,
  shape: GenerationShape,
): Promise<unknown> {
  const meter = needs.measure.begin(plan.operation)
  try {
    const answer = await generateAll(needs, exchange, plan, shape, meter)
    meter.end(null)
    return answer
  } catch (error) {
    meter.end(publicError(error).code)
    throw error
  }
}

type Meter = ReturnType<OpenAiNeeds['measure']['begin']>

async function generateAll(
  needs: Needs,
  exchange: Exchange,
  plan: GenerationPlan,
  shape: GenerationShape,
  meter: Meter,
): Promise<unknown> {
  const counted = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 }
  const state: Progress = { request: null, route: [], stats: [], ...counted, begun: false }
  const finished: Finished[] = []
  for (const [index, request] of plan.requests.entries()) {
    const choice = createChoice(needs, exchange, plan, shape, meter, { index, request, state })
    const stopWaiting = plan.stream ? tellWaiting(needs, exchange, state) : () => undefined
    try {
      for await (const event of untilAborted(needs.peer.generate(request, exchange.signal), exchange.signal)) {
        if (event.type === 'token' || event.type === 'end') stopWaiting()
        await choice.take(event)
      }
    } finally {
      stopWaiting()
    }
    finished.push(choice.finished())
  }
  const usage = usageOf(state)
  if (!plan.stream) return shape.whole(finished, usage, extensionOf(state))
  const writer = exchange.stream('sse')
  if (plan.includeUsage) await writer.write(sse(shape.chunkUsage(usage)))
  await writer.write('data: [DONE]\n\n')
  writer.end()
  return undefined
}

/**
 * A model may have to be fetched or loaded first, and a long prompt takes its time: meanwhile comments, which every
 * client passes over, keep it and the proxies between from giving up. The head goes out with the first of them, so the
 * route becomes a trailer then.
 */
function tellWaiting(needs: Needs, exchange: Exchange, state: Progress): () => void {
  let stopped = false
  let cancel: CancelTimer = () => undefined
  const again = (): void => {
    if (!stopped && !exchange.signal.aborted) cancel = needs.clock.after(needs.waitCommentMs, tell)
  }
  const tell = (): void => {
    const text = state.begun ? ': working\n\n' : ': loading the model\n\n'
    // Who reads nothing any more is found by the answer itself.
    exchange.stream('sse', ['x-weft-route']).write(text).then(again, again)
  }
  again()
  return () => {
    stopped = true
    cancel()
  }
}

interface Progress {
  request: string | null
  route: readonly RouteHop[]
  stats: GenerateStats[]
  promptTokens: number
  cachedTokens: number
  completionTokens: number
  begun: boolean
}

interface ChoiceInit {
  readonly index: number
  readonly request: GenerateRequest
  readonly state: Progress
}

function createChoice(
  needs: Needs,
  exchange: Exchange,
  plan: GenerationPlan,
  shape: GenerationShape,
  meter: Meter,
  { index, request, state }: ChoiceInit,
): { take: (event: GenerateEvent) => Promise<void>; finished: () => Finished } {
  const texts = createTokenTexts(needs.peer, plan.model, exchange.signal)
  const pieces: Piece[] = []
  /** Of the prompt, and of the answer. */
  let [echoed, sent] = ['', '']
  let result: Finished | null = null

  const start = async (event: Extract<GenerateEvent, { type: 'start' }>): Promise<void> => {
    if (index % plan.choicesPerPrompt === 0) state.promptTokens += event.prompt_ids.length
    if (!state.begun) {
      state.begun = true
      state.request = event.request ?? null
      state.route = event.route
      exchange.header('x-weft-route', routeHeader(event.route))
      meter.model(plan.model)
      shape.begin({ fingerprint: await fingerprintOf(needs, plan.model) })
    }
    if (plan.stream) await send(shape.chunkStart(index))
  }
  const send = async (chunk: unknown): Promise<void> => {
    const writer = exchange.stream('sse')
    if (chunk !== undefined) await writer.write(sse(chunk))
  }
  const sendAll = async (chunks: readonly unknown[]): Promise<void> => {
    for (const chunk of chunks) await send(chunk)
  }
  const addText = async (piece: Piece, isEcho = false): Promise<void> => {
    if (isEcho) echoed += piece.text
    else sent += piece.text
    if (!plan.stream) pieces.push(piece)
    else if (piece.text !== '' || piece.token !== null) await sendAll(shape.chunkPiece(index, piece))
  }
  const token = async (event: Extract<GenerateEvent, { type: 'token' }>): Promise<void> => {
    const { logprob, echoed: isEcho = false } = event
    if (!isEcho) meter.token()
    // Nothing comes before the first token of a prompt, so nothing says how likely it is.
    const wanted = request.logprobs !== undefined && (logprob !== undefined || isEcho)
    const [own, ...top] = wanted ? await texts([{ id: event.id, logprob: logprob ?? null }, ...(event.top ?? [])]) : []
    await addText({ text: event.text, offset: echoed.length + sent.length, token: own ?? null, top }, isEcho)
  }
  const end = async (event: Extract<GenerateEvent, { type: 'end' }>): Promise<void> => {
    // What was held back as the possible beginning of a stop string, and was none.
    if (event.text.length > sent.length && event.text.startsWith(sent))
      await addText({ text: event.text.slice(sent.length), offset: echoed.length + sent.length, token: null, top: [] })
    // Further choices of a prompt find what the first has computed: OpenAI counts a prompt once.
    if (index % plan.choicesPerPrompt === 0) state.cachedTokens += event.stats.cached_tokens
    state.completionTokens += event.ids.length
    state.stats.push(event.stats)
    result = { text: echoed + event.text, finish: event.finish, pieces }
    if (plan.stream) await sendAll(shape.chunkEnd(index, event.finish, extensionOf(state)))
  }
  // Comments, which every client passes over: the text goes on where it stopped.
  const comment = async (text: string): Promise<void> => {
    if (plan.stream) await exchange.stream('sse').write(`: ${text}\n\n`)
  }
  const rerouted = (event: Extract<GenerateEvent, { type: 'reroute' }>): Promise<void> => {
    state.route = event.route
    return comment(`a stage was replaced, attempt ${event.attempt}`)
  }
  return {
    take: async (event) => {
      if (event.type === 'start') await start(event)
      else if (event.type === 'token') await token(event)
      else if (event.type === 'end') await end(event)
      else if (event.type === 'reroute') await rerouted(event)
      else if (event.type === 'audit') await comment(`audit: ${event.verdict} ${event.peer}, ${event.affected} tokens`)
      else if (event.type === 'waiting') await comment(`waiting for a stage: ${event.code}`)
    },
    finished: () => {
      if (result === null) throw new Error('the peer ended an answer without its end event')
      return result
    },
  }
}

function extensionOf(state: Progress): Extension {
  return { request: state.request, route: state.route, timings: state.stats[0] ?? null }
}

async function fingerprintOf(needs: Needs, model: string): Promise<string | null> {
  try {
    return `fp_${(await needs.peer.manifest(model)).digest.slice(0, 12)}`
  } catch {
    return null
  }
}

/** JSON has no raw line break, so nothing that a model writes can begin another SSE line. */
export function sse(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`
}

/** The last event of a stream that failed; no `[DONE]` follows. */
export function sseError(error: unknown): string {
  return sse(errorBody(publicError(error)))
}
