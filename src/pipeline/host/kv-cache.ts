/**
 * The KV cache of one session in one stage: rows that belong to us (DESIGN decision 4). The graph gets the buffers as
 * its past and returns only new rows; a smaller position rewinds.
 */

/**
 * Capacity is a multiple of so many positions. Small, because the attention kernel's time goes with the capacity and not
 * only with what is used of it: 30 layers of SmolLM2-135M at position 20 take 0.96 ms in place of 2.48 with 256.
 */
const CAPACITY_STEP = 64
/** A cache grows by this share of its positions at least, so that a long one is copied as rarely as a short one. */
const GROWTH = 1 / 16

/** Positions of the smallest capacity that holds so many. */
function capacityFor(positions: number): number {
  return Math.max(1, Math.ceil(positions / CAPACITY_STEP)) * CAPACITY_STEP
}

export interface KvShape {
  readonly layers: number
  readonly heads: number
  readonly headDim: number
}

export class KvCache {
  readonly shape: KvShape
  /** Rows that are valid. */
  position = 0
  #capacity: number
  #keys: Float32Array[]
  #values: Float32Array[]

  constructor(shape: KvShape, positions = 0) {
    this.shape = shape
    this.#capacity = capacityFor(positions)
    this.#keys = this.#allocate()
    this.#values = this.#allocate()
  }

  get capacity(): number {
    return this.#capacity
  }

  get bytes(): number {
    const { layers, heads, headDim } = this.shape
    return 2 * 4 * layers * heads * headDim * this.#capacity
  }

  /** [heads, capacity, head dim] */
  keys(layer: number): Float32Array {
    return this.#keys[layer]!
  }

  values(layer: number): Float32Array {
    return this.#values[layer]!
  }

  /** Makes room for rows up to `positions`. */
  reserve(positions: number): void {
    if (positions <= this.#capacity) return
    const oldCapacity = this.#capacity
    this.#capacity = capacityFor(Math.max(positions, Math.ceil(oldCapacity * (1 + GROWTH))))
    this.#keys = this.#grown(this.#keys, oldCapacity)
    this.#values = this.#grown(this.#values, oldCapacity)
  }

  /**
   * Writes `rows` new rows of a layer behind the valid ones. `keys` and `values` are [heads, given, head dim] with
   * given >= rows: what is beyond `rows` (the dummy row) is dropped.
   */
  write(layer: number, keys: Float32Array, values: Float32Array, given: number, rows: number): void {
    const { heads, headDim } = this.shape
    for (let head = 0; head < heads; head++) {
      const from = head * given * headDim
      const to = (head * this.#capacity + this.position) * headDim
      this.#keys[layer]!.set(keys.subarray(from, from + rows * headDim), to)
      this.#values[layer]!.set(values.subarray(from, from + rows * headDim), to)
    }
  }

  /** A copy of rows [from, from + count): of each layer the keys, then the values, both [heads, count, head dim]. */
  read(from: number, count: number): Float32Array {
    const { layers, heads, headDim } = this.shape
    const piece = count * headDim
    const out = new Float32Array(2 * layers * heads * piece)
    let at = 0
    for (let layer = 0; layer < layers; layer++) {
      for (const buffer of [this.#keys[layer]!, this.#values[layer]!]) {
        for (let head = 0; head < heads; head++, at += piece) {
          const start = (head * this.#capacity + from) * headDim
          out.set(buffer.subarray(start, start + piece), at)
        }
      }
    }
    return out
  }

  /** Puts rows that were read behind the valid ones. */
  append(rows: Float32Array, count: number): void {
    const { layers, heads, headDim } = this.shape
    this.reserve(this.position + count)
    const piece = heads * count * headDim
    for (let layer = 0, at = 0; layer < layers; layer++, at += 2 * piece)
      this.write(layer, rows.subarray(at, at + piece), rows.subarray(at + piece, at + 2 * piece), count, count)
    this.position += count
  }

  #allocate(): Float32Array[] {
    const { layers, heads, headDim } = this.shape
    return Array.from({ length: layers }, () => new Float32Array(heads * this.#capacity * headDim))
  }

  #grown(old: readonly Float32Array[], oldCapacity: number): Float32Array[] {
    const { heads, headDim } = this.shape
    const used = this.position * headDim
    return this.#allocate().map((buffer, layer) => {
      for (let head = 0; head < heads; head++) {
        const from = head * oldCapacity * headDim
        buffer.set(old[layer]!.subarray(from, from + used), head * this.#capacity * headDim)
      }
      return buffer
    })
  }
}
