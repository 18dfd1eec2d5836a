/** `hf:owner/name` of a repository of safetensors: its folder, file by file. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { folderFiles } from '../../src/models/sources/hub-listing.ts'
import { importModel } from '../../src/models/index.ts'
import { serveBytes } from './support/file-server.ts'
import { byteTokenizer, writeHubFolder } from './support/hub-writer.ts'
import type { HubTensor } from './support/hub-writer.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-hub-folder-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const [width, hidden, kv] = [64, 96, 32]
const { tokens, json: tokenizer } = byteTokenizer()
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'model.embed_tokens.weight': [tokens, width],
  'model.layers.0.input_layernorm.weight': [width],
  'model.layers.0.self_attn.q_proj.weight': [width, width],
  'model.layers.0.self_attn.k_proj.weight': [kv, width],
  'model.layers.0.self_attn.v_proj.weight': [kv, width],
  'model.layers.0.self_attn.o_proj.weight': [width, width],
  'model.layers.0.post_attention_layernorm.weight': [width],
  'model.layers.0.mlp.gate_proj.weight': [hidden, width],
  'model.layers.0.mlp.up_proj.weight': [hidden, width],
  'model.layers.0.mlp.down_proj.weight': [width, hidden],
  'model.norm.weight': [width],
}
const tensors = new Map(
  Object.entries(SHAPES).map(([name, shape]): [string, HubTensor] => {
    const count = shape.reduce((product, size) => product * size, 1)
    return [name, { shape, values: Float32Array.from({ length: count }, (_, index) => Math.sin(index) / 8) }]
  }),
)
const config = {
  model_type: 'llama',
  hidden_size: width,
  intermediate_size: hidden,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: tokens,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  tie_word_embeddings: true,
}
const REVISION = 'a'.repeat(40)

let at: SourceHome
let files: Map<string, Buffer>
/** Of the listing. */
let hashes: Map<string, string>
let revision: string
const asked: string[] = []
let count = 0

beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count}`))
  const folder = join(base, `repository-${count++}`)
  writeHubFolder(folder, {
    config,
    tensors,
    tokenizer,
    shards: 3,
    files: { 'README.md': '# no', 'pytorch_model.bin': 'x' },
  })
  files = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]))
  const large = [...files].filter(([name]) => name.endsWith('.safetensors'))
  hashes = new Map(large.map(([name, bytes]) => [name, createHash('sha256').update(bytes).digest('hex')]))
  revision = REVISION
  asked.length = 0
  at.server.answer = (request, response) => {
    const path = request.url!.split('?')[0]!
    const name = path.slice(`/owner/Tiny-Llama/resolve/${revision}/`.length)
    const bytes = files.get(name)
    if (path === '/api/models/owner/Tiny-Llama') response.end(JSON.stringify(listing()))
    else if (bytes === undefined || !path.includes(revision)) response.writeHead(404).end()
    else {
      asked.push(name)
      serveBytes(bytes, `"${name}"`)(request, response)
    }
  }
})
afterEach(() => at.server.close())

function listing(): object {
  const siblings = [...files].map(([rfilename, bytes]) => {
    const sha256 = hashes.get(rfilename)
    return { rfilename, size: bytes.length, ...(sha256 === undefined ? {} : { lfs: { sha256, size: bytes.length } }) }
  })
  return { sha: revision, tags: ['llama', 'license:apache-2.0'], siblings }
}

describe('a repository of safetensors', () => {
  it('is fetched whole, of one commit, without what is not needed, and imported under its name and licence', async () => {
    const steps: number[] = []
    const manifest = await importModel(at.needs, { source: 'hf:owner/Tiny-Llama' }, ({ task, done, total }) => {
      if (task.startsWith('fetching')) steps.push(done / total!)
    })
    expect(manifest).toMatchObject({ model: 'tiny-llama', license: 'apache-2.0', source: 'hf:owner/Tiny-Llama' })
    expect(manifest.blocks).toHaveLength(3)
    const shards = [1, 2, 3].map((shard) => `model-${shard}-of-3.safetensors`)
    const small = ['config.json', 'model.safetensors.index.json', 'tokenizer.json', 'tokenizer_config.json']
    expect(asked.toSorted()).toEqual([...small, ...shards].toSorted())
    expect(asked.slice(-3).toSorted()).toEqual(shards)
    expect(steps).toEqual(steps.toSorted((one, other) => one - other))
    expect(steps.at(-1)).toBe(1)
    expect(at.downloads()).toEqual([])
  })

  it('goes on with the file that was being fetched', async () => {
    const answer = at.server.answer
    const last = 'model-3-of-3.safetensors'
    const controller = new AbortController()
    at.server.answer = (request, response) => {
      if (!request.url!.endsWith(last)) return answer(request, response)
      response.writeHead(200, { 'content-length': files.get(last)!.length, etag: `"${last}"` })
      response.write(files.get(last)!.subarray(0, 1000), () =>
        setTimeout(() => controller.abort(new Error('stopped')), 50),
      )
    }
    expect(await at.attempt('hf:owner/Tiny-Llama', controller.signal)).toMatchObject({ message: 'stopped' })
    expect(at.downloads()).toHaveLength(1)
    asked.length = 0
    at.server.ranges.length = 0
    at.server.answer = answer
    expect(await at.attempt('hf:owner/Tiny-Llama')).toBe('imported')
    expect(asked).toEqual([last])
    expect(at.server.ranges).toEqual([null, 'bytes=1000-'])
    expect(at.downloads()).toEqual([])
  })

  it('refuses a shard that is not what the hub lists, fetches it again the next time, and the others not', async () => {
    const second = 'model-2-of-3.safetensors'
    const right = hashes.get(second)!
    hashes.set(second, '0'.repeat(64))
    expect(await at.attempt('hf:owner/Tiny-Llama')).toMatchObject({
      code: 'WEFT-MOD-011',
      message: expect.stringContaining(second) as string,
    })
    asked.length = 0
    hashes.set(second, right)
    expect(await at.attempt('hf:owner/Tiny-Llama')).toBe('imported')
    expect(asked).toEqual([second, 'model-3-of-3.safetensors'])
  })

  it('does not mix files of two commits', async () => {
    hashes.set('model-3-of-3.safetensors', '0'.repeat(64))
    expect(await at.attempt('hf:owner/Tiny-Llama')).toMatchObject({ code: 'WEFT-MOD-011' })
    revision = 'b'.repeat(40)
    hashes.delete('model-3-of-3.safetensors')
    asked.length = 0
    expect(await at.attempt('hf:owner/Tiny-Llama')).toBe('imported')
    expect(asked).toHaveLength(7)
  })

  it('that says it is larger than the disk is refused before anything comes', async () => {
    const answer = at.server.answer
    at.server.answer = (request, response) => {
      if (!request.url!.startsWith('/api/')) return answer(request, response)
      const list = listing() as { siblings: { size: number }[] }
      list.siblings.find(({ size }) => size > 10_000)!.size = 2 ** 46
      response.end(JSON.stringify(list))
    }
    expect(await at.attempt('hf:owner/Tiny-Llama')).toMatchObject({ code: 'WEFT-STO-007' })
    expect(asked).toEqual([])
  })
})

describe('the choice of files', () => {
  const chosen = (...names: string[]): string[] =>
    folderFiles(names.map((file) => ({ file, bytes: 1, sha256: undefined }))).map(({ file }) => file)

  it('takes weights once, and names of the folder alone', () => {
    const shard = 'model-00001-of-00002.safetensors'
    expect(chosen('config.json', 'model.safetensors', 'consolidated.safetensors', 'onnx/config.json')).toEqual([
      'config.json',
      'model.safetensors',
    ])
    const hostile = ['../model.safetensors', '/etc/passwd', 'model/../../x.safetensors', 'model\\x.safetensors']
    expect(chosen(shard, 'config.json', 'model.safetensors.index.json', ...hostile)).toEqual([
      'config.json',
      'model.safetensors.index.json',
      shard,
    ])
    expect(chosen('config.json', 'config.json', 'model.safetensors', 'model.safetensors')).toHaveLength(2)
  })

  it('is empty without a configuration or weights', () => {
    expect(chosen('model.safetensors')).toEqual([])
    expect(chosen('config.json', 'adapter_model.safetensors')).toEqual([])
  })
})
