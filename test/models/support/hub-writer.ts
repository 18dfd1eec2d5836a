/** Writes folders in the hub's layout: safetensors, whole or in shards, sound ones and such as lie; and their tokenizers. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface HubTensor {
  readonly shape: readonly number[]
  readonly values: Float32Array
}

export type HubTensors = ReadonlyMap<string, HubTensor>
export type HubType = 'F32' | 'F16' | 'BF16'

const BYTES: Readonly<Record<HubType, number>> = { F32: 4, F16: 2, BF16: 2 }

function bytesOf(values: Float32Array, type: HubType): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  if (type === 'F16') return new Uint8Array(new Float16Array(values).buffer)
  // The upper half of a float32: what is cut off is nothing where the values were rounded before.
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  return new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer)
}

/** A file of a header, as it stands, and data. */
export function safetensorsFile(header: string | Uint8Array, data: Uint8Array, length?: bigint): Uint8Array {
  const text = Buffer.from(header)
  const prefix = new Uint8Array(8)
  new DataView(prefix.buffer).setBigUint64(0, length ?? BigInt(text.length), true)
  return Buffer.concat([prefix, text, data])
}

export function safetensors(tensors: HubTensors, type: HubType = 'F32'): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  const pieces: Uint8Array[] = []
  let at = 0
  for (const [name, { shape, values }] of tensors) {
    const bytes = values.length * BYTES[type]
    header[name] = { dtype: type, shape, data_offsets: [at, at + bytes] }
    pieces.push(bytesOf(values, type))
    at += bytes
  }
  return safetensorsFile(JSON.stringify(header), Buffer.concat(pieces))
}

export interface HubFolder {
  readonly config: Readonly<Record<string, unknown>>
  readonly tensors: HubTensors
  readonly tokenizer: object
  readonly type?: HubType
  /** @default 1 */
  readonly shards?: number
  /** Further files, by name. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
}

export function writeHubFolder(path: string, folder: HubFolder): string {
  mkdirSync(path, { recursive: true })
  const put = (name: string, content: string | Uint8Array): void => writeFileSync(join(path, name), content)
  put('config.json', JSON.stringify(folder.config))
  put('tokenizer.json', JSON.stringify(folder.tokenizer))
  put('tokenizer_config.json', JSON.stringify({ bos_token: '<s>', eos_token: '</s>' }))
  const count = folder.shards ?? 1
  if (count === 1) put('model.safetensors', safetensors(folder.tensors, folder.type))
  else writeShards(put, folder, count)
  for (const [name, content] of Object.entries(folder.files ?? {})) put(name, content)
  return path
}

function writeShards(
  put: (name: string, content: string | Uint8Array) => void,
  folder: HubFolder,
  count: number,
): void {
  const weight_map: Record<string, string> = {}
  const all = [...folder.tensors]
  for (let shard = 0; shard < count; shard++) {
    const name = `model-${shard + 1}-of-${count}.safetensors`
    const own = all.filter((_, index) => index % count === shard)
    for (const [tensor] of own) weight_map[tensor] = name
    put(name, safetensors(new Map(own), folder.type))
  }
  put('model.safetensors.index.json', JSON.stringify({ metadata: { total_size: 0 }, weight_map }))
}

/** SentencePiece's kind with byte tokens: `<unk>`, `<s>`, `</s>`, 256 bytes, the mark, letters, a few merges. */
export function byteTokenizer(): { readonly tokens: number; readonly json: object } {
  const vocab: Record<string, number> = { '<unk>': 0, '<s>': 1, '</s>': 2 }
  const add = (text: string): void => {
    vocab[text] = Object.keys(vocab).length
  }
  for (let byte = 0; byte < 256; byte++) add(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  for (const letter of '\u2581abcdefghijklmnopqrstuvwxyz') add(letter)
  const merges = [
    ['t', 'h'],
    ['th', 'e'],
    ['\u2581', 'the'],
    ['\u2581', 'a'],
  ] as const
  for (const [left, right] of merges) add(left + right)
  const special = ['<unk>', '<s>', '</s>'].map((content, id) => ({ id, content, special: true, normalized: false }))
  const json = {
    added_tokens: special,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '\u2581' },
        { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    },
    model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true, vocab, merges },
  }
  return { tokens: Object.keys(vocab).length, json }
}
