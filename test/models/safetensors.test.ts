/** Folders in the hub's layout that are not what they say: a coded refusal, nothing read elsewhere, nothing left behind. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import { importModel } from '../../src/models/index.ts'
import { openHubDecoder } from '../../src/models/readers/hub-decoder.ts'
import { parseJson } from '../../src/models/readers/json-document.ts'
import { memoryAccess } from '../../src/models/readers/random-access.ts'
import { readSafetensors } from '../../src/models/readers/safetensors.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { hubModel, TOKENIZER } from './support/hub-models.ts'
import { safetensors, safetensorsFile, writeHubFolder } from './support/hub-writer.ts'
import type { HubFolder } from './support/hub-writer.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-safetensors-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
let count = 0

const read = (bytes: Uint8Array) => readSafetensors(memoryAccess(bytes), 'm.safetensors')
const table = (tensors: Readonly<Record<string, unknown>>, data = 8): Uint8Array =>
  safetensorsFile(JSON.stringify(tensors), new Uint8Array(data))
const entry = (from: number, to: number, more: object = {}): object => ({
  dtype: 'F32',
  shape: [(to - from) / 4],
  data_offsets: [from, to],
  ...more,
})

describe('readSafetensors', () => {
  it('says where each tensor lies, scalars and empty ones included', async () => {
    const file = table({
      __metadata__: { format: 'pt' },
      b: entry(4, 8, { shape: [] }),
      a: entry(0, 4),
      none: entry(8, 8),
    })
    const start = file.length - 8
    expect(await read(file)).toEqual([
      { name: 'b', type: 'F32', shape: [1], offset: start + 4, bytes: 4 },
      { name: 'a', type: 'F32', shape: [1], offset: start, bytes: 4 },
      { name: 'none', type: 'F32', shape: [0], offset: start + 8, bytes: 0 },
    ])
  })

  it.each([
    ['a length past the end', safetensorsFile('{}', new Uint8Array(8), 999n), '002', /ends at byte 1007/],
    ['a length of 2^63', safetensorsFile('{}', new Uint8Array(8), 2n ** 63n), '002', /over 100000000/],
    ['no header', new Uint8Array(5), '002', /5 bytes are no safetensors file/],
    ['a header that is not JSON', safetensorsFile('{"a": nothing}', new Uint8Array(8)), '002', /not JSON/],
    ['a header that is a list', safetensorsFile('[]', new Uint8Array(0)), '002', /no JSON object/],
    [
      'a header of depth 100',
      safetensorsFile('['.repeat(100) + ']'.repeat(100), new Uint8Array(0)),
      '002',
      /levels deep/,
    ],
    ['bytes past the end', table({ a: entry(0, 12) }), '002', /0 to 12 are not in the 8/],
    ['offsets the wrong way round', table({ a: entry(8, 4, { shape: [1] }) }), '002', /8 to 4 are not in/],
    ['a negative offset', table({ a: entry(-4, 4) }), '002', /whole numbers/],
    ['an offset of 2^60', table({ a: entry(0, 2 ** 60, { shape: [1] }) }), '002', /(whole numbers|are not in)/],
    ['three offsets', table({ a: entry(0, 8, { data_offsets: [0, 4, 8] }) }), '002', /no two offsets/],
    ['no offsets', table({ a: { dtype: 'F32', shape: [2] } }), '002', /data_offsets: it is missing/],
    ['two tensors over one another', table({ a: entry(0, 8), b: entry(4, 8) }), '002', /lies over another/],
    ['a hole', table({ a: entry(4, 8) }), '002', /a hole before it/],
    ['bytes of nobody at the end', table({ a: entry(0, 4) }), '002', /end at byte \d+, the file at/],
    [
      'the same name twice',
      safetensorsFile(`{"a":${JSON.stringify(entry(0, 4))},"a":${JSON.stringify(entry(4, 8))}}`, new Uint8Array(8)),
      '002',
      /a name stands there twice/,
    ],
    ['a shape that does not fit', table({ a: entry(0, 8, { shape: [3] }) }), '002', /\[3\] of F32 do not have 8 bytes/],
    ['a shape that overflows', table({ a: entry(0, 8, { shape: [2 ** 40, 2 ** 40] }) }), '002', /do not have 8 bytes/],
    ['a shape of half an element', table({ a: entry(0, 8, { shape: [0.5, 4] }) }), '002', /whole numbers/],
    ['another type than its bytes', table({ a: entry(0, 8, { dtype: 'F16' }) }), '002', /of F16 do not have/],
    ['a type that weft does not read', table({ a: entry(0, 8, { dtype: 'F8_E4M3' }) }), '003', /stored as F8_E4M3/],
    ['a type that does not exist', table({ a: entry(0, 8, { dtype: 'Q4_K' }) }), '002', /none of the format/],
    ['no type', table({ a: { shape: [2], data_offsets: [0, 8] } }), '002', /none of the format/],
    ['a name of 300 bytes', table({ ['a'.repeat(300)]: entry(0, 8) }), '002', /of no use/],
    [
      '200,000 lists',
      safetensorsFile(`{"a":[${'[],'.repeat(200_000)}[]]}`, new Uint8Array(0)),
      '002',
      /200003 objects/,
    ],
    ['an entry that is a number', table({ a: 1 }), '002', /no JSON object/],
  ] as const)('refuses %s', async (_, bytes, code, says) => {
    const error = await read(bytes).catch((thrown: unknown) => thrown)
    expect((error as Error).message).toMatch(says)
    expect(error).toMatchObject({ code: `WEFT-MOD-${code}` })
  })

  it('keeps a tensor __proto__ as a name', async () => {
    const header = `{"__proto__":${JSON.stringify(entry(0, 8))}}`
    expect((await read(safetensorsFile(header, new Uint8Array(8))))[0]).toMatchObject({ name: '__proto__' })
  })

  it('takes any bytes for a file or refuses them with a code', async () => {
    const sound = safetensors(hubModel('llama').tensors)
    const edits = fc.array(fc.tuple(fc.nat(2_000), fc.nat(255)), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(edits, fc.nat(sound.length), async (changes, cut) => {
        const bytes = sound.slice(0, cut % 5 === 0 ? cut : sound.length)
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
        const outcome: unknown = await read(bytes).catch((error: unknown) => error)
        if (Array.isArray(outcome)) return
        expect(outcome).toBeInstanceOf(WeftError)
      }),
      { numRuns: 150, seed: 41 },
    )
  })
})

describe('JSON from strangers', () => {
  it('may have brackets in its texts', () => {
    const text = JSON.stringify({ a: '['.repeat(1000), b: '\\"[[' })
    expect(parseJson(Buffer.from(text), 'm')).toEqual(JSON.parse(text))
    expect(() => parseJson(Buffer.from('{"a":"\xff"}', 'latin1'), 'm')).toThrow(/not JSON/)
    expect(() => parseJson(Buffer.from('{"a":"'), 'm')).toThrow(/not JSON/)
  })
})

const sound: HubFolder = { ...hubModel('qwen2'), tokenizer: TOKENIZER, shards: 2 }
const folder = (more: Partial<HubFolder> = {}): string =>
  writeHubFolder(join(base, `m-${count++}`), { ...sound, ...more })
const config = (more: Readonly<Record<string, unknown>>): string => folder({ config: { ...sound.config, ...more } })
const index = (weight_map: unknown): string =>
  folder({ files: { 'model.safetensors.index.json': JSON.stringify({ weight_map }) } })
const INDEX = Object.fromEntries(
  [...sound.tensors.keys()].map((name, at) => [name, `model-${(at % 2) + 1}-of-2.safetensors`]),
)
const NAME = 'model.embed_tokens.weight'
const tensorsWith = (name: string, shape: readonly number[]): HubFolder['tensors'] =>
  new Map([...sound.tensors, [name, { shape, values: new Float32Array(shape.reduce((a, b) => a * b, 1)) }]])

function without(file: string): string {
  const path = folder()
  rmSync(join(path, file))
  return path
}

/** A file of the folder lies outside, and a link leads there. */
function linked(file: string): string {
  const path = folder()
  const outside = join(base, `outside-${count++}`)
  renameSync(join(path, file), outside)
  symlinkSync(outside, join(path, file))
  return path
}

describe('a folder that weft cannot take', () => {
  it.each([
    ['no configuration', () => without('config.json'), '003', /no config.json/],
    ['no tokenizer', () => without('tokenizer.json'), '003', /neither tokenizer.json nor tokenizer.model/],
    ['no weights', () => without('model.safetensors.index.json'), '003', /neither model.safetensors nor/],
    ['a shard missing', () => without('model-2-of-2.safetensors'), '002', /not in the folder/],
    ['an index that is no object', () => index([]), '002', /no JSON object/],
    ['an empty index', () => index({}), '002', /0 tensors/],
    [
      'an index that leads out',
      () => index({ ...INDEX, [NAME]: '../secret.safetensors' }),
      '002',
      /not the name of a file/,
    ],
    [
      'an index with an absolute path',
      () => index({ ...INDEX, [NAME]: '/etc/passwd' }),
      '002',
      /not the name of a file/,
    ],
    [
      'an index that swaps its files',
      () => index({ ...INDEX, [NAME]: 'model-2-of-2.safetensors' }),
      '002',
      /does not say so/,
    ],
    [
      'an index with a tensor that is not there',
      () => index({ ...INDEX, ghost: 'model-1-of-2.safetensors' }),
      '002',
      /"ghost"/,
    ],
    ['weights by a link that leads out', () => linked('model-1-of-2.safetensors'), '002', /leads out/],
    ['a configuration by a link that leads out', () => linked('config.json'), '002', /leads out/],
    ['another architecture', () => config({ model_type: 'mamba' }), '003', /"mamba"/],
    ['no architecture', () => config({ model_type: undefined }), '002', /model_type/],
    ['quantised weights', () => config({ quantization_config: { bits: 4 } }), '003', /quantised/],
    ['another activation', () => config({ hidden_act: 'relu' }), '003', /"relu"/],
    [
      'a scaling by length',
      () => config({ rope_parameters: { rope_type: 'proportional', factor: 2 } }),
      '003',
      /"proportional"/,
    ],
    [
      'layers of another type',
      () => config({ use_sliding_window: true, layer_types: ['chunked_attention', '', ''] }),
      '003',
      /layers of type/,
    ],
    ['a width that its tensors do not have', () => config({ hidden_size: 96 }), '002', /shape/],
    [
      'a layer too many',
      () => config({ num_hidden_layers: 4 }),
      '002',
      /blk.3.attn_norm.weight: the tensor is missing/,
    ],
    ['a layer too few', () => config({ num_hidden_layers: 2 }), '003', /no place for it|not supported/],
    ['half a layer', () => config({ num_hidden_layers: 2.5 }), '002', /no whole number/],
    ['a vocabulary of another size', () => config({ vocab_size: 7 }), '002', /shape/],
    [
      'a head that is missing',
      () => folder({ tensors: new Map([...sound.tensors].filter(([name]) => name !== 'lm_head.weight')) }),
      '002',
      /lm_head/,
    ],
    [
      'a tensor of another graph',
      () => folder({ tensors: tensorsWith('model.layers.0.self_attn.sinks', [4]) }),
      '003',
      /sinks/,
    ],
    [
      'a bias where none belongs',
      () => folder({ tensors: tensorsWith('model.layers.0.input_layernorm.bias', [64]) }),
      '003',
      /bias/,
    ],
    [
      'a tokenizer of another kind',
      () => folder({ tokenizer: { model: { type: 'WordLevel', vocab: {} } } }),
      '003',
      /"WordLevel"/,
    ],
    [
      'a tokenizer with more tokens than rows',
      () => folder({ tokenizer: { ...TOKENIZER, model: { type: 'BPE', vocab: { a: 9999 }, merges: [] } } }),
      '002',
      /9999/,
    ],
    [
      'a pre-tokenizer that is not known',
      () => folder({ tokenizer: { ...TOKENIZER, pre_tokenizer: { type: 'BertPreTokenizer' } } }),
      '003',
      /"BertPreTokenizer"/,
    ],
    ['a configuration of 2 MB', () => folder({ files: { 'config.json': ' '.repeat(2 << 20) } }), '002', /are over/],
    [
      'a template that is not UTF-8',
      () => folder({ files: { 'chat_template.jinja': Uint8Array.of(255) } }),
      '005',
      /UTF-8/,
    ],
  ] as const)('is refused with a code: %s', async (_, make, code, says) => {
    const error: unknown = await openHubDecoder(make()).catch((thrown: unknown) => thrown)
    expect((error as Error).message).toMatch(says)
    expect(error).toMatchObject({ code: `WEFT-MOD-${code}` })
  })

  it('leaves nothing in the store, and the same folder made sound is taken the next time', async () => {
    const home = join(base, `home-${count++}`)
    const store = await createBlobStore({ directory: join(home, 'store') })
    const needs = {
      store,
      clock: systemClock(),
      directory: join(home, 'partitions'),
      downloads: join(home, 'downloads'),
    }
    const source = folder()
    renameSync(join(source, 'tokenizer.json'), join(source, 'aside.json'))
    await expect(importModel(needs, { source })).rejects.toMatchObject({ code: 'WEFT-MOD-003' })
    expect(await Array.fromAsync(store.list())).toEqual([])
    renameSync(join(source, 'aside.json'), join(source, 'tokenizer.json'))
    const manifest = await importModel(needs, { source: `${source}/` })
    expect(manifest).toMatchObject({ model: source.split('/').at(-1), shape: { family: 'qwen2' }, boundary: 'f16' })
  })
})

describe("the hub's cache", () => {
  it('is a folder of links into its blobs', async () => {
    const model = join(base, 'models--owner--name')
    const snapshot = join(model, 'snapshots', 'abc')
    const whole = folder({ shards: 1 })
    mkdirSync(join(model, 'blobs'), { recursive: true })
    mkdirSync(snapshot, { recursive: true })
    for (const [at, file] of ['config.json', 'tokenizer.json', 'model.safetensors'].entries()) {
      renameSync(join(whole, file), join(model, 'blobs', `blob${at}`))
      symlinkSync(join('..', '..', 'blobs', `blob${at}`), join(snapshot, file))
    }
    const { model: read, access } = await openHubDecoder(snapshot)
    expect(read).toMatchObject({ format: 'safetensors', shape: { family: 'qwen2' } })
    await access.close()
    writeFileSync(join(model, 'secret'), '{}')
    symlinkSync(join('..', '..', 'secret'), join(snapshot, 'generation_config.json'))
    await expect(openHubDecoder(snapshot)).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
  })
})
