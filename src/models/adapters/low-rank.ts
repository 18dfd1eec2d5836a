/** The factors of a low-rank adapter, whatever file has them: one by one out, and one by one in, each held against the model. */
import { dequantize } from '../dequantize/index.ts'
import { filedDims, fromFile, toFile } from '../llama/adapted/adapter-layout.ts'
import { ADAPTED_PARTS } from '../llama/adapted/adapter-parts.ts'
import type { AdaptedPart } from '../llama/adapted/adapter-parts.ts'
import type { DecoderShape } from '../manifest.ts'
import type { FileTensor } from '../readers/gguf-tensors.ts'
import type { RandomAccess } from '../readers/random-access.ts'
import { AdapterFileError } from './errors.ts'
import type { FiledTensor } from './write-safetensors.ts'

/** Far more than is sensible; bounds what a file can make others hold. */
export const MOST_RANK = 1024

/** B A x alpha / rank beside some matrices of each layer. */
export interface LowRankAdapter {
  readonly kind: 'lora'
  readonly rank: number
  readonly alpha: number
  readonly parts: readonly AdaptedPart[]
  /** Of layer (from 0), part and factor, as kernels take them: A [rank, inputs], B [outputs, rank]. */
  value(layer: number, part: AdaptedPart, factor: Factor): Float32Array
}

export type Factor = 'a' | 'b'

export interface Place {
  /** From 0. */
  readonly layer: number
  readonly part: AdaptedPart
  readonly factor: Factor
}

/** How a kind of file calls a factor. */
export type Named = (place: Place) => string

/** Of layers [from, to), in the order of files. */
export function placesOf(parts: readonly AdaptedPart[], from: number, to: number): Place[] {
  const layers = Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at)
  return layers.flatMap((layer) =>
    parts.flatMap((part) => (['a', 'b'] as const).map((factor): Place => ({ layer, part, factor }))),
  )
}

/** As files have them, in the hub's order of rows. */
export function filedFactors(
  shape: DecoderShape,
  adapter: LowRankAdapter,
  named: Named,
): (FiledTensor & { readonly place: Place })[] {
  const { rank, parts } = adapter
  return placesOf(parts, 0, shape.layers).map((place) => {
    const { layer, part, factor } = place
    const values = toFile(shape, part, factor, rank, adapter.value(layer, part, factor))
    return { place, name: named(place), dims: filedDims(shape, part, factor, rank), values }
  })
}

/** The tensors of an adapter's file, each taken once. */
export class AdapterTensors {
  readonly #where: string
  readonly #access: RandomAccess
  readonly #left: Map<string, FileTensor>

  /** @param where the file, for people */
  constructor(where: string, access: RandomAccess, tensors: readonly FileTensor[]) {
    this.#where = where
    this.#access = access
    this.#left = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  }

  /** Sizes of a tensor that nobody took; undefined: there is none. */
  dims(name: string): readonly number[] | undefined {
    return this.#left.get(name)?.shape
  }

  /** @throws AdapterFileError: it is missing, of other sizes, or has a value that is no finite number */
  async take(name: string, dims: readonly number[]): Promise<Float32Array> {
    const tensor = this.#left.get(name)
    if (tensor === undefined) throw this.#error(`the tensor ${name} is missing`, name)
    if (tensor.shape.join() !== dims.join()) {
      const why = `${name} is [${tensor.shape.join(', ')}], and the model takes [${dims.join(', ')}]`
      throw this.#error(why, name)
    }
    this.#left.delete(name)
    const elements = dims.reduce((product, size) => product * size, 1)
    const values = dequantize(tensor.type, await this.#access.read(tensor.offset, tensor.bytes), elements)
    // Rows of others are in the same products.
    if (!values.every(Number.isFinite)) throw this.#error(`${name} has a value that is no finite number`, name)
    return values
  }

  /** @throws AdapterFileError where something is left */
  end(): void {
    const [odd] = this.#left.keys()
    if (odd !== undefined) throw this.#error(`it has the tensor ${odd}, which the model has no place for`, odd)
  }

  #error(why: string, tensor: string): AdapterFileError {
    return new AdapterFileError(this.#where, why, { tensor })
  }
}

export interface FactorsAsked {
  /** The file, for people. */
  readonly where: string
  readonly named: Named
  /** Undefined: as the first factor has it. */
  readonly rank?: number | undefined
  /** Of the rank. */
  alpha(rank: number): number
  /** Layers [from, to). */
  readonly from: number
  readonly to: number
  /** From the rows of a file to those of the hub's order. @default they are */
  rows?(place: Place, values: Float32Array, dims: readonly [number, number]): Float32Array
}

/** @throws AdapterFileError, ModelFileError */
export async function takeFactors(
  tensors: AdapterTensors,
  shape: DecoderShape,
  asked: FactorsAsked,
): Promise<LowRankAdapter> {
  const { where, named, from, to } = asked
  const firstOf = (part: AdaptedPart): readonly number[] | undefined =>
    tensors.dims(named({ layer: 0, part, factor: 'a' }))
  const parts = ADAPTED_PARTS.filter((part) => firstOf(part) !== undefined)
  if (parts.length === 0) {
    tensors.end()
    throw new AdapterFileError(where, 'it has no tensor')
  }
  const rank = asked.rank ?? firstOf(parts[0]!)![0] ?? 0
  if (rank < 1 || rank > MOST_RANK) throw new AdapterFileError(where, `a rank of ${rank} is none`)
  const values = new Map<string, Float32Array>()
  for (const place of placesOf(parts, from, to)) {
    const { layer, part, factor } = place
    const dims = filedDims(shape, part, factor, rank)
    const filed = await tensors.take(named(place), dims)
    const own = asked.rows?.(place, filed, dims) ?? filed
    values.set(keyOf(layer, part, factor), fromFile(shape, part, factor, rank, own))
  }
  const value: LowRankAdapter['value'] = (layer, part, factor) => values.get(keyOf(layer, part, factor))!
  return { kind: 'lora', rank, alpha: asked.alpha(rank), parts, value }
}

const keyOf = (layer: number, part: AdaptedPart, factor: Factor): string => `${layer}/${part}/${factor}`
