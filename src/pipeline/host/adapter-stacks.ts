/** The adapters of a run, one behind the other, as the graph takes them (models/, stacked.ts). */
import { ADAPTED_PARTS, ADAPTER_MASK, partSize, placeOf, SLICE, slicesOf, stackedInput } from '../../models/index.ts'
import type { AdaptedPart, DecoderShape, LowRankAdapter } from '../../models/index.ts'
import type { Tensor } from '../../onnx/index.ts'

/** An adapter that is loaded in this host, and stands beside matrices. */
export interface HostAdapter {
  /** Of equal ids the values are equal. */
  readonly id: string
  readonly adapter: LowRankAdapter
}

/** Stacks that are kept: sessions come and go, and a run's company changes with them. */
const MOST_STACKS = 4

type Feeds = Readonly<Record<string, Tensor>>

export interface AdapterStack {
  readonly parts: readonly AdaptedPart[]
  readonly slices: number
  /** First slice of each, by id. */
  readonly places: ReadonlyMap<string, number>
  readonly feeds: Feeds
}

export class AdapterStacks {
  readonly #shape: DecoderShape
  readonly #first: number
  readonly #layers: number
  readonly #stacks = new Map<string, AdapterStack>()

  /** @param first layer of the part in the model, from 0 */
  constructor(shape: DecoderShape, first: number, layers: number) {
    this.#shape = shape
    this.#first = first
    this.#layers = layers
  }

  of(adapters: readonly HostAdapter[]): AdapterStack {
    const distinct = [...new Map(adapters.map((one) => [one.id, one])).values()].sort((a, b) => (a.id < b.id ? -1 : 1))
    const key = distinct.map(({ id }) => id).join('|')
    const known = this.#stacks.get(key)
    this.#stacks.delete(key)
    const stack = known ?? this.#made(distinct)
    this.#stacks.set(key, stack)
    if (this.#stacks.size > MOST_STACKS) this.#stacks.delete(this.#stacks.keys().next().value!)
    return stack
  }

  #made(distinct: readonly HostAdapter[]): AdapterStack {
    const places = new Map<string, number>()
    let slices = 0
    // The widest first: each begins at a multiple of its own width then.
    for (const { id, adapter } of distinct.toSorted((x, y) => slicesOf(y.adapter.rank) - slicesOf(x.adapter.rank))) {
      places.set(id, slices)
      slices += slicesOf(adapter.rank)
    }
    const parts = ADAPTED_PARTS.filter((part) => distinct.some(({ adapter }) => adapter.parts.includes(part)))
    const feeds: Record<string, Tensor> = {}
    for (let layer = 0; layer < this.#layers; layer++) {
      for (const part of parts) {
        feeds[stackedInput(layer, part, 'a')] = this.#down(distinct, places, slices, layer, part)
        feeds[stackedInput(layer, part, 'b')] = this.#up(distinct, places, slices, layer, part)
      }
    }
    return { parts, slices, places, feeds }
  }

  /** A, turned: [slices, inputs, 16]. */
  #down(distinct: readonly HostAdapter[], places: Places, slices: number, layer: number, part: AdaptedPart): Tensor {
    const { inputs } = partSize(this.#shape, part)
    const data = new Float32Array(slices * inputs * SLICE)
    for (const { id, adapter } of distinct) {
      if (!adapter.parts.includes(part)) continue
      const values = adapter.value(this.#first + layer, part, 'a')
      for (let at = 0; at < adapter.rank; at++) {
        const from = (places.get(id)! + Math.floor(at / SLICE)) * inputs * SLICE + (at % SLICE)
        for (let input = 0; input < inputs; input++) data[from + input * SLICE] = values[at * inputs + input]!
      }
    }
    return { type: 'float32', dims: [slices, inputs, SLICE], data }
  }

  /** B, turned: [16 slices, outputs]. */
  #up(distinct: readonly HostAdapter[], places: Places, slices: number, layer: number, part: AdaptedPart): Tensor {
    const own = partSize(this.#shape, part).outputs
    const { outputs, before } = placeOf(this.#shape, part)
    const data = new Float32Array(slices * SLICE * outputs)
    for (const { id, adapter } of distinct) {
      if (!adapter.parts.includes(part)) continue
      const values = adapter.value(this.#first + layer, part, 'b')
      for (let output = 0; output < own; output++) {
        for (let at = 0; at < adapter.rank; at++) {
          data[(places.get(id)! * SLICE + at) * outputs + before + output] = values[output * adapter.rank + at]!
        }
      }
    }
    return { type: 'float32', dims: [slices * SLICE, outputs], data }
  }
}

type Places = ReadonlyMap<string, number>

/** Whose each row is: `count` rows of each adapter, in their order, and rows behind them that count for nothing. */
export function maskOf(
  { slices, places }: AdapterStack,
  jobs: readonly { readonly adapter: HostAdapter; readonly count: number }[],
  rows: number,
): Feeds {
  const mask = new Uint8Array(slices * rows)
  let row = 0
  for (const { adapter, count } of jobs) {
    const from = places.get(adapter.id)!
    for (let slice = from; slice < from + slicesOf(adapter.adapter.rank); slice++) {
      mask.fill(1, slice * rows + row, slice * rows + row + count)
    }
    row += count
  }
  return { [ADAPTER_MASK]: { type: 'bool', dims: [slices, rows, 1], data: mask } }
}
