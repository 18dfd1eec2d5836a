/**
 * Vectors of texts from an encoder of the library. Each text is a run of its own, of its own length: kernels may round
 * differently for other sizes, and a text's vector is not to depend on what else was asked for.
 */
import { encoderOf, isGraphManifest, ModelKindError, pooledVector } from '../models/index.ts'
import type { EncoderText, GraphManifest, Tokenizer } from '../models/index.ts'
import { TENSOR_ARRAYS } from '../onnx/index.ts'
import type { AnyTensor } from '../onnx/index.ts'
import { inferOverMesh } from '../pipeline/index.ts'
import type { PlacementStage, RouteHop, Tensors } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { EmbeddingInputError, EmbeddingOutputError } from './embed-errors.ts'
import { placesOf } from './graph-parts.ts'
import type { GraphParts, GraphPlaces } from './graph-parts.ts'
import type { InferMeshNeeds } from './infer-mesh.ts'
import type { KeptParts } from './kept-parts.ts'
import { withSurvivors } from './survivors.ts'

/** A text, or the ids that the model's own tokenizer makes of one, with those around it. */
export type EmbeddingText = string | readonly number[]

export interface EmbedOptions {
  /** The first so many elements, made a length of 1 again. @default all */
  readonly dimensions?: number
  /** Each stage is one part, at the peer that it names. @default the placement that stands, or one process of this peer */
  readonly stages?: readonly PlacementStage[]
  /** In place of stages: so many processes of this peer. */
  readonly parts?: number
  /** Milliseconds. @default 10 minutes */
  readonly deadline?: number
}

/** As programs call it: the signal among the options, or behind them. */
export type Embed = (
  model: string,
  texts: readonly EmbeddingText[],
  options?: EmbedOptions & { readonly signal?: AbortSignal },
  signal?: AbortSignal,
) => Promise<Embeddings>

export interface Embeddings {
  /** One a text, in their order. */
  readonly vectors: readonly Float32Array[]
  /** Of all texts, those around each included. */
  readonly tokens: number
  readonly route: readonly RouteHop[]
  readonly stats: EmbeddingStats
}

export interface EmbeddingStats {
  readonly load_ms: number
  readonly run_ms: number
  readonly counters: {
    readonly texts: number
    /** Texts that were run: equal ones are run once. */
    readonly runs: number
    readonly bytes_sent: number
    readonly bytes_received: number
  }
}

export interface EmbedNeeds extends InferMeshNeeds {
  readonly parts: KeptParts
  readonly count: Telemetry['count']
}

/** As many as OpenAI takes. */
export const MAX_TEXTS = 2_048
export const MAX_TOTAL_TOKENS = 300_000
const DEADLINE_MS = 600_000
/** Tokens whose rows are in memory at once: at 1,024 floats each, 33 MB. */
const TOKENS_AT_ONCE = 8_192
/** Characters that are made tokens before others get their turn in this process. */
const CHARACTERS_A_TURN = 8_192
/** A longer text has more tokens than any context, or is of what becomes none: it is not cut to find out. */
const CHARACTERS_A_TOKEN = 64

/** @throws ModelUnknownError, ModelKindError, EmbeddingInputError, EmbeddingOutputError, what peers and the model throw */
export async function embedTexts(
  needs: EmbedNeeds,
  model: string,
  texts: readonly EmbeddingText[],
  options: EmbedOptions = {},
  signal?: AbortSignal,
): Promise<Embeddings> {
  const { clock, count, library } = needs
  const manifest = await library.resolve(model, signal)
  const encoder = encoderOf(manifest)
  if (!isGraphManifest(manifest)) throw new ModelKindError(model, 'is no encoder')
  checkOptions(encoder, texts, options)
  const started = clock.now()
  const rows = await tokenRows(needs, encoder, await library.tokenizer(manifest, signal), texts, signal)
  const tokens = rows.reduce((sum, { length }) => sum + length, 0)
  const distinct = [...new Map(rows.map((ids) => [ids.join(), ids])).values()]
  let loadMs = 0
  const { result: run } = await withSurvivors(needs, placesFor(needs, manifest, options), async (places) => {
    const parts = await needs.parts.of(manifest, places, signal)
    loadMs = clock.now() - started
    const made = new EmbeddingRun(needs, manifest, encoder, parts, options)
    for (const group of grouped(distinct)) await made.add(group, signal)
    return made
  })
  count('embedded_texts', texts.length)
  count('embedded_tokens', tokens)
  return {
    vectors: rows.map((ids) => run.vectors.get(ids.join())!),
    tokens,
    route: run.route(),
    stats: {
      load_ms: loadMs,
      run_ms: clock.now() - started - loadMs,
      counters: { texts: texts.length, runs: distinct.length, ...run.counters },
    },
  }
}

function checkOptions(
  encoder: EncoderText,
  texts: readonly EmbeddingText[],
  { dimensions, parts, stages }: EmbedOptions,
): void {
  if (texts.length > MAX_TEXTS) throw new EmbeddingInputError(`${texts.length} texts are over ${MAX_TEXTS}`)
  const sound = (value: number | undefined, most: number): boolean =>
    value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)
  if (!sound(dimensions, encoder.dimensions)) {
    throw new EmbeddingInputError(`${dimensions} dimensions were asked for, and the model has ${encoder.dimensions}`, {
      param: 'dimensions',
    })
  }
  if (!sound(parts, MAX_PARTS) || (parts !== undefined && stages !== undefined)) {
    throw new EmbeddingInputError(`a number of parts is 1 to ${MAX_PARTS}, and not given beside stages`)
  }
}

/** As many as a split is proven for. */
const MAX_PARTS = 64

async function tokenRows(
  { clock }: EmbedNeeds,
  encoder: EncoderText,
  tokenizer: Tokenizer,
  texts: readonly EmbeddingText[],
  signal?: AbortSignal,
): Promise<readonly (readonly number[])[]> {
  const rows: (readonly number[])[] = []
  let total = 0
  let characters = 0
  for (const [index, text] of texts.entries()) {
    const { context } = encoder
    if (text.length > context * CHARACTERS_A_TOKEN) {
      const what = `text ${index} has a length of ${text.length}`
      throw new EmbeddingInputError(`${what}, and the model takes at most ${context} tokens`, { index, context })
    }
    const ids = typeof text === 'string' ? tokenizer.encode(text) : checkedIds(text, tokenizer.vocabulary, index)
    const details = { index, tokens: ids.length, context }
    if (ids.length === 0) throw new EmbeddingInputError(`text ${index} has no tokens`, details)
    if (ids.length > context) {
      const why = `text ${index} has ${ids.length} tokens, and the model takes at most ${context}`
      throw new EmbeddingInputError(why, details)
    }
    total += ids.length
    if (total > MAX_TOTAL_TOKENS) {
      throw new EmbeddingInputError(`the texts have over ${MAX_TOTAL_TOKENS} tokens together`)
    }
    rows.push(ids)
    characters += text.length
    if (characters < CHARACTERS_A_TURN) continue
    characters = 0
    await clock.sleep(0, signal)
  }
  return rows
}

function checkedIds(ids: readonly number[], vocabulary: number, index: number): readonly number[] {
  const strange = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabulary))
  if (strange === undefined) return [...ids]
  throw new EmbeddingInputError(`text ${index} has a token ${strange}, and the vocabulary has ${vocabulary}`, { index })
}

function placesFor(
  { self, placing }: EmbedNeeds,
  manifest: GraphManifest,
  { stages, parts }: EmbedOptions,
): GraphPlaces {
  const given = stages ?? (parts === undefined ? placing.standing(manifest) : undefined)
  if (given === undefined) return { peers: Array.from({ length: parts ?? 1 }, () => self), parts: parts ?? 1 }
  placing.check(manifest, given)
  return placesOf(given, self)
}

/** In order; each group has at most `TOKENS_AT_ONCE`, or one text. */
function grouped(rows: readonly (readonly number[])[]): (readonly number[])[][] {
  const groups: (readonly number[])[][] = []
  let room = 0
  for (const ids of rows) {
    if (ids.length > room) {
      groups.push([])
      room = TOKENS_AT_ONCE
    }
    groups.at(-1)!.push(ids)
    room -= ids.length
  }
  return groups
}

class EmbeddingRun {
  /** By ids. */
  readonly vectors = new Map<string, Float32Array>()
  readonly counters = { bytes_sent: 0, bytes_received: 0 }
  readonly #needs: EmbedNeeds
  readonly #manifest: GraphManifest
  readonly #encoder: EncoderText
  readonly #parts: GraphParts
  readonly #options: EmbedOptions
  #pids: readonly number[] = []

  constructor(
    needs: EmbedNeeds,
    manifest: GraphManifest,
    encoder: EncoderText,
    parts: GraphParts,
    options: EmbedOptions,
  ) {
    this.#needs = needs
    this.#manifest = manifest
    this.#encoder = encoder
    this.#parts = parts
    this.#options = options
  }

  async add(rows: readonly (readonly number[])[], signal?: AbortSignal): Promise<void> {
    const { digest, model } = this.#manifest
    const { parts, optimization } = this.#parts
    const { dimensions, deadline = DEADLINE_MS } = this.#options
    const feeds = (unit: number): Tensors => inputsOf(this.#manifest, rows[unit]!)
    const units = { count: rows.length, feeds }
    const init = { digest, parts, optimization, carries: [], units, deadline, signal }
    const { results, pids, counters } = await inferOverMesh(this.#needs, init)
    for (const [unit, ids] of rows.entries()) {
      const given = results[unit]?.get(this.#encoder.output)
      const vector = given === undefined ? null : pooledVector(this.#encoder, given, ids.length, dimensions)
      if (vector === null) throw new EmbeddingOutputError(model, this.#encoder.output, given?.dims)
      this.vectors.set(ids.join(), vector)
    }
    this.#pids = pids
    this.counters.bytes_sent += counters.bytes_sent
    this.counters.bytes_received += counters.bytes_received
  }

  route(): readonly RouteHop[] {
    return this.#parts.parts.map(({ peer, blocks: [from, to] }, part) => ({
      peer,
      pid: this.#pids[part] ?? 0,
      from,
      to,
    }))
  }
}

/** By the names that an encoder's inputs have. */
const VALUES: ReadonlyMap<string, (ids: readonly number[], at: number) => number> = new Map([
  ['input_ids', (ids: readonly number[], at: number) => ids[at] ?? 0],
  ['attention_mask', (ids: readonly number[], at: number) => (at < ids.length ? 1 : 0)],
  ['token_type_ids', () => 0],
  ['position_ids', (_ids: readonly number[], at: number) => at],
])

/** [1, tokens] each; where the graph takes one number of tokens alone, padded to that. */
function inputsOf({ graph }: GraphManifest, ids: readonly number[]): Tensors {
  return new Map(
    graph.inputs.map(({ name, shape, type }): [string, AnyTensor] => {
      const said = shape?.[1]
      const length = typeof said === 'number' ? said : ids.length
      const kind = type === 'int32' ? 'int32' : 'int64'
      const values = Array.from({ length }, (_, at) => VALUES.get(name)!(ids, at))
      const data = kind === 'int32' ? Int32Array.from(values) : TENSOR_ARRAYS.int64.from(values.map(BigInt))
      return [name, { type: kind, dims: [1, length], data }]
    }),
  )
}
