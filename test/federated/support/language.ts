/** A small language model with random weights, texts of sites that differ, and plans over them. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { manifestDigest } from '../../../src/models/index.ts'
import type { ModelManifest, Tokenizer } from '../../../src/models/index.ts'
import { makeBlock } from '../../../src/models/blocks.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import type { BaseProvider } from '../../../src/federated/index.ts'
import { BaseModels } from '../../../src/peer/base-models.ts'
import { randomModel } from '../../pipeline/support/random-model.ts'

const SHAPE = { layers: 2, width: 32, hidden: 32, heads: 1, kv_heads: 1, head_dim: 32, rope_dim: 32, vocabulary: 64 }

/** A token a character. */
const TOKENIZER = {
  vocabulary: 64,
  bos: null,
  endTokens: new Set([0]),
  encode: (text: string) => Array.from(text, (character) => (character.codePointAt(0) ?? 0) % 64),
} as unknown as Tokenizer

export interface TestBase {
  readonly manifest: ModelManifest
  readonly base: BaseProvider
}

export async function testBase(folder: string): Promise<TestBase> {
  const store = await createBlobStore({ directory: join(folder, 'store') })
  const manifest = whole(await randomModel(store, { type: 'Q8_0', shape: SHAPE }))
  const models = new BaseModels()
  return { manifest, base: () => Promise.resolve(models.model(manifest, store, TOKENIZER)) }
}

/** With the sizes that a home holds it against. */
function whole(random: ModelManifest): ModelManifest {
  const { shape } = random
  const blocks = random.blocks.map(({ kind, tensors, weights }) => makeBlock(kind, tensors, weights, shape))
  const manifest = { ...random, blocks }
  return { ...manifest, digest: manifestDigest(manifest) }
}

export function languagePlan({ manifest }: TestBase, changes: object = {}): object {
  return {
    schema: 'weft.fed-plan/1',
    name: 'notes',
    task: 'language',
    model: { kind: 'base', name: manifest.model, digest: manifest.digest, length: 12 },
    adapter: { kind: 'lora', rank: 2, targets: ['q', 'v'] },
    split: { every: 4, test: 3 },
    rounds: 2,
    local: { steps: 2, batch: 2, optimizer: 'adamw', lr: 0.02 },
    strategy: { name: 'fedavg', weights: 'records', server_lr: 1 },
    secagg: { f: 16, bits: 32, c: 8 },
    privacy: 'off',
    minimum: { sites: 3, records: 30 },
    deadline: '20s',
    ...changes,
  }
}

/** Writes so many sentences and their description; the path of the latter. */
export function writeTexts(folder: string, site: string, sentence: string, count: number): string {
  const lines = Array.from({ length: count }, () => JSON.stringify({ text: sentence }))
  writeFileSync(join(folder, `${site}.jsonl`), `${lines.join('\n')}\n`)
  const path = join(folder, `${site}.json`)
  writeFileSync(path, JSON.stringify({ schema: 'weft.fed-data/1', site, kind: 'text', path: `${site}.jsonl` }))
  return path
}

export const engine = createOrtEngine()
