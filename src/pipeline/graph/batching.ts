/** Which micro-batches a request is cut into, and the proof on a sample that cutting changes no bit. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../../store/index.ts'
import type { AnyTensor } from '../../onnx/index.ts'
import { GraphRequestError } from './errors.ts'
import { checkNames, checkShapes, checkTypes } from './inputs.ts'
import type { BatchAxes, PreparedGraph } from './prepare/types.ts'
import type { Tensors } from './tensors.ts'
import { batchUnits, fixedBatch, joinRows, rowCount, rowsOf } from './units.ts'
import type { Units } from './units.ts'

/** Micro-batches a part: enough to keep all parts busy, few enough that each is worth a run. */
const UNITS_A_PART = 4

export interface Batching {
  readonly units: Units
  readonly axes: BatchAxes
  readonly rows: number
  /** Of a micro-batch. */
  readonly size: number
  /** Asked for by size: it is done whether it keeps the bits or not. */
  readonly asked: boolean
}

/**
 * @param size rows of a micro-batch; 0: none; undefined: as fills the parts
 * @returns a sentence where the inputs are run whole. @throws GraphInputError, GraphRequestError
 */
export function chooseBatching(
  graph: PreparedGraph,
  given: Tensors,
  parts: number,
  size: number | undefined,
): Batching | string {
  if (size === 0) return 'asked for'
  checkNames(graph.inputs, given, new Set())
  checkTypes(graph.inputs, given)
  const axes = typeof graph.batch === 'string' ? fixedAxes(graph, graph.batch, given, size) : graph.batch
  if (typeof axes === 'string') return axes
  // With a fixed batch, the rows themselves have been held against the declaration.
  if (axes === graph.batch) checkShapes(graph.inputs, given)
  const rows = rowCount(graph, axes, given)
  if (size === undefined && parts === 1) return 'one process has nothing to overlap'
  const chosen = size ?? Math.ceil(rows / (UNITS_A_PART * parts))
  if (rows <= chosen) return `the batch has ${rows} rows`
  return { units: batchUnits(axes, given, rows, chosen), axes, rows, size: chosen, asked: size !== undefined }
}

/** @param why there is no free batch */
function fixedAxes(graph: PreparedGraph, why: string, given: Tensors, size: number | undefined): BatchAxes | string {
  if (size === undefined) return why
  const axes = fixedBatch(graph, given, size)
  if (axes === null) throw new GraphRequestError(`the inputs cannot be cut into micro-batches of ${size}: ${why}`)
  return axes
}

/** The rows of the first and the last micro-batch, as one batch. */
export function sampleOf({ axes, rows, size }: Batching, given: Tensors): Tensors {
  const last = Math.floor((rows - 1) / size) * size
  return rowsOf(axes, given, [
    [0, size],
    [last, rows],
  ])
}

/** Whether the sample in one run gave what its two micro-batches gave. */
export function agrees({ axes }: Batching, sample: Tensors, results: readonly Tensors[]): boolean {
  const cut = joinRows(axes, [results[0]!, results.at(-1)!])
  return [...cut].every(([name, tensor]) => digest(tensor) === digest(sample.get(name)!))
}

function digest(tensor: AnyTensor): string {
  const hash = createHash('sha256').update(`${tensor.type}[${tensor.dims.join()}]`)
  if (tensor.type === 'string') hash.update(JSON.stringify(tensor.data))
  else hash.update(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength))
  return hash.digest('hex')
}

/** What was found of sizes of micro-batches, in the folder of the preparation. */
export class BatchProofs {
  readonly #path: string

  constructor(folder: string) {
    this.#path = join(folder, 'batches.json')
  }

  async known(key: string): Promise<boolean | undefined> {
    return (await this.#read()).get(key)
  }

  /** A cache: that it cannot be written is no failure of the request. */
  async note(key: string, equal: boolean): Promise<void> {
    const all = await this.#read()
    all.set(key, equal)
    await writeFileAtomic(this.#path, JSON.stringify([...all].slice(-256))).catch(() => undefined)
  }

  async #read(): Promise<Map<string, boolean>> {
    try {
      return new Map(JSON.parse(await readFile(this.#path, 'utf8')) as [string, boolean][])
    } catch {
      return new Map()
    }
  }
}
