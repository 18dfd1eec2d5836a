/** The page on adding an architecture: its example is a declaration that works, from the hub's files and from GGUF. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ARCHITECTURES } from '../../src/models/architectures/index.ts'
import { storeModel } from '../../src/models/import/store-file.ts'
import { manifestDigest } from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { readGgufDecoder } from '../../src/models/readers/gguf-decoder.ts'
import { openHubDecoder } from '../../src/models/readers/hub-decoder.ts'
import type { OpenModel } from '../../src/models/readers/open-model.ts'
import { memoryAccess } from '../../src/models/readers/random-access.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { testModel } from '../pipeline/support/stages.ts'
import { referenceLogits } from './support/decoder-reference.ts'
import { hubGguf } from './support/hub-gguf.ts'
import { CONFIGS, tensorsOf, TOKENIZER } from './support/hub-models.ts'
import type { HubModel } from './support/hub-models.ts'
import { paddedVocabulary } from './support/hub-gguf.ts'
import { writeHubFolder } from './support/hub-writer.ts'
import { TOY } from './support/toy-architecture.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-new-architecture-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const KNOWN = [...ARCHITECTURES, TOY]
/** A Qwen 3 with biases, windows in layers 0 and 1 of 4, no positions in layers 1 and 3. */
const config = {
  ...CONFIGS['qwen3, heads of 24']!,
  num_hidden_layers: 4,
  attention_bias: false,
  tie_word_embeddings: false,
  use_qkv_bias: true,
  sliding_window: 6,
}
const tensors = tensorsOf(config, 3)
const reference = {
  ...config,
  layer_types: ['sliding_attention', 'sliding_attention', 'full_attention', 'sliding_attention'],
  no_rope_layers: [1, 0, 1, 0],
}
const renamed = (name: string): string =>
  name.replace('input_layernorm', 'norm_before').replace('post_attention_layernorm', 'norm_between')
const toy: HubModel = { config: { ...config, model_type: 'toy' }, tensors }

describe('an architecture that is added', () => {
  it('is the one of the page', () => {
    const page = readFileSync(new URL('../../docs/architectures.md', import.meta.url), 'utf8')
    const source = readFileSync(new URL('support/toy-architecture.ts', import.meta.url), 'utf8')
    expect(page).toContain(source.slice(source.indexOf('export const')))
  })

  it.each([
    ['a folder', () => openHubDecoder(writeHubFolder(join(base, 'toy'), folder()), KNOWN)],
    ['a GGUF file', gguf],
  ] as const)('gives the logits of its definition from %s', async (name, open) => {
    const store = await createBlobStore({ directory: join(base, name, 'store') })
    const manifest = await stored(store, await open())
    expect(manifest.shape).toMatchObject({
      family: 'toy',
      window: { size: 6, layers: [0, 1, 3] },
      unrotated_layers: [1, 3],
    })
    const model = testModel(store, join(base, name, 'cache'), manifest)
    const [stage, head] = [await model.stage(1, 5), await model.head()]
    const ids = Array.from({ length: 20 }, (_, at) => (at * 37) % 290)
    const [rows] = await stage.run([{ cache: stage.newCache(0), rows: model.embed(ids), count: ids.length }])
    const last = (await head.run([rows!.subarray(-model.rowBytes)]))[0]!
    const expected = referenceLogits(reference, tensors, ids).at(-1)!
    for (const [at, value] of expected.entries()) expect(Math.abs(value - last[at]!)).toBeLessThan(1e-4)
    await stage.release()
    await head.release()
  })

  it('is not known before', async () => {
    await expect(openHubDecoder(writeHubFolder(join(base, 'unknown'), folder()))).rejects.toThrow(
      /"toy" is not supported/,
    )
  })
})

function folder(): Parameters<typeof writeHubFolder>[1] {
  const own = new Map([...tensors].map(([name, tensor]) => [renamed(name), tensor]))
  return { config: toy.config, tensors: own, tokenizer: TOKENIZER }
}

async function gguf(): Promise<OpenModel> {
  const window = { key: 'toy.attention.sliding_window', type: 'u32', value: 6 } as const
  const access = memoryAccess(hubGguf(toy, [window, ...paddedVocabulary()]))
  return { access, model: await readGgufDecoder(access, KNOWN) }
}

async function stored(store: Awaited<ReturnType<typeof createBlobStore>>, opened: OpenModel): Promise<ModelManifest> {
  const job = { path: '', weights: 'f32', boundary: 'f32' } as const
  const content = await storeModel(store, opened, job, { progress: () => {}, added: () => {} })
  await opened.access.close()
  const about = { schema: 'weft.manifest/1', model: 'toy', license: 'none', source: 'toy' } as const
  return { ...about, ...content, digest: manifestDigest(content) }
}
