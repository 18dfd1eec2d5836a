/** ONNX files with a tokenizer beside them: which file is taken, what is read of them, and where the tokenizer goes. */
import { createHash } from 'node:crypto'
import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  checkAnyManifest,
  createTokenizer,
  encoderOf,
  graphDigest,
  importAnyInChild,
  isGraphManifest,
  languageModel,
  manifestAddresses,
  removeUnused,
  tokenizerOf,
  writeBundle,
} from '../../src/models/index.ts'
import type { ChildImportNeeds, GraphManifest, TokenizerDefinition } from '../../src/models/index.ts'
import { recogniseText } from '../../src/models/graph/recognise-text.ts'
import { readGraphText } from '../../src/models/readers/graph-text.ts'
import { onnxAmong, onnxOfFolder, tokenizerFolder } from '../../src/models/readers/onnx-folder.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { canonicalJson, systemClock } from '../../src/util/index.ts'
import { CONTEXT, VOCABULARY, WIDTH, writeEncoderFolder } from './support/tiny-encoder.ts'

let base: string
let needs: ChildImportNeeds
let manifest: GraphManifest

async function homeAt(name: string): Promise<ChildImportNeeds> {
  const home = join(base, name)
  return {
    clock: systemClock(),
    store: await createBlobStore({ directory: join(home, 'store') }),
    storeDirectory: join(home, 'store'),
    directory: join(home, 'partitions'),
    downloads: join(home, 'downloads'),
    codeCache: join(home, 'cache', 'code'),
  }
}

async function imported(source: string, into = needs, force = true): Promise<GraphManifest> {
  const made = await importAnyInChild(into, { source, force })
  if (!isGraphManifest(made)) throw new Error('it is no graph')
  return made
}

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'weft-graph-text-'))
  needs = await homeAt('home')
  manifest = await imported(await writeEncoderFolder(join(base, 'Encoder'), { types: true }))
})
afterAll(() => rm(base, { recursive: true, force: true }))

const ENDS = {
  inputs: [{ name: 'input_ids', type: 'int64', shape: ['batch', 'tokens'] }],
  outputs: [{ name: 'last_hidden_state', type: 'float32', shape: ['batch', 'tokens', WIDTH] }],
} as const

describe('a folder with an encoder', () => {
  it('is imported with its tokenizer, and what its files say of pooling, context and size', async () => {
    expect(manifest).toMatchObject({ model: 'encoder', kind: 'graph', source: 'Encoder' })
    expect(encoderOf(manifest)).toMatchObject({
      kind: 'encoder',
      context: CONTEXT,
      dimensions: WIDTH,
      pooling: 'mean',
      normalize: true,
      output: 'last_hidden_state',
    })
    const { address, bytes } = tokenizerOf(manifest)
    expect(manifestAddresses(manifest)).toContain(address)
    const stored = await needs.store.readAll(address)
    expect(stored.length).toBe(bytes)
    const tokenizer = createTokenizer(JSON.parse(Buffer.from(stored).toString()) as TokenizerDefinition)
    const ids = tokenizer.encode('The SEA, swimming')
    expect(ids.map((id) => VOCABULARY[id])).toEqual(['[CLS]', 'the', 'sea', ',', 'swim', '##m', '##ing', '[SEP]'])
    expect(() => languageModel(manifest)).toThrow(expect.objectContaining({ code: 'WEFT-MOD-090' }))
  })

  it('goes through a bundle with its tokenizer, and nothing is left of it when it goes', async () => {
    const path = join(base, 'encoder.weft')
    await writeBundle(needs.store, { manifest, path })
    const other = await homeAt('other')
    const back = await imported(path, other)
    expect(back).toEqual(manifest)
    expect(await other.store.has(tokenizerOf(back).address)).toBe(true)
    expect(await removeUnused(other.store, [back])).toBe(0)
    await removeUnused(other.store, [])
    expect(await other.store.has(tokenizerOf(back).address)).toBe(false)
  })

  it('has another digest than the graph alone, which has none of it', async () => {
    const { text: _, ...graph } = manifest
    // Of a graph without text: its ends and its blocks alone, as in every manifest that is out there.
    const { inputs, outputs } = graph.graph
    const before = createHash('sha256')
      .update(canonicalJson({ inputs, outputs, blocks: graph.blocks }))
      .digest('hex')
    expect(graphDigest(graph)).toBe(before)
    const plain = checkAnyManifest({ ...graph, digest: before })
    expect(plain.digest).not.toBe(manifest.digest)
    expect(() => encoderOf(plain)).toThrow('without a tokenizer')
  })

  it('is refused when its manifest lies', () => {
    const text = encoderOf(manifest)
    const lies: readonly object[] = [
      { ...text, kind: 'decoder' },
      { ...text, dimensions: WIDTH + 1 },
      { ...text, dimensions: 0 },
      { ...text, context: 0 },
      { ...text, context: 2 ** 40 },
      { ...text, output: 'nothing' },
      { ...text, pooling: 'none' },
      { ...text, pooling: 'max' },
      { ...text, tokenizer: { ...text.tokenizer, address: 'nowhere' } },
      { ...text, tokenizer: { ...text.tokenizer, bytes: 2 ** 40 } },
      { ...text, more: 1 },
      { kind: 'decoder', tokenizer: text.tokenizer, context: 8, logits: 'last_hidden_state', carried: [] },
    ]
    for (const lie of lies) {
      const changed = { ...manifest, text: lie } as GraphManifest
      const whole = { ...changed, digest: graphDigest(changed) }
      expect(() => checkAnyManifest(whole), JSON.stringify(lie)).toThrow(
        expect.objectContaining({ code: 'WEFT-MOD-006' }),
      )
    }
    const moved = { ...manifest, text: { ...text, normalize: false } }
    expect(() => checkAnyManifest(moved)).toThrow('digest')
  })
})

describe('which ONNX file', () => {
  it('is the one in float32, or the only one; safetensors go first, but for encoders', () => {
    const among = (...files: readonly string[]): string | null => onnxAmong(new Set(files), 'it')
    expect(among('onnx/model_quantized.onnx', 'onnx/model.onnx', 'model.onnx')).toBe('model.onnx')
    expect(among('onnx/model_int8.onnx', 'onnx/model.onnx')).toBe('onnx/model.onnx')
    expect(among('onnx/model_int8.onnx', 'a/b.onnx')).toBe('onnx/model_int8.onnx')
    expect(among('model.safetensors', 'onnx/model.onnx')).toBeNull()
    expect(among('model.safetensors', 'modules.json', 'onnx/model.onnx')).toBe('onnx/model.onnx')
    expect(among('config.json')).toBeNull()
    expect(() => among('a.onnx', 'b.onnx')).toThrow(expect.objectContaining({ code: 'WEFT-MOD-003' }))
  })

  it('may be named: its tokenizer lies beside it or one level up, and none is found by a link out of the folder', async () => {
    const folder = await writeEncoderFolder(join(base, 'Named'), { file: 'onnx/model_quantized.onnx' })
    const file = join(folder, 'onnx', 'model_quantized.onnx')
    expect(await onnxOfFolder(folder)).toBe(file)
    expect(await tokenizerFolder(file)).toBe(folder)
    expect(await tokenizerFolder(join(folder, 'model.onnx'))).toBe(folder)
    expect(await tokenizerFolder(join(folder, 'onnx', 'deeper', 'model.onnx'))).toBeNull()
    await writeFile(join(base, 'outside.json'), '{}')
    await rm(join(folder, 'config.json'))
    await symlink(join(base, 'outside.json'), join(folder, 'config.json'))
    const graph = recogniseText({ inputs: [...ENDS.inputs], outputs: [...ENDS.outputs] })!
    await expect(readGraphText(folder, graph)).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
    await rename(file, join(base, 'elsewhere.onnx'))
    await symlink(join(base, 'elsewhere.onnx'), file)
    await expect(onnxOfFolder(folder)).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
  })
})

describe('what the files beside it say', () => {
  const encoder = recogniseText({ inputs: [...ENDS.inputs], outputs: [...ENDS.outputs] })!
  const read = async (files: Readonly<Record<string, object | null>>, graph = encoder): Promise<object> => {
    const folder = await writeEncoderFolder(await mkdtemp(join(base, 'said-')), { files })
    return (await readGraphText(folder, graph)).text
  }
  const module = (type: string): object => ({ type: `sentence_transformers.models.${type}`, path: '1_Pooling' })

  it('decides pooling, length and context', async () => {
    const all = { pooling: 'mean', normalize: true, context: CONTEXT, dimensions: WIDTH }
    expect(await read({})).toMatchObject(all)
    // Of a folder that says nothing of what comes after, as OpenAI's vectors are.
    expect(await read({ 'modules.json': null, '1_Pooling/config.json': null })).toMatchObject(all)
    expect(await read({ 'modules.json': [module('Transformer'), module('Pooling')] })).toMatchObject({
      normalize: false,
    })
    const cls = { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false }
    expect(await read({ '1_Pooling/config.json': cls })).toMatchObject({ pooling: 'cls' })
    expect(await read({ '1_Pooling/config.json': { pooling_mode: 'lasttoken' } })).toMatchObject({ pooling: 'last' })
    expect(await read({ 'sentence_bert_config.json': null })).toMatchObject({ context: 32 })
    const files = { 'sentence_bert_config.json': null, 'tokenizer_config.json': { model_max_length: 1e30 } }
    expect(await read(files)).toMatchObject({ context: 64 })
    const roberta = { model_type: 'roberta', max_position_embeddings: 10, pad_token_id: 1, hidden_size: WIDTH }
    expect(await read({ ...files, 'config.json': roberta })).toMatchObject({ context: 8 })
  })

  it('is refused where weft does not do it, or nothing is said', async () => {
    const refused = (files: Readonly<Record<string, object | null>>): Promise<void> =>
      expect(read(files), JSON.stringify(files)).rejects.toMatchObject({ code: 'WEFT-MOD-003' })
    await refused({ '1_Pooling/config.json': { pooling_mode_max_tokens: true } })
    await refused({ '1_Pooling/config.json': { pooling_mode_mean_tokens: true, pooling_mode_cls_token: true } })
    await refused({ 'modules.json': [module('Transformer'), module('Pooling'), module('Dense')] })
    await refused({
      'config.json': { model_type: 'bert' },
      'tokenizer_config.json': {},
      'sentence_bert_config.json': {},
    })
    await expect(read({ 'modules.json': [{ ...module('Pooling'), path: '../../x' }] })).rejects.toMatchObject({
      code: 'WEFT-MOD-002',
    })
    await expect(read({ 'config.json': { vocab_size: 7 } })).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
  })
})

describe('a graph that reads text', () => {
  const ids = ENDS.inputs[0]
  const of = (inputs: readonly object[], outputs: readonly object[]): ReturnType<typeof recogniseText> =>
    recogniseText({ inputs, outputs } as never)
  const rows = ENDS.outputs[0]

  it('is told from its names, types and shapes', () => {
    const cache = (name: string): object => ({ name, type: 'float32', shape: ['batch', 2, 'past', 4] })
    const logits = { name: 'logits', type: 'float32', shape: ['batch', 'tokens', 9] }
    const keys = [cache('past_key_values.0.key'), cache('past_key_values.0.value')]
    const decoder = of([ids, ...keys], [logits, cache('present.0.key'), cache('present.0.value')])
    expect(decoder).toMatchObject({
      kind: 'decoder',
      logits: 'logits',
      carried: [
        { output: 'present.0.key', input: 'past_key_values.0.key' },
        { output: 'present.0.value', input: 'past_key_values.0.value' },
      ],
    })
    expect(of([ids, cache('past_0')], [logits, cache('present_0')])).toMatchObject({ kind: 'decoder' })
    expect(of([ids, cache('past_0')], [logits])).toBeNull()
    expect(of([ids, { ...ids, name: 'pixel_values' }], [rows])).toBeNull()
    expect(of([{ ...ids, type: 'float32' }], [rows])).toBeNull()
    expect(of([ids], [logits])).toBeNull()
    expect(of([ids], [{ ...rows, shape: ['batch', WIDTH] }])).toBeNull()
    expect(of([{ ...ids, shape: [4, 'tokens'] }], [rows])).toBeNull()
    expect(of([{ ...ids, shape: [1, 8] }], [rows])).toBeNull()
    const fixed = { ...ids, shape: [1, 8] }
    expect(of([fixed, { ...fixed, name: 'attention_mask' }], [rows])).toMatchObject({ fixed: 8 })
    const vector = { name: 'sentence_embedding', type: 'float32', shape: ['batch', 5] }
    expect(of([ids], [rows, vector])).toMatchObject({ output: 'sentence_embedding', pooled: true, dimensions: 5 })
  })
})
