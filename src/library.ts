/**
 * weft in a program: a peer with flat options, and text that comes token by token. What stands below it (rooms, wire,
 * stage hosts) is the same as under `weft up`; nothing is shared between two peers of one process.
 */
import { auditWishes, createPeer as createBarePeer, inferNamed, OptionError } from './peer/index.ts'
import type {
  AuditWishes,
  CreatePeerInit,
  DeployTarget,
  Embed,
  ImportRequest,
  InferAnswer,
  InferOptions,
  ModelInfo,
  ModelSummary,
  NamedTensors,
  Peer as BarePeer,
  PeerEvent,
  PeerStatus,
  PlacementStatus,
  ProgressSink,
} from './peer/index.ts'
import { GREEDY } from './pipeline/index.ts'
import type {
  ChatMessage,
  GenerateEvent,
  GenerateRequest,
  GenerateStats,
  PlacementStage,
  PromptInput,
  RouteHop,
  TokenLogprob,
} from './pipeline/index.ts'
import { resolveHomePath } from './util/index.ts'

export interface Cancellable {
  /** Ends the call; it rejects with a coded error or the signal's reason. */
  readonly signal?: AbortSignal
}

export interface PeerOptions extends Partial<CreatePeerInit>, Cancellable {}

export interface Tracked extends Cancellable {
  readonly onProgress?: ProgressSink
}

export interface GenerateOptions extends Cancellable, AuditWishes {
  /** A model here, in the mesh or in the catalogue; one of the catalogue is fetched first. */
  readonly model: string
  /** Text that the model goes on from, without chat template. Exactly one of `prompt`, `messages`, `ids`. */
  readonly prompt?: string
  /** A conversation; the model's chat template makes the prompt. */
  readonly messages?: readonly ChatMessage[]
  readonly ids?: readonly number[]
  /** @default until the model ends the text or its context is full */
  readonly maxTokens?: number
  /** 0 is greedy. @default 0 */
  readonly temperature?: number
  /** 0 keeps all. @default 0 */
  readonly topK?: number
  /** @default 1 */
  readonly topP?: number
  /** @default 0 */
  readonly minP?: number
  /** 1 is none. @default 1 */
  readonly repetitionPenalty?: number
  /** The same seed gives the same text. @default 0 */
  readonly seed?: number
  /** The text ends before any of these. */
  readonly stop?: string | readonly string[]
  /** How many of the likeliest tokens to report with each; 0: its own log-probability alone. */
  readonly logprobs?: number
  /** `auto`: the placement that stands, or one that weft chooses; `local`: this peer alone; or stages by hand. */
  readonly placement?: 'auto' | 'local' | readonly PlacementStage[]
  /** Milliseconds for the whole answer. @default 600000 */
  readonly deadline?: number
}

/** One token; as a string it is its text, which is empty while a character is incomplete. */
export class Token {
  readonly id: number
  readonly text: string
  readonly logprob: number | undefined
  readonly top: readonly TokenLogprob[] | undefined

  constructor(event: Extract<GenerateEvent, { readonly type: 'token' }>) {
    this.id = event.id
    this.text = event.text
    this.logprob = event.logprob
    this.top = event.top
  }

  toString(): string {
    return this.text
  }
}

export interface Answer {
  readonly text: string
  readonly ids: readonly number[]
  readonly promptIds: readonly number[]
  readonly finish: 'stop' | 'length'
  /** Who computed it. */
  readonly route: readonly RouteHop[]
  readonly stats: GenerateStats
}

/** Text under way: its tokens as they come, once; and the whole of it. */
export interface Generation extends AsyncIterable<Token> {
  /** Reads what is left, and tells how it went. @throws what ended the generation early */
  answer(): Promise<Answer>
}

export interface Peer extends AsyncDisposable {
  /** PeerId. */
  readonly id: string
  /** Absolute path of the mesh home. */
  readonly home: string
  /** Work begins with the first token that is asked for. @throws OptionError */
  generate(options: GenerateOptions): Generation
  /** A model that was imported from an ONNX file, on tensors by name: in parts at peers, with the bits of the whole. */
  infer(model: string, inputs: NamedTensors, options?: InferOptions): Promise<InferAnswer>
  /** A vector for each text, from an encoder: the same bits whichever other texts are asked with it. */
  readonly embed: Embed
  status(): PeerStatus
  models(): Promise<readonly ModelSummary[]>
  /** A file, a name of the catalogue, `hf:`, `https:`, `npm:` or `pypi:`. */
  importModel(source: string, options?: Omit<ImportRequest, 'source'> & Tracked): Promise<ModelInfo>
  /** Places a model and loads its stages: by hand, or as weft finds best for the target. @default 'latency' */
  deploy(model: string, target?: DeployTarget, options?: Tracked): Promise<PlacementStatus>
  undeploy(model: string, options?: Cancellable): Promise<void>
  /** @returns how to stop listening */
  onEvent(listener: (event: PeerEvent) => void): () => void
  /** Takes nothing new, waits at most `drain` ms (default 10000) for what runs, then ends everything it started. */
  stop(options?: { readonly drain?: number }): Promise<void>
}

/** Starts a peer: `await using peer = await createPeer({ home })`. @throws HomeBusyError, HomeUnwritableError */
export async function createPeer(options: PeerOptions = {}): Promise<Peer> {
  const { signal, home, ...init } = options
  const bare = await createBarePeer({ ...init, home: resolveHomePath(home, process.env) }, signal)
  return new ProgramPeer(bare)
}

class ProgramPeer implements Peer {
  readonly id: string
  readonly home: string
  readonly #bare: BarePeer
  /** Downloads under way, by model: two requests for one do not fetch it twice. */
  readonly #fetching = new Map<string, Promise<unknown>>()
  readonly #ending = new AbortController()

  constructor(bare: BarePeer) {
    this.#bare = bare
    this.id = bare.id
    this.home = bare.home
  }

  generate(options: GenerateOptions): Generation {
    return new TokenStream(this.#events(requestOf(options), options.signal))
  }

  async *#events(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerateEvent> {
    await abortable(this.#ensure(request.model), signal)
    yield* this.#bare.generate(request, signal)
  }

  /** As `weft run` does: what the catalogue offers and nobody holds yet is fetched. */
  async #ensure(model: string): Promise<void> {
    const known = (await this.#bare.models()).find((entry) => entry.model === model)
    // One that nobody lists is left to `generate`, whose error says what there is.
    if (known === undefined || known.local || known.holders.length > 0) return
    let fetching = this.#fetching.get(model)
    if (fetching === undefined) {
      fetching = this.importModel(model, { signal: this.#ending.signal }).finally(() => this.#fetching.delete(model))
      this.#fetching.set(model, fetching)
    }
    await fetching
  }

  readonly embed: Embed = async (model, texts, { signal, ...options } = {}, end = signal) => {
    await abortable(this.#ensure(model), end)
    return this.#bare.embed(model, texts, options, end)
  }

  infer(model: string, inputs: NamedTensors, options: InferOptions = {}): Promise<InferAnswer> {
    return inferNamed(this.#bare, model, inputs, options)
  }

  status(): PeerStatus {
    return this.#bare.status()
  }

  models(): Promise<readonly ModelSummary[]> {
    return this.#bare.models()
  }

  importModel(source: string, options: Omit<ImportRequest, 'source'> & Tracked = {}): Promise<ModelInfo> {
    const { onProgress, signal, ...rest } = options
    return this.#bare.importModel({ source, ...rest }, onProgress, signal)
  }

  deploy(model: string, target?: DeployTarget, options: Tracked = {}): Promise<PlacementStatus> {
    return this.#bare.deploy(model, target, options.onProgress, options.signal)
  }

  undeploy(model: string, options: Cancellable = {}): Promise<void> {
    return this.#bare.undeploy(model, options.signal)
  }

  onEvent(listener: (event: PeerEvent) => void): () => void {
    return this.#bare.onEvent(listener)
  }

  stop(options: { readonly drain?: number } = {}): Promise<void> {
    this.#ending.abort(new Error('the peer is stopping'))
    return this.#bare.stop(options)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

class TokenStream implements Generation {
  readonly #tokens: AsyncGenerator<Token>
  readonly #start: { promptIds: readonly number[]; route: readonly RouteHop[] } = { promptIds: [], route: [] }
  #answer: Answer | undefined
  #failure: unknown = new OptionError('answer', 'the iteration over the tokens was broken off')

  constructor(events: AsyncGenerator<GenerateEvent>) {
    this.#tokens = this.#read(events)
  }

  [Symbol.asyncIterator](): AsyncIterator<Token> {
    return this.#tokens
  }

  async answer(): Promise<Answer> {
    for await (const _ of this.#tokens);
    if (this.#answer === undefined) throw this.#failure
    return this.#answer
  }

  async *#read(events: AsyncGenerator<GenerateEvent>): AsyncGenerator<Token> {
    try {
      for await (const event of events) {
        if (event.type === 'start') Object.assign(this.#start, { promptIds: event.prompt_ids, route: event.route })
        else if (event.type === 'token') yield new Token(event)
        else if (event.type === 'end') {
          const { text, ids, finish, stats } = event
          this.#answer = { text, ids, finish, stats, ...this.#start }
        }
      }
    } catch (error) {
      this.#failure = error
      throw error
    }
  }
}

/** @throws OptionError */
function requestOf(options: GenerateOptions): GenerateRequest {
  const { model, stop, logprobs, placement, deadline } = options
  const maxTokens = options.maxTokens
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && maxTokens >= 1)) {
    throw new OptionError('maxTokens', `a whole number of at least 1 is needed, not ${maxTokens}`)
  }
  const stops = typeof stop === 'string' ? [stop] : stop
  if (stops?.includes('') === true) throw new OptionError('stop', 'an empty text would end every answer at once')
  return {
    model,
    input: inputOf(options),
    sampling: {
      ...GREEDY,
      temperature: within(options, 'temperature', 0, 100, 0),
      topK: within(options, 'topK', 0, 1_000_000, 0),
      topP: within(options, 'topP', 0, 1, 1),
      minP: within(options, 'minP', 0, 1, 0),
      repetitionPenalty: within(options, 'repetitionPenalty', 0.01, 100, 1),
      seed: within(options, 'seed', 0, Number.MAX_SAFE_INTEGER, 0),
    },
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(stops === undefined ? {} : { stop: stops }),
    ...(logprobs === undefined ? {} : { logprobs: within(options, 'logprobs', 0, 20, 0) }),
    ...(placement === undefined
      ? {}
      : { placement: typeof placement === 'string' ? placement : { model, stages: placement } }),
    ...auditWishes(options),
    ...(deadline === undefined ? {} : { deadline: within(options, 'deadline', 1, 2 ** 31 - 1, 1) }),
  }
}

function inputOf({ prompt, messages, ids }: GenerateOptions): PromptInput {
  if ([prompt, messages, ids].filter((input) => input !== undefined).length !== 1) {
    throw new OptionError('prompt', 'exactly one of prompt, messages and ids is needed')
  }
  if (prompt !== undefined) return { kind: 'text', text: prompt }
  return messages === undefined ? { kind: 'ids', ids: ids! } : { kind: 'chat', messages }
}

type NumberOption = 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty' | 'seed' | 'logprobs' | 'deadline'

function within(options: GenerateOptions, name: NumberOption, low: number, high: number, fallback: number): number {
  const value = options[name] ?? fallback
  if (value >= low && value <= high) return value
  throw new OptionError(name, `a number from ${low} to ${high} is needed, not ${value}`)
}

/** Leaves work that others share going on, when this caller's signal ends the wait for it. */
function abortable<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error)
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
