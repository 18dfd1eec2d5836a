/**
 * Weights as the engine's kernels pack them, kept behind the weights themselves in one file: later loads map them, so
 * that they take no memory of a process's own and graphs share them. As the engine writes it, such a file gives wrong
 * results without a word where kernels want their parts aligned; here every part is laid anew at a page's start, unless
 * it is at one already (prepacked-whole.ts), and the whole is compared bit for bit with the ordinary weights before
 * anybody gets it.
 */
import { constants } from 'node:fs'
import { copyFile, open, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Engine, Graph, Tensor } from './engine.ts'
import { PrepackedDiffersError } from './errors.ts'
import type { PrepackedForm } from './graph.ts'
import { prepackedEntries, prepackedForms } from './prepacked-entries.ts'
import type { ExternalEntry } from './prepacked-entries.ts'
import { carriedOf, completeWhole, copyRange } from './prepacked-whole.ts'
import type { Moved, PlacedTensor, SavedTensor, StoredRange } from './prepacked-whole.ts'
import { ModelProto } from './proto.ts'
import { WEIGHT_ALIGNMENT } from './weight-file.ts'

export interface PrepackJob {
  /**
   * Bytes of an ONNX file whose large weights lie in `file`, whatever name it has for that. Its inputs are float32
   * [rows, width] and its outputs float32; every kernel whose weights are to be pre-packed is in it.
   */
  readonly graph: Uint8Array
  readonly directory: string
  /** Name of the weight file in `directory`. */
  readonly file: string
  /** How many bytes of it are weights; what comes after them is left behind. */
  readonly bytes: number
  /**
   * Name of the new file in `directory`: the weights of `file`, then the pre-packed parts. Replaced if it is there. It may
   * be `file` itself, where nobody else has it yet.
   */
  readonly target: string
  /** Names of files that are made and removed again begin with it. */
  readonly scratch: string
  /**
   * What `file` has beside the graph's tensors. Where it is given, the engine's own file may be taken as it is instead of `target`,
   * with these copied behind it: then nothing is written a second time.
   */
  readonly others?: readonly StoredRange[]
}

export interface Prepacked {
  /** Name of the file: `target`, or one of its own that `scratch` begins, which is the caller's from here on. */
  readonly file: string
  /** By the offset that a tensor had in the job's file; those that have moved, or have forms. */
  readonly tensors: ReadonlyMap<number, PlacedTensor>
}

/** Some kernels have ways of their own for one row, and for fewer than four. */
const TRIAL_ROWS = [1, 2, 5] as const

interface Initializer {
  readonly name: string
  externalData: ExternalEntry[]
}

interface Model {
  readonly graph: {
    readonly initializer: Initializer[]
    readonly input: readonly {
      readonly name: string
      readonly type: { readonly tensorType: { readonly shape: { readonly dim: readonly { dimValue: unknown }[] } } }
    }[]
    readonly output: readonly { readonly name: string }[]
  }
}

/**
 * Writes `target`, proven to give the same bits as `file`, and says where its tensors and their forms lie. It is not synced
 * yet; when this throws, it is gone, or has its weights alone where it is `file`.
 * @throws PrepackedDiffersError, EngineError, and what the file system throws
 */
export async function prepackWeights(engine: Engine, job: PrepackJob): Promise<Prepacked> {
  const path = (name: string): string => join(job.directory, `${job.scratch}.${name}`)
  const [source, saved, packed] = [path('source'), path('saved'), path('packed')]
  // One after the other: each holds all weights as its kernels pack them.
  const answers = async (file: string, model: Model, savePrepacked?: string): Promise<readonly Answer[]> => {
    const graph = await engine.load(file, { threads: 1, ...(savePrepacked === undefined ? {} : { savePrepacked }) })
    try {
      return await trial(model, graph)
    } finally {
      await graph.release()
    }
  }
  let made: Made | undefined
  let proven = false
  try {
    const model = decode(job.graph)
    await writeFile(source, pointAt(model, job.file, new Map()), { mode: 0o600 })
    const expected = await answers(source, model, saved)
    const written = decode(await readFile(saved))
    made = (await takeOver(job, written, `${saved}.data`)) ?? (await layOut(job, written, `${saved}.data`))
    await writeFile(packed, pointAt(model, made.file, made.placed), { mode: 0o600 })
    compare(expected, await answers(packed, model))
    proven = true
    return { file: made.file, tensors: byOffset(decode(job.graph), made) }
  } finally {
    for (const name of [source, saved, `${saved}.data`, packed]) await rm(name, { force: true })
    if (!proven) await undo(job, made)
  }
}

/** A file that has forms, and where things lie in it. */
interface Made {
  readonly file: string
  /** By name of the tensor. */
  readonly placed: ReadonlyMap<string, Placed>
  /** What was copied from the job's file, by its offset there. */
  readonly carried: ReadonlyMap<number, number>
}

interface Placed {
  /** Where it is not at its old place. */
  readonly offset?: number
  readonly forms: readonly PrepackedForm[]
}

async function undo({ directory, file, target, bytes }: PrepackJob, made: Made | undefined): Promise<void> {
  if (made !== undefined && made.file !== target) await rm(join(directory, made.file), { force: true })
  else if (target !== file) await rm(join(directory, target), { force: true })
  else await truncate(join(directory, file), bytes)
}

function decode(bytes: Uint8Array): Model {
  return ModelProto.decode(bytes) as unknown as Model
}

/** The engine's own file, where it can be taken as it is. */
async function takeOver(job: PrepackJob, saved: Model, data: string): Promise<Made | undefined> {
  if (job.others === undefined) return undefined
  const own = new Map(decode(job.graph).graph.initializer.map(({ name, externalData }) => [name, externalData]))
  const tensors = saved.graph.initializer.flatMap(({ name, externalData }): SavedTensor[] => {
    const before = rangeOf(own.get(name) ?? [])
    const after = rangeOf(externalData)
    // What the graph holds itself it keeps.
    if (before === undefined) return []
    return [{ name, before, after, forms: prepackedForms(externalData) }]
  })
  const carried = carriedOf(tensors, job.others)
  if (carried === undefined) return undefined
  const file = `${job.scratch}.whole`
  try {
    await rename(data, join(job.directory, file))
    const moved = await completeWhole(carried, join(job.directory, job.file), join(job.directory, file))
    const placed = tensors.map(({ name, before, after, forms }): [string, Placed] => [
      name,
      { offset: moved.tensors.get(before.offset) ?? after!.offset, forms: forms.map((form) => movedForm(form, moved)) },
    ])
    return { file, placed: new Map(placed), carried: moved.tensors }
  } catch (error) {
    await rm(join(job.directory, file), { force: true })
    throw error
  }
}

function movedForm({ key, parts }: PrepackedForm, moved: Moved): PrepackedForm {
  return { key, parts: parts.map(({ offset, length }) => ({ offset: moved.parts.get(offset) ?? offset, length })) }
}

/** Undefined where it is not in a file. */
function rangeOf(entries: readonly ExternalEntry[]): StoredRange | undefined {
  const [offset, length] = ['offset', 'length'].map((key) => entries.find((entry) => entry.key === key)?.value)
  return length === undefined ? undefined : { offset: Number(offset ?? 0), length: Number(length) }
}

/** Copies the weights and behind them each part that the engine has saved. */
async function layOut(job: PrepackJob, saved: Model, data: string): Promise<Made> {
  const target = join(job.directory, job.target)
  if (job.target !== job.file) await copyFile(join(job.directory, job.file), target, constants.COPYFILE_FICLONE)
  const from = await open(data, 'r')
  try {
    const to = await open(target, 'r+')
    try {
      await to.truncate(job.bytes)
      let end = job.bytes
      const placed = new Map<string, Placed>()
      for (const { name, externalData } of saved.graph.initializer) {
        const laid: PrepackedForm[] = []
        for (const form of prepackedForms(externalData)) {
          const parts: { offset: number; length: number }[] = []
          for (const { offset, length } of form.parts) {
            const at = Math.ceil(end / WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT
            await copyRange(from, offset, length, to, at)
            parts.push({ offset: at, length })
            end = at + length
          }
          laid.push({ key: form.key, parts })
        }
        if (laid.length > 0) placed.set(name, { forms: laid })
      }
      return { file: job.target, placed, carried: new Map() }
    } finally {
      await to.close()
    }
  } finally {
    await from.close()
  }
}

/** The same graph with its weights in another file, and with forms. Changes `model`. */
function pointAt(model: Model, file: string, placed: ReadonlyMap<string, Placed>): Uint8Array {
  for (const initializer of model.graph.initializer) {
    if (initializer.externalData.length === 0) continue
    const own = placed.get(initializer.name)
    const entries = initializer.externalData.map(({ key, value }): ExternalEntry => {
      if (key === 'location') return { key, value: file }
      return { key, value: key === 'offset' && own?.offset !== undefined ? String(own.offset) : value }
    })
    initializer.externalData = [...entries, ...prepackedEntries(own?.forms ?? [])]
  }
  return ModelProto.encode(model).finish()
}

function byOffset(model: Model, { placed, carried }: Made): ReadonlyMap<number, PlacedTensor> {
  const found = new Map([...carried].map(([from, offset]): [number, PlacedTensor] => [from, { offset, forms: [] }]))
  for (const { name, externalData } of model.graph.initializer) {
    const before = rangeOf(externalData)
    const own = placed.get(name)
    if (before !== undefined && own !== undefined)
      found.set(before.offset, { offset: own.offset ?? before.offset, forms: own.forms })
  }
  return found
}

interface Answer {
  readonly name: string
  readonly rows: number
  readonly values: Float32Array
}

async function trial(model: Model, graph: Graph): Promise<readonly Answer[]> {
  const outputs = model.graph.output.map(({ name }) => name)
  const answers: Answer[] = []
  for (const rows of TRIAL_ROWS) {
    const feeds: Record<string, Tensor> = {}
    for (const { name, type } of model.graph.input) {
      const width = Number(type.tensorType.shape.dim[1]!.dimValue)
      feeds[name] = { type: 'float32', dims: [rows, width], data: trialValues(rows * width) }
    }
    const made = await graph.run(feeds, outputs)
    for (const name of outputs) answers.push({ name, rows, values: made[name]!.data as Float32Array })
  }
  return answers
}

/** @throws PrepackedDiffersError unless both are equal and finite numbers */
function compare(expected: readonly Answer[], actual: readonly Answer[]): void {
  for (const [index, { name, rows, values }] of expected.entries()) {
    const same = bits(values).equals(bits(actual[index]!.values))
    if (!same || !values.every(Number.isFinite)) throw new PrepackedDiffersError(name, rows)
  }
}

function bits({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

/** Values in (-1, 1) of all sizes, the same each time: a linear congruential generator (Numerical Recipes, 7.1). */
function trialValues(count: number): Float32Array {
  const values = new Float32Array(count)
  let state = 1
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    values[index] = (state / 2 ** 31 - 1) ** 3
  }
  return values
}
