/** The loaded parts of a stage host: embedding, ranges of decoder layers, head; and segments put together from them. */
import { boundaryBytes, kernelHeadDim, openEmbedding, stageFiles } from '../../models/index.ts'
import type { Embedding, ModelManifest, StageFiles } from '../../models/index.ts'
import type { Engine, LoadOptions } from '../../onnx/index.ts'
import type { BlobStore } from '../../store/index.ts'
import type { Clock } from '../../util/index.ts'
import { AdapterCache } from './adapter-cache.ts'
import type { Beside } from './beside.ts'
import { createDecoderStage } from './decoder-stage.ts'
import type { DecoderStage } from './decoder-stage.ts'
import { KvFullError, StageMissingError } from './errors.ts'
import { createHeadStage } from './head-stage.ts'
import type { HeadStage } from './head-stage.ts'

export interface DecoderPart {
  readonly from: number
  readonly to: number
  readonly stage: DecoderStage
}

export interface HeadPart {
  readonly stage: HeadStage
}

/** What blocks [from, to) of a request run through, in order. */
export interface Segment {
  readonly embedding: Embedding | null
  readonly decoders: readonly DecoderPart[]
  readonly head: HeadPart | null
}

export interface PartsNeeds {
  readonly engine: Engine
  readonly clock: Clock
  readonly options: LoadOptions
  readonly store: BlobStore
  readonly storeDirectory: string
  readonly cacheDirectory: string
}

/** What a host needs of its parts, whatever computes them. */
export type HostParts = Pick<Parts, 'adapter' | 'admit' | 'kvBytes' | 'load' | 'packed' | 'plain' | 'segment'>

export class Parts {
  readonly #needs: PartsNeeds
  readonly #manifest: ModelManifest
  readonly #decoders: DecoderPart[] = []
  readonly #adapters: AdapterCache
  #embedding: Embedding | null = null
  #head: HeadPart | null = null
  /** Blocks that had to be packed. */
  packed = 0
  /** Blocks that the engine could not pre-pack: they take longer to load, and memory of the host's own. */
  readonly plain = new Set<string>()

  constructor(needs: PartsNeeds, manifest: ModelManifest) {
    this.#needs = needs
    this.#manifest = manifest
    this.#adapters = new AdapterCache(manifest.shape)
  }

  /** Has blocks [from, to) ready; ranges that are already loaded are not loaded again. */
  async load(from: number, to: number): Promise<void> {
    const { blocks, shape, boundary } = this.#manifest
    if (from === 0 && this.#embedding === null) {
      const ref = blocks[0]!.tensors[0]!
      this.#embedding = openEmbedding(this.#needs.store.path(ref.address), shape, ref, boundary)
    }
    const files = this.#files()
    const first = Math.max(from, 1)
    const end = Math.min(to, blocks.length - 1)
    await files.pack([...blocks.keys()].slice(from, to), this.#needs.storeDirectory, this.#needs.options.threads)
    if (first < end && this.#tile(first, end) === undefined) {
      const stage = await createDecoderStage({
        engine: this.#needs.engine,
        clock: this.#needs.clock,
        options: this.#needs.options,
        shape,
        boundary,
        layers: end - first,
        first: first - 1,
        graph: (slots, adapted) => files.decoder(first, end, slots, adapted),
      })
      this.#decoders.push({ from: first, to: end, stage })
    }
    if (to === blocks.length && this.#head === null) {
      const { engine, clock, options } = this.#needs
      this.#head = {
        stage: await createHeadStage({ engine, clock, options, shape, boundary, graph: await files.head() }),
      }
    }
  }

  #files(): StageFiles {
    const { store, cacheDirectory: directory, engine } = this.#needs
    const needs = {
      store,
      directory,
      engine,
      packed: () => this.packed++,
      plain: (name: string) => this.plain.add(name),
    }
    return stageFiles(needs, this.#manifest)
  }

  /** @throws StageMissingError when the loaded ranges do not make up [from, to). */
  segment(from: number, to: number): Segment {
    const last = this.#manifest.blocks.length
    const first = Math.max(from, 1)
    const end = Math.min(to, last - 1)
    const decoders = first < end ? this.#tile(first, end) : []
    const embedding = from === 0 ? this.#embedding : null
    const head = to === last ? this.#head : null
    const missing = (from === 0 && embedding === null) || (to === last && head === null)
    if (decoders === undefined || missing || from >= to) throw new StageMissingError(from, to)
    return { embedding, decoders, head }
  }

  /** Loaded ranges that follow one another from `first` to `end`; undefined when there are none. */
  #tile(first: number, end: number): DecoderPart[] | undefined {
    for (const part of this.#decoders) {
      if (part.from !== first || part.to > end) continue
      if (part.to === end) return [part]
      const rest = this.#tile(part.to, end)
      if (rest !== undefined) return [part, ...rest]
    }
    return undefined
  }

  /** What a segment has of it. @throws AdapterFileError, ModelFileError */
  async adapter(path: string, { embedding, decoders }: Segment): Promise<Beside> {
    // The first block is the embedding.
    const [from, to] = [(decoders[0]?.from ?? 1) - 1, (decoders.at(-1)?.to ?? 1) - 1]
    const { id, adapter } = await this.#adapters.of(path, from, to)
    if (adapter.kind === 'lora') return from < to ? { adapter: { id, adapter } } : {}
    return embedding === null ? {} : { prompt: boundaryBytes(adapter.rows, this.#manifest.boundary) }
  }

  /** Bytes of KV cache that a session of so many positions may come to need. */
  kvBytes(segment: Segment, positions: number): number {
    const { shape } = this.#manifest
    const layers = segment.decoders.reduce((sum, part) => sum + part.stage.layers, 0)
    return 2 * 4 * layers * shape.kv_heads * kernelHeadDim(shape) * positions
  }

  /** @throws KvFullError */
  admit(need: number, have: number): void {
    if (need > have) throw new KvFullError(need, Math.max(have, 0))
  }

  async release(): Promise<void> {
    this.#embedding?.close()
    for (const { stage } of this.#decoders) await stage.release()
    await this.#head?.stage.release()
  }
}
