/**
 * weft in a program: a peer with flat options, and text that comes token by token. What stands below it (rooms, wire,
 * stage hosts) is the same as under `weft up`; nothing is shared between two peers of one process.
 */
import { createPeer as createBarePeer, generateRequest, inferNamed, OptionError } from './peer/index.ts'
import type {
  Cancellable,
  CreatePeerInit,
  DeployTarget,
  Embed,
  GenerateOptions,
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
  TrainedOver,
  TrainOverRequest,
} from './peer/index.ts'
import type { GenerateEvent, GenerateRequest, GenerateStats, RouteHop, TokenLogprob } from './pipeline/index.ts'
import { resolveHomePath } from './util/index.ts'

export type { Cancellable, GenerateOptions, JsonSchema } from './peer/index.ts'

export interface PeerOptions extends Partial<CreatePeerInit>, Cancellable {}

export interface Tracked extends Cancellable {
  readonly onProgress?: ProgressSink
}

export interface TrainOptions extends Omit<TrainOverRequest, 'resume'>, Tracked {
  /** Goes on with the run of the folder. @default false */
  readonly resume?: boolean
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
  /** A plan, as `weft train` takes it, into the folder `out`. Of an adapter `lines` say where layers are; of any other, `peers` who shares the steps. */
  train(options: TrainOptions): Promise<TrainedOver>
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
    return new TokenStream(this.#events(generateRequest(options), options.signal))
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

  train({ onProgress, signal, resume = false, ...rest }: TrainOptions): Promise<TrainedOver> {
    return this.#bare.train({ ...rest, resume }, onProgress, signal)
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
