/**
 * SentencePiece's own file, `tokenizer.model`: a protobuf message (google/sentencepiece, sentencepiece_model.proto) of
 * pieces and of how it was trained. Lengths are held against the bytes that are there before anything is read.
 */
import { TokenizerDataError, UnsupportedModelError } from '../errors.ts'
import { TOKEN_TYPE } from '../tokenizer/definition.ts'
import { SPACE_MARK } from '../tokenizer/vocabulary.ts'
import { MAX_VOCABULARY } from './limits.ts'

export interface SentencePieceModel {
  readonly tokens: readonly string[]
  readonly scores: readonly number[]
  /** The format's own numbers are those of `TOKEN_TYPE`. */
  readonly types: readonly number[]
  readonly addSpacePrefix: boolean
  readonly unk: number | null
  readonly bos: number | null
  readonly eos: number | null
  readonly pad: number | null
}

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
/** `TrainerSpec.ModelType`. */
const KINDS = ['', 'Unigram', 'BPE', 'words', 'characters'] as const
const BPE = 2

/** What a field has: a number, or the bytes of a text or a message. */
type Fields = ReadonlyMap<number, readonly (number | Uint8Array)[]>

/** @throws TokenizerDataError, UnsupportedModelError when it is no BPE, or changes texts before it cuts them */
export function readSentencePiece(bytes: Uint8Array): SentencePieceModel {
  const model = fieldsOf(bytes)
  const pieces = model.get(1) ?? []
  if (pieces.length > MAX_VOCABULARY) throw malformed(`${pieces.length} pieces are over ${MAX_VOCABULARY}`)
  const trainer = message(model, 2)
  const normalizer = message(model, 3)
  const kind = number(trainer, 3, 1)
  if (kind !== BPE) {
    throw new UnsupportedModelError(`a tokenizer.model of type ${KINDS[kind] ?? kind} is not supported`, {
      why: 'weft reads BPE from it',
      hint: 'Save the tokenizer again with transformers: that writes a tokenizer.json.',
    })
  }
  const map = normalizer.get(2)?.at(-1)
  if ((map instanceof Uint8Array && map.length > 0) || number(normalizer, 4, 1) === 1) {
    throw new UnsupportedModelError('a tokenizer.model that normalises texts is not supported', {
      why: 'weft reads those that take a text as it is, spaces too',
      hint: 'Save the tokenizer again with transformers: that writes a tokenizer.json.',
    })
  }
  const tokens: string[] = []
  const scores: number[] = []
  const types: number[] = []
  for (const piece of pieces) {
    const fields = piece instanceof Uint8Array ? fieldsOf(piece) : NONE
    const type = number(fields, 3, TOKEN_TYPE.normal)
    const text = textOf(fields.get(1)?.at(-1))
    // Of a text as it comes, these are cut out before its spaces become marks.
    tokens.push(type === TOKEN_TYPE.userDefined ? text.replaceAll(SPACE_MARK, ' ') : text)
    scores.push(number(fields, 2, 0))
    types.push(type)
  }
  const id = (field: number, fallback: number): number | null => {
    const found = number(trainer, field, fallback) | 0
    return found >= 0 && found < tokens.length ? found : null
  }
  const named = { unk: id(40, 0), bos: id(41, 1), eos: id(42, 2), pad: id(43, -1) }
  return { tokens, scores, types, addSpacePrefix: number(normalizer, 3, 1) === 1, ...named }
}

const NONE: Fields = new Map()

function message(fields: Fields, field: number): Fields {
  const found = fields.get(field)?.at(-1)
  return found instanceof Uint8Array ? fieldsOf(found) : NONE
}

function number(fields: Fields, field: number, fallback: number): number {
  const found = fields.get(field)?.at(-1)
  return typeof found === 'number' ? found : fallback
}

function textOf(value: number | Uint8Array | undefined): string {
  if (!(value instanceof Uint8Array)) throw malformed('a piece has no text')
  try {
    return UTF8.decode(value)
  } catch {
    throw malformed('a piece is not UTF-8')
  }
}

function fieldsOf(bytes: Uint8Array): Fields {
  const fields = new Map<number, (number | Uint8Array)[]>()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined) throw malformed('it ends inside a number')
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw malformed('a number has more than ten bytes')
  }
  const take = (length: number): number => {
    if (length > bytes.length - at) throw malformed(`a field claims ${length} bytes, and ${bytes.length - at} are left`)
    at += length
    return at - length
  }
  while (at < bytes.length) {
    const tag = varint()
    const [field, wire] = [Math.floor(tag / 8), tag % 8]
    const values = fields.get(field) ?? []
    fields.set(field, values)
    if (wire === WIRE.varint) values.push(varint())
    else if (wire === WIRE.fixed32) values.push(view.getFloat32(take(4), true))
    else if (wire === WIRE.fixed64) values.push(view.getFloat64(take(8), true))
    else if (wire === WIRE.bytes) {
      const length = varint()
      const start = take(length)
      values.push(bytes.subarray(start, start + length))
    } else throw malformed(`there is no wire type ${wire} in it`)
  }
  return fields
}

function malformed(why: string): TokenizerDataError {
  return new TokenizerDataError(`tokenizer.model: ${why}`)
}
