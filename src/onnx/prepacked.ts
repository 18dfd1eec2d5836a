/**
 * Weights as the engine's kernels pack them, kept behind the weights themselves in one file: later loads map them, so
 * that they take no memory of a process's own and graphs share them. As the engine writes it, such a file gives wrong
 * results without a word where kernels want their parts aligned; here every part is laid anew at a page's start, and
 * the whole is compared bit for bit with the ordinary weights before anybody gets it.
 */
import { constants } from 'node:fs'
import { copyFile, open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Engine, Graph, Tensor } from './engine.ts'
import { PrepackedDiffersError } from './errors.ts'
import type { PrepackedForm } from './graph.ts'
import { prepackedEntries, prepackedForms } from './prepacked-entries.ts'
import type { ExternalEntry } from './prepacked-entries.ts'
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
}

/** Some kernels have ways of their own for one row, and for fewer than four. */
const TRIAL_ROWS = [1, 2, 5] as const
/** What a processor's own cache holds. */
const COPY_BYTES = 1 << 19

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
 * Writes `target`, proven to give the same bits as `file`, and says which forms belong to the tensor that starts at an
 * offset. `target` is not synced yet; when this throws, it is gone, or has its weights alone where it is `file`.
 * @throws PrepackedDiffersError, EngineError, and what the file system throws
 */
export async function prepackWeights(
  engine: Engine,
  job: PrepackJob,
): Promise<ReadonlyMap<number, readonly PrepackedForm[]>> {
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
  let proven = false
  try {
    const model = decode(job.graph)
    await writeFile(source, pointAt(model, job.file, new Map()), { mode: 0o600 })
    const expected = await answers(source, model, saved)
    const forms = await layOut(job, decode(await readFile(saved)), `${saved}.data`)
    await writeFile(packed, pointAt(model, job.target, forms), { mode: 0o600 })
    compare(expected, await answers(packed, model))
    proven = true
    return byOffset(decode(job.graph), forms)
  } finally {
    for (const name of [source, saved, `${saved}.data`, packed]) await rm(name, { force: true })
    if (!proven) await undo(job)
  }
}

async function undo({ directory, file, target, bytes }: PrepackJob): Promise<void> {
  if (target !== file) await rm(join(directory, target), { force: true })
  else await truncate(join(directory, file), bytes)
}

function decode(bytes: Uint8Array): Model {
  return ModelProto.decode(bytes) as unknown as Model
}

/** Copies the weights and behind them each part that the engine has saved; the forms by tensor name. */
async function layOut(job: PrepackJob, saved: Model, data: string): Promise<Map<string, PrepackedForm[]>> {
  const target = join(job.directory, job.target)
  if (job.target !== job.file) await copyFile(join(job.directory, job.file), target, constants.COPYFILE_FICLONE)
  const from = await open(data, 'r')
  try {
    const to = await open(target, 'r+')
    try {
      await to.truncate(job.bytes)
      let end = job.bytes
      const forms = new Map<string, PrepackedForm[]>()
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
        if (laid.length > 0) forms.set(name, laid)
      }
      return forms
    } finally {
      await to.close()
    }
  } finally {
    await from.close()
  }
}

async function copyRange(from: FileHandle, offset: number, length: number, to: FileHandle, at: number): Promise<void> {
  const buffer = new Uint8Array(Math.min(length, COPY_BYTES))
  for (let done = 0; done < length;) {
    const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, length - done), offset + done)
    if (bytesRead === 0) throw new RangeError(`the engine's file ends before ${offset + length}`)
    for (let written = 0; written < bytesRead;) {
      written += (await to.write(buffer, written, bytesRead - written, at + done + written)).bytesWritten
    }
    done += bytesRead
  }
}

/** The same graph with its weights in another file, and with forms. Changes `model`. */
function pointAt(model: Model, file: string, forms: ReadonlyMap<string, readonly PrepackedForm[]>): Uint8Array {
  for (const initializer of model.graph.initializer) {
    if (initializer.externalData.length === 0) continue
    initializer.externalData = [
      ...initializer.externalData.map(({ key, value }) => ({ key, value: key === 'location' ? file : value })),
      ...prepackedEntries(forms.get(initializer.name) ?? []),
    ]
  }
  return ModelProto.encode(model).finish()
}

function byOffset(
  model: Model,
  forms: ReadonlyMap<string, readonly PrepackedForm[]>,
): ReadonlyMap<number, readonly PrepackedForm[]> {
  const found = new Map<number, readonly PrepackedForm[]>()
  for (const { name, externalData } of model.graph.initializer) {
    const offset = externalData.find((entry) => entry.key === 'offset')
    const own = forms.get(name)
    if (offset !== undefined && own !== undefined) found.set(Number(offset.value), own)
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
