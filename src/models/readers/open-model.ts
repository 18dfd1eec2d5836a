/** Finds out what kind of model file lies there, by its content and not its name, and reads it. */
import { stat } from 'node:fs/promises'
import { ModelFileError, SourceFileError, UnsupportedModelError } from '../errors.ts'
import { readGgufDecoder } from './gguf-decoder.ts'
import { openGgufParts } from './gguf-shards.ts'
import { GGUF_MAGIC } from './gguf.ts'
import { openHubDecoder } from './hub-decoder.ts'
import { findLlama2cTokenizer } from './llama2c-tokenizer.ts'
import { readLlama2c } from './llama2c.ts'
import { openFileAccess } from './random-access.ts'
import type { RandomAccess } from './random-access.ts'
import type { SourceModel } from './source-model.ts'

export interface OpenModel {
  readonly model: SourceModel
  /** The file or the files that the model's tensors lie in. Close it. */
  readonly access: RandomAccess
}

/**
 * `tokenizer`: the file of the tokenizer, for llama2.c models whose tokenizer is not beside them.
 * @throws SourceFileError, ModelFileError, UnsupportedModelError, TokenizerDataError
 */
export async function openModel(path: string, tokenizer?: string): Promise<OpenModel> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw new SourceFileError(path, cause instanceof Error ? cause.message : String(cause), cause)
  })
  if (stats.isDirectory()) return openHubDecoder(path)
  const access = await openFileAccess(path)
  try {
    if (await isGguf(access)) return await openGguf(path, access)
    return { access, model: await readModel(access, path, tokenizer) }
  } catch (error) {
    await access.close()
    throw error
  }
}

async function isGguf(access: RandomAccess): Promise<boolean> {
  if (access.size < 4) return false
  const head = await access.read(0, 4)
  return new DataView(head.buffer, head.byteOffset).getUint32(0, true) === GGUF_MAGIC
}

/** @param first stays open when this fails */
async function openGguf(path: string, first: RandomAccess): Promise<OpenModel> {
  const { file, access } = await openGgufParts(path, first)
  try {
    return { access, model: await readGgufDecoder(access, undefined, file) }
  } catch (error) {
    if (access !== first) await access.close()
    throw error
  }
}

async function readModel(access: RandomAccess, path: string, tokenizer: string | undefined): Promise<SourceModel> {
  if (access.size === 0) throw new SourceFileError(path, 'it is empty')
  const head = await access.read(0, Math.min(16, access.size))
  const view = new DataView(head.buffer)
  if (head.length >= 4 && view.getUint32(0, false) === GGUF_MAGIC) throw notYet('big-endian GGUF files')
  if (looksLikeSafetensors(head, access.size)) {
    throw new UnsupportedModelError('a safetensors file alone is no model', {
      hint: 'Name the folder that it lies in, with its config.json and tokenizer.json.',
    })
  }
  if (/\.onnx$/i.test(path) || looksLikeOnnx(head)) throw notYet('ONNX files')
  try {
    return await readLlama2c(access, (vocabulary) => findLlama2cTokenizer(path, vocabulary, tokenizer))
  } catch (error) {
    if (!(error instanceof ModelFileError) || /\.bin$/i.test(path)) throw error
    throw new ModelFileError('format', `it is no GGUF file, and as a llama2.c file it fails: ${error.message}`)
  }
}

/** A protobuf message with a small `ir_version` and a `producer_name`; as a llama2.c file it would be absurdly wide. */
function looksLikeOnnx(head: Uint8Array): boolean {
  return head[0] === 0x08 && head[1]! < 32 && head[2] === 0x12
}

/** Eight bytes of length, then JSON. */
function looksLikeSafetensors(head: Uint8Array, size: number): boolean {
  if (head.length < 9 || head[8] !== 0x7b) return false
  return new DataView(head.buffer).getBigUint64(0, true) < BigInt(size)
}

function notYet(what: string): UnsupportedModelError {
  return new UnsupportedModelError(`${what} are not yet supported`, {
    why: 'this release imports GGUF files, llama2.c files and folders of safetensors',
    hint: 'Take the GGUF file of the model.',
  })
}
