/**
 * Runs a range of decoder layers for rows of several sessions at once. Whatever the company, a row's bits are the same
 * (DESIGN decision 3): attention is given rows that count for nothing where its kernel would take another path.
 * The matrices too, where their kernels do: whether they do here, on these weights, is tried when the stage is made.
 */
import type { Engine, Graph, LoadOptions, Tensor } from '../../onnx/index.ts'
import { firstRotaryRow, kernelHeadDim } from '../../models/index.ts'
import type { AdaptedPart, BoundaryType, DecoderShape } from '../../models/index.ts'
import type { Clock } from '../../util/index.ts'
import { AdapterStacks, maskOf } from './adapter-stacks.ts'
import type { HostAdapter } from './adapter-stacks.ts'
import { loadEager } from './eager-graph.ts'
import type { EagerGraph } from './eager-graph.ts'
import { KvCache } from './kv-cache.ts'
import type { KvShape } from './kv-cache.ts'
import { sameBits, trialRow } from './one-row.ts'
import { firstSize, SlotChoice } from './slot-choice.ts'

export interface DecoderJob {
  readonly cache: KvCache
  /** Rows in the boundary's type. */
  readonly rows: Uint8Array
  readonly count: number
  /** That its session may reach: longer texts may be rotated in another way. @default few */
  readonly positions?: number
  /** All jobs of a run have one, or none has. */
  readonly adapter?: HostAdapter | undefined
}

export interface DecoderStage {
  readonly layers: number
  /** A row that is alone goes through the matrices once: their kernels give it the bits that it has in company. */
  readonly oneRow: boolean
  /** Threads of the last run spun. */
  readonly spun: boolean
  /** The last run had fewer threads than the stage, since that was measured to be faster. */
  readonly narrow: boolean
  /** The graph of the last run was loaded for its number of sessions, since others had left slots empty. */
  readonly fitted: boolean
  newCache(positions: number): KvCache
  /** At most MAX_SLOTS jobs of different sessions; advances their caches; the rows that leave, in the same order. */
  run(jobs: readonly DecoderJob[]): Promise<Uint8Array[]>
  release(): Promise<void>
}

export interface DecoderStageInit {
  readonly engine: Engine
  /** Without one it is not measured how many threads a step should have and whether they spin: all, that sleep. */
  readonly clock?: Clock
  readonly options: LoadOptions
  readonly shape: DecoderShape
  readonly boundary: BoundaryType
  readonly layers: number
  /** Number of the first layer in the model, from 0: of adapters. @default 0 */
  readonly first?: number
  /** Path of the graph for so many slots, and adapters of these parts. */
  graph(slots: number, adapted: readonly AdaptedPart[]): Promise<string>
}

export async function createDecoderStage(init: DecoderStageInit): Promise<DecoderStage> {
  const { shape, layers } = init
  const kvShape = { layers, heads: shape.kv_heads, headDim: kernelHeadDim(shape) }
  const { engine, clock, options } = init
  const variants = new Map<string, Promise<EagerGraph>>()
  const variant = (slots: number, adapted: readonly AdaptedPart[] = []): Promise<EagerGraph> => {
    const key = [slots, ...adapted].join()
    const known = variants.get(key)
    if (known !== undefined) return known
    const loading = init.graph(slots, adapted).then((path) => loadEager(engine, clock, path, options))
    variants.set(key, loading)
    // The next run that wants it tries again.
    loading.catch(() => variants.delete(key))
    return loading
  }
  const stacks = new AdapterStacks(shape, init.first ?? 0, layers)
  const choice = new SlotChoice()
  let [spun, narrow, fitted] = [false, false, false]
  /** A size that would only save time is done without where it cannot be loaded. */
  const sized = async (jobs: number): Promise<number> => {
    const slots = choice.slots(jobs)
    if (variants.has(String(slots))) return slots
    const from = clock?.now() ?? 0
    try {
      await variant(slots)
    } catch (error) {
      const other = choice.failed(jobs)
      if (other === undefined) throw error
      return other
    }
    choice.loaded(slots, clock === undefined ? undefined : clock.now() - from)
    return slots
  }
  const idle = new KvCache(kvShape)
  await sized(1)
  const oneRow = await triedOneRow(init, await variant(1), kvShape, idle)
  return {
    layers,
    oneRow,
    get spun() {
      return spun
    },
    get narrow() {
      return narrow
    },
    get fitted() {
      return fitted
    },
    newCache: (positions) => new KvCache(kvShape, positions),
    async run(jobs) {
      const adapted = jobs.flatMap(({ adapter, count }) => (adapter === undefined ? [] : [{ adapter, count }]))
      const stack = adapted.length === 0 ? undefined : stacks.of(adapted.map(({ adapter }) => adapter))
      const slots = stack === undefined ? await sized(jobs.length) : firstSize(jobs.length)
      const graph = await variant(slots, stack?.parts)
      // Products with adapters were not tried with a single row.
      const batch = layOut(init, jobs, oneRow && stack === undefined ? 1 : 2)
      const own = stack === undefined ? {} : { ...stack.feeds, ...maskOf(stack, adapted, batch.rows) }
      const all = { ...feeds(init, jobs, batch, slots, idle), ...own }
      const from = clock?.now() ?? 0
      const outputs = await graph.run(all, fetches(layers, jobs.length))
      ;({ spun, narrow } = graph)
      fitted = slots !== firstSize(jobs.length)
      if (stack === undefined && clock !== undefined) choice.ran(jobs.length, slots, clock.now() - from)
      return collect(init, jobs, batch, outputs)
    },
    async release() {
      for (const graph of await Promise.allSettled(variants.values()))
        if (graph.status === 'fulfilled') await graph.value.release()
    },
  }
}

/** Runs one row alone and the same row doubled, twice: every value that leaves the graph must have the same bits. */
async function triedOneRow(init: DecoderStageInit, graph: Graph, kvShape: KvShape, idle: KvCache): Promise<boolean> {
  const names = fetches(init.layers, 1)
  for (const seed of [1, 2]) {
    const results: Readonly<Record<string, Tensor>>[] = []
    for (const least of [1, 2]) {
      const job = { cache: new KvCache(kvShape), rows: trialRow(init.shape.width, init.boundary, seed), count: 1 }
      results.push(await graph.run(feeds(init, [job], layOut(init, [job], least), 1, idle), names))
    }
    if (!sameBits(results[0]!, results[1]!)) return false
  }
  return true
}

/** Where each job's rows stand in the run, and how many rows its slot is given, by the engine's rule for attention. */
interface Batch {
  readonly rows: number
  readonly starts: readonly number[]
  readonly given: readonly number[]
}

/** @param least rows that the matrices must have */
function layOut({ engine }: DecoderStageInit, jobs: readonly DecoderJob[], least: number): Batch {
  let rows = 0
  const starts: number[] = []
  for (const job of jobs) {
    starts.push(rows)
    rows += job.count
  }
  return {
    rows: Math.max(rows, least),
    starts,
    given: jobs.map((job) => givenRows(engine, job.cache.position, job.count)),
  }
}

/** With rows behind the real ones that count for nothing. */
function givenRows({ attention: { rows, multiple } }: Engine, position: number, count: number): number {
  const least = Math.max(count, rows)
  const over = (position + least) % multiple
  return over === 0 ? least : least + multiple - over
}

function feeds(
  init: DecoderStageInit,
  jobs: readonly DecoderJob[],
  batch: Batch,
  slots: number,
  idle: KvCache,
): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = { x: input(init, jobs, batch) }
  for (let slot = 0; slot < slots; slot++) {
    const job = jobs[slot]
    const cache = job?.cache ?? idle
    const given = batch.given[slot] ?? givenRows(init.engine, cache.position, 0)
    const total = cache.position + given
    cache.reserve(total)
    tensors[`past.${slot}`] = { type: 'int32', dims: [1], data: Int32Array.of(total - 1) }
    tensors[`total.${slot}`] = { type: 'int32', dims: [], data: Int32Array.of(total) }
    tensors[`rows.${slot}`] = { type: 'int64', dims: [1, given], data: slotRows(batch, job, slot, given) }
    if (init.shape.rope_long !== undefined) {
      const first = firstRotaryRow(init.shape, job?.positions ?? 0) + cache.position
      tensors[`places.${slot}`] = { type: 'int64', dims: [1, given], data: placesFrom(first, given) }
    }
    addPast(tensors, cache, slot)
  }
  tensors['back'] = { type: 'int64', dims: [batch.rows], data: backRows(jobs, batch) }
  return tensors
}

function addPast(tensors: Record<string, Tensor>, cache: KvCache, slot: number): void {
  const { layers, heads, headDim } = cache.shape
  const dims = [1, heads, cache.capacity, headDim]
  for (let layer = 0; layer < layers; layer++) {
    tensors[`k.${layer}.${slot}`] = { type: 'float32', dims, data: cache.keys(layer) }
    tensors[`v.${layer}.${slot}`] = { type: 'float32', dims, data: cache.values(layer) }
  }
}

function input(init: DecoderStageInit, jobs: readonly DecoderJob[], batch: Batch): Tensor {
  const { width } = init.shape
  const size = init.boundary === 'f16' ? 2 : 4
  const bytes = new Uint8Array(batch.rows * width * size)
  for (const [slot, job] of jobs.entries()) bytes.set(job.rows, batch.starts[slot]! * width * size)
  const last = jobs.at(-1)!.rows
  const filled = jobs.reduce((sum, job) => sum + job.count, 0)
  for (let row = filled; row < batch.rows; row++) bytes.set(last.subarray(-width * size), row * width * size)
  const dims = [batch.rows, width]
  if (init.boundary === 'f16') return { type: 'float16', dims, data: new Uint16Array(bytes.buffer) }
  return { type: 'float32', dims, data: new Float32Array(bytes.buffer) }
}

function slotRows(batch: Batch, job: DecoderJob | undefined, slot: number, given: number): BigInt64Array {
  const rows = new BigInt64Array(given)
  if (job === undefined) return rows
  const start = batch.starts[slot]!
  for (let row = 0; row < given; row++) rows[row] = BigInt(start + Math.min(row, job.count - 1))
  return rows
}

function placesFrom(first: number, given: number): BigInt64Array {
  return BigInt64Array.from({ length: given }, (_, row) => BigInt(first + row))
}

function backRows(jobs: readonly DecoderJob[], batch: Batch): BigInt64Array {
  const back = new BigInt64Array(batch.rows)
  let base = 0
  for (const [slot, job] of jobs.entries()) {
    for (let row = 0; row < job.count; row++) back[batch.starts[slot]! + row] = BigInt(base + row)
    base += batch.given[slot]!
  }
  return back
}

function fetches(layers: number, jobs: number): string[] {
  const names = ['y']
  for (let slot = 0; slot < jobs; slot++) {
    for (let layer = 0; layer < layers; layer++) names.push(`nk.${layer}.${slot}`, `nv.${layer}.${slot}`)
  }
  return names
}

function collect(
  init: DecoderStageInit,
  jobs: readonly DecoderJob[],
  batch: Batch,
  outputs: Readonly<Record<string, Tensor>>,
): Uint8Array[] {
  const y = outputs['y']!.data
  const bytes = new Uint8Array(y.buffer, y.byteOffset, y.byteLength)
  const rowBytes = init.shape.width * (init.boundary === 'f16' ? 2 : 4)
  return jobs.map((job, slot) => {
    for (let layer = 0; layer < init.layers; layer++) {
      const keys = outputs[`nk.${layer}.${slot}`]!.data as Float32Array
      const values = outputs[`nv.${layer}.${slot}`]!.data as Float32Array
      job.cache.write(layer, keys, values, batch.given[slot]!, job.count)
    }
    job.cache.position += job.count
    const start = batch.starts[slot]! * rowBytes
    return bytes.slice(start, start + job.count * rowBytes)
  })
}
