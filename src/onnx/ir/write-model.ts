/** Writes a model as plain ONNX: one file, and one beside it for its weights when they are large. */
import { basename, dirname, join } from 'node:path'
import { createTemporary, explainDisk, writeAll } from '../../store/index.ts'
import type { TemporaryFile } from '../../store/index.ts'
import { OnnxUnwritableError } from './errors.ts'
import { MOST_FILE_BYTES } from './limits.ts'
import { planWeights } from './plan-weights.ts'
import { RangeSource } from './range-source.ts'
import type { Model } from './types.ts'
import { encodeModel } from './write-graph.ts'
import type { Piece } from './wire-writer.ts'

export interface WriteOptions {
  /** Whether large initializers go to a file of their own; `auto`: when all of them have more than `inlineMost` bytes. */
  readonly external?: 'auto' | 'always' | 'never'
  /** Bytes; 64 MiB. */
  readonly inlineMost?: number
  /** Initializers from this many bytes on go to that file; 1,024. */
  readonly externalFrom?: number
  /** Name of that file, in the folder of the model; `<name of the model>.data`. */
  readonly dataName?: string
}

export interface WrittenModel {
  /** Absolute or relative as `path` was; the model first. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[]
}

const INLINE_MOST = 64 * 2 ** 20
const EXTERNAL_FROM = 1024

/**
 * Equal models give equal bytes. Weights are copied piece by piece from where they lie. Each file appears whole or not
 * at all, the weights before the model. A model that was read from `path` itself must be read again afterwards: its
 * ranges are those of the old file.
 * @throws OnnxUnwritableError, TensorSizeError, TensorReadError, DiskFullError, StoreUnwritableError
 */
export async function writeModel(model: Model, path: string, options: WriteOptions = {}): Promise<WrittenModel> {
  const dataName = options.dataName ?? `${basename(path)}.data`
  if (dataName !== basename(dataName) || ['', '.', '..', basename(path)].includes(dataName)) {
    throw new OnnxUnwritableError(path, 'the name of its data file is no name of a file beside it')
  }
  const weights = planWeights(model, dataName, {
    external: options.external ?? 'auto',
    inlineMost: options.inlineMost ?? INLINE_MOST,
    externalFrom: options.externalFrom ?? EXTERNAL_FROM,
  })
  const { pieces, bytes } = encodeModel(path, model, weights.stored)
  if (bytes > MOST_FILE_BYTES) throw new OnnxUnwritableError(path, `its file would have ${bytes} bytes, over 2 GiB`)
  const target = { path, bytes, pieces: pieces.map((piece) => ({ piece })) }
  if (weights.stored.size === 0) return await writeFiles([target])
  const dataPath = join(dirname(path), dataName)
  return await writeFiles([target, { path: dataPath, bytes: weights.bytes, pieces: weights.pieces }])
}

interface Target {
  readonly path: string
  readonly bytes: number
  /** Without an offset: after the one before. */
  readonly pieces: readonly { readonly piece: Piece; readonly offset?: number }[]
}

/** All are written before the first is put in its place, the last one first. */
async function writeFiles(targets: readonly Target[]): Promise<WrittenModel> {
  const written: { readonly file: TemporaryFile; readonly target: Target }[] = []
  const source = new RangeSource()
  const needed = targets.reduce((sum, { bytes }) => sum + bytes, 0)
  try {
    for (const target of targets) {
      const file = await createTemporary(dirname(target.path), basename(target.path).slice(0, 100))
      written.push({ file, target })
      await writePieces(file, target, source)
    }
    for (const { file, target } of written.toReversed()) await file.commit(target.path)
  } catch (error) {
    for (const { file } of written) await file.discard()
    throw await explainDisk(error, dirname(targets[0]!.path), needed)
  } finally {
    await source.close()
  }
  return { files: targets.map(({ path, bytes }) => ({ path, bytes })) }
}

async function writePieces({ handle }: TemporaryFile, { pieces }: Target, source: RangeSource): Promise<void> {
  let at = 0
  for (const { piece, offset } of pieces) {
    at = offset ?? at
    for await (const bytes of piece instanceof Uint8Array ? [piece] : source.pieces(piece)) {
      await writeAll(handle, bytes, at)
      at += bytes.length
    }
  }
}
