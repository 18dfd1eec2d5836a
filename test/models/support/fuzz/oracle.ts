/** What may become of a hostile file: an error of weft's with a code, or a model that works. All else is a finding. */
import { WeftError } from '../../../../src/errors.ts'
import { makeBlock, planBlocks } from '../../../../src/models/blocks.ts'
import { checkManifest, createTokenizer, manifestDigest } from '../../../../src/models/index.ts'
import type { ModelManifest, TensorRef, Tokenizer } from '../../../../src/models/index.ts'
import { readGgufDecoder } from '../../../../src/models/readers/gguf-decoder.ts'
import { parseLlama2cTokenizer } from '../../../../src/models/readers/llama2c-tokenizer.ts'
import { memoryAccess } from '../../../../src/models/readers/random-access.ts'
import type { SourceModel } from '../../../../src/models/readers/source-model.ts'
import { createChunkHasher, addressOfHashes } from '../../../../src/store/index.ts'

const TEXT = "Hello ab  abc\n\n\u00fc\u4f60\ud83d\ude00 <s> 123 \u0000 it's"
const SOME_ADDRESS = addressOfHashes(createChunkHasher().finish())

export interface Verdict {
  /** The code of the refusal; null: the model works. */
  readonly code: string | null
  readonly model?: SourceModel
  readonly manifest?: ModelManifest
}

/** @throws a finding */
export async function judge(bytes: Uint8Array): Promise<Verdict> {
  try {
    const model = await readGgufDecoder(memoryAccess(bytes))
    const manifest = manifestOf(model)
    useTokenizer(createTokenizer(model.tokenizer), model.shape.vocabulary)
    return { code: null, model, manifest }
  } catch (error) {
    return { code: codeOf(error) }
  }
}

/** @throws the error where it is no refusal */
function codeOf(error: unknown): string {
  if (!(error instanceof WeftError) || !/^WEFT-[A-Z]{3}-\d{3}$/.test(error.code)) throw error
  if (error.code === 'WEFT-INT-001') throw error
  if (error.message.length > 500) throw new Error(`a message of ${error.message.length} characters`, { cause: error })
  return error.code
}

/** A tokenizer file of llama2.c. @throws a finding */
export function judgeTokenizer(bytes: Uint8Array, vocabulary: number): Verdict {
  try {
    useTokenizer(createTokenizer(parseLlama2cTokenizer(bytes, vocabulary)), vocabulary)
    return { code: null }
  } catch (error) {
    return { code: codeOf(error) }
  }
}

/** What an import would write down: it must be a manifest that a stage host takes. */
export function manifestOf(model: SourceModel, address: (name: string) => string = () => SOME_ADDRESS): ModelManifest {
  const { shape, tensors } = model
  const refs = new Map<string, TensorRef>()
  for (const { name, type, shape: dimensions, bytes } of tensors.values()) {
    refs.set(name, { name, type, shape: dimensions, bytes, address: address(name) })
  }
  const blocks = planBlocks(shape, !refs.has('output.weight')).map(({ kind, tensors: own }) =>
    makeBlock(
      kind,
      own.map(({ name }) => refs.get(name)!),
      'auto',
      shape,
    ),
  )
  const content = { shape, boundary: 'f16' as const, tokenizer: { address: SOME_ADDRESS, bytes: 1 }, blocks }
  const about = { schema: 'weft.manifest/1', model: 'fuzzed', license: 'none', source: 'fuzz' } as const
  return checkManifest({ ...about, ...content, digest: manifestDigest(content) })
}

function useTokenizer(tokenizer: Tokenizer, vocabulary: number): void {
  for (const options of [{}, { special: true }] as const) {
    const ids = tokenizer.encode(TEXT, options)
    const strange = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabulary))
    if (strange !== undefined) throw new Error(`token ${strange} of ${vocabulary}`)
    const text = tokenizer.decode(ids, options)
    const stream = tokenizer.stream(options)
    if (ids.map((id) => stream.push(id)).join('') + stream.end() !== text) throw new Error('the stream differs')
  }
  const { ids } = tokenizer.encodeChat([{ role: 'user', content: TEXT }])
  if (ids.some((id) => !(id >= 0 && id < vocabulary))) throw new Error('a chat with strange tokens')
}
