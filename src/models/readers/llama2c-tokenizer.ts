/** llama2.c's tokenizer file: int32 longest piece, then for each token float32 score, int32 length and its bytes. */
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { TokenizerDataError } from '../errors.ts'
import { TOKEN_TYPE, TOKENIZER_SCHEMA } from '../tokenizer/definition.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import { checkTokenizerDefinition } from './check-tokenizer.ts'
import { MAX_VOCABULARY } from './limits.ts'
import { openFileAccess } from './random-access.ts'

/** Pieces have a few letters; SentencePiece allows 16 characters unless told otherwise. */
const MAX_PIECE_BYTES = 1024
/** 1 Mi tokens of 64 bytes. */
const MAX_FILE_BYTES = 1 << 26
/** Names under which the tokenizer of a model lies beside it. */
const FILE_NAME = /^(tok.*|tokenizer)\.bin$/
const BYTE_PIECE = /^<0x[0-9A-F]{2}>$/
const SPACE = '\u2581'

/** @throws TokenizerDataError when the file is not that of a vocabulary of this size */
export function parseLlama2cTokenizer(bytes: Uint8Array, vocabulary: number): TokenizerDefinition {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const tokens: string[] = []
  const scores: number[] = []
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let at = 4
  while (tokens.length < vocabulary) {
    const where = `token ${tokens.length}`
    if (at + 8 > bytes.length) throw tooShort(tokens.length, vocabulary)
    const length = view.getInt32(at + 4, true)
    if (length < 0 || length > MAX_PIECE_BYTES) throw new TokenizerDataError(`${where} has a length of ${length} bytes`)
    if (at + 8 + length > bytes.length) throw tooShort(tokens.length, vocabulary)
    scores.push(view.getFloat32(at, true))
    try {
      tokens.push(decoder.decode(bytes.subarray(at + 8, at + 8 + length)))
    } catch {
      throw new TokenizerDataError(`${where} is not UTF-8`)
    }
    at += 8 + length
  }
  if (at !== bytes.length) throw new TokenizerDataError(`the tokenizer has more than ${vocabulary} tokens`)
  const definition = define(tokens, scores)
  checkTokenizerDefinition(definition)
  return definition
}

function tooShort(found: number, vocabulary: number): TokenizerDataError {
  return new TokenizerDataError(`the tokenizer ends after ${found} tokens; the model has ${vocabulary}`)
}

function define(raw: readonly string[], scores: readonly number[]): TokenizerDefinition {
  // The exporter writes spaces for U+2581 and puts line breaks around the two markers.
  const tokens = raw.map((piece, id) => {
    if (id === 1 || id === 2) return piece.trim()
    return piece.replaceAll(' ', SPACE)
  })
  const types = tokens.map((piece, id) => {
    if (id === 0) return TOKEN_TYPE.unknown
    if (id === 1 || id === 2) return TOKEN_TYPE.control
    return BYTE_PIECE.test(piece) ? TOKEN_TYPE.byte : TOKEN_TYPE.normal
  })
  return {
    schema: TOKENIZER_SCHEMA,
    kind: 'spm',
    pre: 'default',
    tokens,
    types,
    scores,
    bos: 1,
    eos: 2,
    unk: 0,
    pad: null,
    // Its models are trained on texts that bos divides: run.c, too, takes it for the end.
    eot: 1,
    add_bos: true,
    add_eos: false,
    add_space_prefix: true,
    chat_template: null,
  }
}

/**
 * The tokenizer of a llama2.c model: the file that is named, else the one beside the model whose count is right.
 * @throws TokenizerDataError
 */
export async function findLlama2cTokenizer(
  model: string,
  vocabulary: number,
  named?: string,
): Promise<TokenizerDefinition> {
  if (vocabulary > MAX_VOCABULARY) throw new TokenizerDataError(`a vocabulary of ${vocabulary} is not possible`)
  if (named !== undefined) return parseLlama2cTokenizer(await readSmall(named), vocabulary)
  const folder = dirname(model)
  const names = (await readdir(folder)).filter((name) => FILE_NAME.test(name)).toSorted()
  const reasons: string[] = []
  for (const name of names) {
    try {
      return parseLlama2cTokenizer(await readSmall(join(folder, name)), vocabulary)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      reasons.push(`${name}: ${error.message}`)
    }
  }
  throw new TokenizerDataError(`no tokenizer of ${vocabulary} tokens lies beside the model`, {
    why: reasons.length === 0 ? 'there is no tok*.bin or tokenizer.bin in its folder' : reasons.join('; '),
  })
}

async function readSmall(path: string): Promise<Uint8Array> {
  const file = await openFileAccess(path)
  try {
    if (file.size > MAX_FILE_BYTES) throw new TokenizerDataError(`a tokenizer of ${file.size} bytes is not possible`)
    return await file.read(0, file.size)
  } finally {
    await file.close()
  }
}
