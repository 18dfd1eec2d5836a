/** The loaded parts of a simulated stage host: the product's sessions and batches run over them as over ONNX graphs. */
import type { ModelManifest } from '../../../src/models/index.ts'
import type { DecoderJob, DecoderStage } from '../../../src/pipeline/host/decoder-stage.ts'
import { KvFullError, StageMissingError } from '../../../src/pipeline/host/errors.ts'
import { KvCache } from '../../../src/pipeline/host/kv-cache.ts'
import type { DecoderPart, HeadPart, HostParts, Segment } from '../../../src/pipeline/host/parts.ts'
import type { Clock } from '../../../src/util/index.ts'
import { gather, layerRow, logitsOf, remember, spread, tokenBits } from './mix.ts'
import type { Bits } from './mix.ts'

/** How fast a simulated device is. */
export interface Speed {
  /** Milliseconds of one layer for a row that is alone; rows after the first take an eighth. */
  readonly layerMs: number
  readonly headMs: number
}

const LOAD_MS = 20
const LOAD_LAYER_MS = 5
const MORE_ROWS = 1 / 8
/** One head of two floats holds the 64 bits of a layer's past. */
const KV_SHAPE = { heads: 1, headDim: 2 }

export interface ToyNeeds {
  readonly clock: Clock
  readonly manifest: ModelManifest
  /** Asked at each run: a device slows down. */
  speed(): Speed
  /** Changes a row that leaves: what a liar does. */
  twist?(row: Bits): Bits
}

export class ToyParts implements HostParts {
  adapter(): Promise<never> {
    return Promise.reject(new Error('a toy has no adapters'))
  }

  readonly #needs: ToyNeeds
  readonly #decoders: DecoderPart[] = []
  #hasEmbedding = false
  #head: HeadPart | null = null
  readonly packed = 0
  readonly plain = new Set<string>()

  constructor(needs: ToyNeeds) {
    this.#needs = needs
  }

  async load(from: number, to: number): Promise<void> {
    const { blocks } = this.#needs.manifest
    await this.#needs.clock.sleep(LOAD_MS + LOAD_LAYER_MS * (to - from))
    if (from === 0) this.#hasEmbedding = true
    const first = Math.max(from, 1)
    const end = Math.min(to, blocks.length - 1)
    if (first < end && this.#tile(first, end) === undefined)
      this.#decoders.push({ from: first, to: end, stage: this.#decoder(first, end) })
    if (to === blocks.length) this.#head ??= { stage: { oneRow: true, run: (rows) => this.#project(rows), release } }
  }

  segment(from: number, to: number): Segment {
    const last = this.#needs.manifest.blocks.length
    const first = Math.max(from, 1)
    const end = Math.min(to, last - 1)
    const decoders = first < end ? this.#tile(first, end) : []
    const isWithout = (from === 0 && !this.#hasEmbedding) || (to === last && this.#head === null)
    if (decoders === undefined || isWithout || from >= to) throw new StageMissingError(from, to)
    const embedding = { rows: (ids: Int32Array) => this.#embed(ids), close: () => undefined }
    return { embedding: from === 0 ? embedding : null, decoders, head: to === last ? this.#head : null }
  }

  kvBytes(segment: Segment, positions: number): number {
    const layers = segment.decoders.reduce((sum, part) => sum + part.stage.layers, 0)
    const { kv_heads: heads, head_dim: headDim } = this.#needs.manifest.shape
    return 2 * 4 * layers * heads * headDim * positions
  }

  admit(need: number, have: number): void {
    if (need > have) throw new KvFullError(need, Math.max(have, 0))
  }

  #tile(first: number, end: number): DecoderPart[] | undefined {
    for (const part of this.#decoders) {
      if (part.from !== first || part.to > end) continue
      if (part.to === end) return [part]
      const rest = this.#tile(part.to, end)
      if (rest !== undefined) return [part, ...rest]
    }
    return undefined
  }

  /** Bytes of weights that are loaded. */
  get resident(): number {
    const { blocks } = this.#needs.manifest
    const loaded = blocks.map(({ memory }, index) => {
      const isHead = index === blocks.length - 1 && this.#head !== null
      return isHead || this.#decoders.some(({ from, to }) => from <= index && index < to) ? memory : 0
    })
    return loaded.reduce((sum, bytes) => sum + bytes, 0)
  }

  get #rowBytes(): number {
    const { shape, boundary } = this.#needs.manifest
    return shape.width * (boundary === 'f16' ? 2 : 4)
  }

  #embed(ids: Int32Array): Uint8Array {
    const out = new Uint8Array(ids.length * this.#rowBytes)
    for (const [index, id] of ids.entries()) out.set(spread(tokenBits(id), this.#rowBytes), index * this.#rowBytes)
    return out
  }

  #decoder(first: number, end: number): DecoderStage {
    const layers = end - first
    return {
      layers,
      oneRow: true,
      spun: false,
      narrow: false,
      fitted: false,
      newCache: (positions) => new KvCache({ layers, ...KV_SHAPE }, positions),
      run: async (jobs) => {
        const rows = jobs.reduce((sum, job) => sum + job.count, 0)
        await this.#needs.clock.sleep(layers * this.#needs.speed().layerMs * (1 + (rows - 1) * MORE_ROWS))
        return jobs.map((job) => this.#through(job, first, layers))
      },
      release,
    }
  }

  #through({ cache, rows, count }: DecoderJob, first: number, layers: number): Uint8Array {
    const bytes = this.#rowBytes
    const out = new Uint8Array(count * bytes)
    cache.reserve(cache.position + count)
    for (let row = 0; row < count; row++) {
      let bits = gather(rows.subarray(row * bytes, (row + 1) * bytes))
      for (let layer = 0; layer < layers; layer++) {
        const past = remember(pastOf(cache, layer), bits, first + layer, cache.position)
        const kept = new Float32Array(Uint32Array.of(past[0], past[1]).buffer)
        cache.write(layer, kept, kept, 1, 1)
        bits = layerRow(bits, past, first + layer)
      }
      cache.position++
      out.set(spread(this.#needs.twist?.(bits) ?? bits, bytes), row * bytes)
    }
    return out
  }

  async #project(rows: readonly Uint8Array[]): Promise<Float32Array[]> {
    await this.#needs.clock.sleep(this.#needs.speed().headMs * rows.length)
    return rows.map((row) => logitsOf(gather(row), this.#needs.manifest.shape.vocabulary))
  }
}

function pastOf(cache: KvCache, layer: number): Bits {
  if (cache.position === 0) return [0, 0]
  const { buffer, byteOffset, length } = cache.keys(layer)
  const words = new Uint32Array(buffer, byteOffset, length)
  const at = (cache.position - 1) * KV_SHAPE.headDim
  return [words[at]!, words[at + 1]!]
}

async function release(): Promise<void> {}
