/**
 * Weights as the engine's kernels pack them, kept behind the weights themselves in one file: later loads map them, so
 * that they take no memory of a process's own and graphs share them. As the engine writes it, such a file gives wrong
 * results without a word where kernels want their parts aligned; here every part is laid anew at a page's start, and
 * the whole is compared bit for bit with the ordinary weights before anybody gets it.
 */
import { constants } from 'node:fs'
import { copyFile, open, readFile, rm, writeFile } from 'node:fs/promises'
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
  /** Name of the new file in `directory`: the weights of `file`, then the pre-packed parts. Replaced if it is there. */
  readonly target: string
  /** Names of files that are made and removed again begin with it. */
  readonly scratch: string
}

/** Some kernels have ways of their own for one row, and for fewer than four. */
const TRIAL_ROWS = [1, 2, 5] as const
const COPY_BYTES = 1 << 22

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
 * offset. `target` is not synced yet; when this throws, it is gone.
 * @throws PrepackedDiffersError, EngineError, and what the file system throws
 */
export async function prepackWeights(
  engine: Engine,
  job: PrepackJob,
): Promise<ReadonlyMap<number, readonly PrepackedForm[]>> {
  const path = (name: string): string => join(job.directory, `${job.scratch}.${name}`)
  const [source, saved, packed] = [path('source'), path('saved'), path('packed')]
  const graphs: Graph[] = []
  const load = async (file: string, savePrepacked?: string): Promise<Graph> => {
    const graph = await engine.load(file, { threads: 1, ...(savePrepacked === undefined ? {} : { savePrepacked }) })
    graphs.push(graph)
    return graph
  }
  let proven = false
  try {
    const model = decode(job.graph)
    await writeFile(source, pointAt(model, job.file, new Map()), { mode: 0o600 })
    const plain = await load(source, saved)
    const forms = await layOut(job, decode(await readFile(saved)), `${saved}.data`)
    await writeFile(packed, pointAt(model, job.target, forms), { mode: 0o600 })
    await compare(model, plain, await load(packed))
    proven = true
    return byOffset(decode(job.graph), forms)
  } finally {
    for (const graph of graphs) await graph.release()
    for (const name of [source, saved, `${saved}.data`, packed]) await rm(name, { force: true })
    if (!proven) await rm(join(job.directory, job.target), { force: true })
  }
}

function decode(bytes: Uint8Array): Model {
  return ModelProto.decode(bytes) as unknown as Model
}

/** Copies the weights and behind them each part that the engine has saved; the forms by tensor name. */
async function layOut(job: PrepackJob, saved: Model, data: string): Promise<Map<string, PrepackedForm[]>> {
  const target = join(job.directory, job.target)
  await copyFile(join(job.directory, job.file), target, constants.COPYFILE_FICLONE)
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

/** @throws PrepackedDiffersError unless both give equal and finite numbers */
async function compare(model: Model, plain: Graph, packed: Graph): Promise<void> {
  const outputs = model.graph.output.map(({ name }) => name)
  for (const rows of TRIAL_ROWS) {
    const feeds: Record<string, Tensor> = {}
    for (const { name, type } of model.graph.input) {
      const width = Number(type.tensorType.shape.dim[1]!.dimValue)
      feeds[name] = { type: 'float32', dims: [rows, width], data: trialValues(rows * width) }
    }
    const expected = await plain.run(feeds, outputs)
    const actual = await packed.run(feeds, outputs)
    for (const name of outputs) {
      const [left, right] = [bits(expected[name]!), bits(actual[name]!)]
      if (left.compare(right) !== 0 || !(expected[name]!.data as Float32Array).every(Number.isFinite)) {
        throw new PrepackedDiffersError(name, rows)
      }
    }
  }
}

function bits({ data }: Tensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
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
