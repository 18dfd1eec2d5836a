import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import {
  checkManifest,
  dequantize,
  importModel,
  loadManifest,
  loadManifests,
  manifestAddresses,
  removeUnused,
} from '../../src/models/index.ts'
import type { ImportNeeds, ImportProgress, ModelImportRequest } from '../../src/models/index.ts'
import { createBlobStore, verifyBlob } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from './support/gguf-writer.ts'
import type { GgufSpec, KeySpec } from './support/gguf-writer.ts'
import { tinyLlama, TINY_TOKENS, withKeys } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-import-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

let home: string
let store: BlobStore
let needs: ImportNeeds
let count = 0

beforeEach(async () => {
  home = join(base, `home-${count++}`)
  store = await createBlobStore({ directory: join(home, 'store') })
  needs = { store, clock: systemClock(), directory: join(home, 'partitions'), downloads: join(home, 'downloads') }
})

function file(spec: GgufSpec | Uint8Array, name = 'Tiny Llama.Q8_0.gguf'): string {
  const path = join(home, name)
  writeFileSync(path, spec instanceof Uint8Array ? spec : writeGguf(spec))
  return path
}

async function blobs(): Promise<string[]> {
  const found: string[] = []
  for await (const { address } of store.list()) found.push(address)
  return found
}

function importing(spec: GgufSpec, more: Partial<ModelImportRequest> = {}): Promise<unknown> {
  return importModel(needs, { source: file(spec), ...more }).catch((thrown: unknown) => thrown)
}

const key = (name: string, type: KeySpec['type'], value: KeySpec['value']): KeySpec => ({ key: name, type, value })

describe('importModel', () => {
  it('makes blocks whose tensors are in the store, byte for byte', async () => {
    const progress: ImportProgress[] = []
    const bytes = writeGguf(tinyLlama())
    const manifest = await importModel(needs, { source: file(bytes) }, (step) => progress.push(step))
    expect(manifest.model).toBe('tiny-llama.q8_0')
    expect(manifest).toMatchObject({ license: 'cc0-1.0', source: 'Tiny Llama.Q8_0.gguf', boundary: 'f16' })
    expect(manifest.blocks.map(({ kind }) => kind)).toEqual(['embedding', 'decoder', 'decoder', 'head'])
    expect(manifest.blocks[1]!.tensors.map(({ name }) => name)).toEqual(
      ['attn_norm', 'attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_norm', 'ffn_gate', 'ffn_up', 'ffn_down'].map(
        (part) => `blk.0.${part}.weight`,
      ),
    )
    for (const tensor of manifest.blocks.flatMap(({ tensors }) => tensors)) {
      const stored = Buffer.from(await store.readAll(tensor.address))
      expect(stored.length).toBe(tensor.bytes)
      expect(Buffer.from(bytes).includes(stored)).toBe(true)
    }
    const last = progress.at(-1)!
    expect(last).toMatchObject({ task: 'importing tiny-llama.q8_0', done: last.total, unit: 'bytes' })
    expect(existsSync(join(home, 'partitions', 'tiny-llama.q8_0.json'))).toBe(true)
    expect((await loadManifests(needs.directory)).manifests).toEqual([manifest])
  })

  it('counts what each block costs', async () => {
    const manifest = await importModel(needs, { source: file(tinyLlama()) })
    const [embedding, layer, , head] = manifest.blocks
    const matrices = 64 * 64 * 2 + 32 * 64 * 2 + 3 * 96 * 64
    expect(embedding).toMatchObject({ memory: 0, flops: 0, kv_bytes: 0 })
    // Q8_0: a byte and an eighth (float32 scale of 32); norms in float32.
    expect(layer).toMatchObject({ memory: matrices * 1.125 + 2 * 64 * 4, flops: 2 * matrices, kv_bytes: 2 * 32 * 4 })
    expect(layer!.bytes).toBe(layer!.tensors.reduce((sum, { bytes }) => sum + bytes, 0))
    expect(head!.tensors.map(({ name }) => name)).toEqual(['output_norm.weight', 'token_embd.weight'])
    const full = await importModel(needs, { source: file(tinyLlama()), weights: 'f32', name: 'full' })
    expect(full.blocks[1]!.memory).toBe(4 * matrices + 2 * 64 * 4)
    const small = await importModel(needs, { source: file(tinyLlama()), weights: 'q4', name: 'small' })
    expect(small.blocks[1]!.memory).toBe(matrices * 0.625 + 2 * 64 * 4)
    expect(new Set([manifest.digest, full.digest, small.digest]).size).toBe(3)
  })

  it.each(['F32', 'F16', 'BF16', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0'] as const)(
    'takes %s weights',
    async (matrix) => {
      const manifest = await importModel(needs, { source: file(tinyLlama({ matrix, tied: false })) })
      const tensor = manifest.blocks.at(-1)!.tensors.at(-1)!
      expect(tensor).toMatchObject({ name: 'output.weight', type: matrix, shape: [TINY_TOKENS.length, 64] })
      const values = dequantize(matrix, await store.readAll(tensor.address), TINY_TOKENS.length * 64)
      expect(values.every((value) => Number.isFinite(value))).toBe(true)
      expect(checkManifest(JSON.parse(JSON.stringify(manifest)))).toEqual(manifest)
    },
  )

  it.each(['Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K'] as const)('takes %s weights', async (matrix) => {
    const manifest = await importModel(needs, {
      source: file(tinyLlama({ matrix, width: 256, hidden: 512, layers: 1 })),
    })
    expect(manifest.blocks[1]!.tensors[1]).toMatchObject({ type: matrix, shape: [256, 256] })
  })

  it('gives the same digest the second time, and stores nothing anew', async () => {
    const first = await importModel(needs, { source: file(tinyLlama()) })
    const before = await blobs()
    const second = await importModel(needs, { source: file(tinyLlama()) })
    expect(second).toEqual(first)
    expect(await blobs()).toEqual(before)
  })

  it('keeps a name for the model that has it, unless it is told to replace it', async () => {
    const first = await importModel(needs, { source: file(tinyLlama()), name: 'mine:1' })
    const before = await blobs()
    expect(await importing(tinyLlama({ layers: 1, hidden: 128 }), { name: 'mine:1' })).toMatchObject({
      code: 'WEFT-MOD-008',
    })
    expect(await loadManifest(needs.directory, 'mine:1')).toEqual(first)
    expect(await blobs()).toEqual(before)
    const forced = await importModel(needs, { source: file(tinyLlama({ layers: 1 })), name: 'mine:1', force: true })
    expect(await loadManifest(needs.directory, 'mine:1')).toEqual(forced)
  })

  it('makes the tokenizer a blob of its own', async () => {
    const template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    const spec = withKeys(tinyLlama(), { chat: key('tokenizer.chat_template', 'string', template) })
    const { tokenizer } = await importModel(needs, { source: file(spec) })
    const definition: unknown = JSON.parse(Buffer.from(await store.readAll(tokenizer.address)).toString())
    expect(definition).toMatchObject({
      schema: 'weft.tokenizer/1',
      kind: 'spm',
      tokens: TINY_TOKENS,
      bos: 1,
      eos: 2,
      unk: 0,
      add_bos: true,
      add_eos: false,
      add_space_prefix: true,
      chat_template: template,
    })
  })

  it('reads rope factors from the tensor, from linear scaling, and none where there are none', async () => {
    const plain = await importModel(needs, { source: file(tinyLlama()) })
    expect(plain.shape.rope_factors).toEqual([])
    const linear = withKeys(tinyLlama(), {
      a: key('llama.rope.scaling.type', 'string', 'linear'),
      b: key('llama.rope.scaling.factor', 'f32', 4),
    })
    expect((await importModel(needs, { source: file(linear), name: 'b' })).shape.rope_factors).toEqual(Array(8).fill(4))
    const data = new Uint8Array(Float32Array.of(1, 1, 1, 2, 4, 8, 8, 8).buffer)
    const spec = tinyLlama()
    const factors = {
      ...spec,
      tensors: [...spec.tensors, { name: 'rope_freqs.weight', shape: [8], type: 'F32' as const, data }],
    }
    expect((await importModel(needs, { source: file(factors), name: 'c' })).shape.rope_factors).toEqual([
      1, 1, 1, 2, 4, 8, 8, 8,
    ])
  })

  it('frees what no model has, and keeps what two models share', async () => {
    const first = await importModel(needs, { source: file(tinyLlama()), name: 'one' })
    const both = await blobs()
    await importModel(needs, { source: file(tinyLlama()), weights: 'f32', name: 'two' })
    const other = await importModel(needs, { source: file(tinyLlama({ matrix: 'F16' })), name: 'three' })
    expect(await removeUnused(store, [first, other])).toBe(0)
    const freed = await removeUnused(store, [first])
    expect(freed).toBeGreaterThan(0)
    expect(await blobs()).toEqual(both)
    expect(new Set(await blobs())).toEqual(manifestAddresses(first))
    expect(await removeUnused(store, [first])).toBe(0)
  })

  it('runs one after the other on one store', async () => {
    const path = file(tinyLlama())
    const imports = await Promise.all([1, 2, 3].map((n) => importModel(needs, { source: path, name: `copy-${n}` })))
    expect(new Set(imports.map(({ digest }) => digest)).size).toBe(1)
    expect((await loadManifests(needs.directory)).manifests).toHaveLength(3)
  })

  it('leaves nothing when it is stopped, and takes the model afterwards', async () => {
    const controller = new AbortController()
    const path = file(tinyLlama())
    const stop = (): void => controller.abort(new Error('enough'))
    await expect(importModel(needs, { source: path }, stop, controller.signal)).rejects.toThrow('enough')
    expect(await blobs()).toEqual([])
    expect(existsSync(needs.directory)).toBe(false)
    await importModel(needs, { source: path })
    expect((await loadManifests(needs.directory)).manifests).toHaveLength(1)
  })
})

describe('an import that is killed', () => {
  it('leaves nothing half-written, and the next one takes the model', async () => {
    const source = file(tinyLlama())
    const child = spawn(process.execPath, [join(import.meta.dirname, 'support', 'import-child.ts'), home, source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'close')
    const temporary = (): string[] =>
      readdirSync(join(home, 'store'), { recursive: true })
        .map(String)
        .filter((name) => name.endsWith('.tmp'))
    // Of the tensors that were under way, no more.
    expect([1, 2, 3]).toContain(temporary().length)
    expect(existsSync(needs.directory)).toBe(false)
    const again = await createBlobStore({ directory: join(home, 'store') })
    expect(temporary()).toEqual([])
    for (const address of await blobs()) expect(await verifyBlob(again, address)).toBe(true)
    const manifest = await importModel({ ...needs, store: again }, { source })
    for (const address of manifestAddresses(manifest)) expect(await again.has(address)).toBe(true)
  })
})

const canMount = process.platform === 'linux' && process.getuid?.() === 0

describe.skipIf(!canMount)('a disk that becomes full while importing (skipped: needs root for a small tmpfs)', () => {
  it('is said with a code, and nothing is left of the model', async () => {
    const small = join(base, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', small])
    try {
      const own = await createBlobStore({ directory: join(small, 'store') })
      const path = file(tinyLlama({ matrix: 'F32', hidden: 512 }))
      const error = await importModel({ ...needs, store: own, directory: small }, { source: path }).catch(
        (e: unknown) => e,
      )
      expect(error).toMatchObject({ code: 'WEFT-STO-007' })
      const left = readdirSync(small, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      expect(left.map(({ name }) => name)).toEqual([])
    } finally {
      execFileSync('umount', [small])
    }
  })
})

const SMOL = new URL('../../../shared/models/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url)

describe.skipIf(!existsSync(SMOL))('SmolLM2-135M-Instruct (skipped: ../shared/models is not there)', () => {
  it('is imported with its 32 blocks within bounded memory', async () => {
    const manifest = await importModel(needs, { source: SMOL.pathname, name: 'smollm2:135m' })
    expect(manifest.shape).toMatchObject({
      layers: 30,
      width: 576,
      heads: 9,
      kv_heads: 3,
      vocabulary: 49152,
      rope_base: 100_000,
    })
    expect(manifest.blocks).toHaveLength(32)
    expect(manifest.license).toBe('apache-2.0')
    const stored = new Map(
      manifest.blocks.flatMap(({ tensors }) => tensors).map(({ address, bytes }) => [address, bytes]),
    )
    expect([...stored.values()].reduce((sum, bytes) => sum + bytes, 0)).toBe(96_576_768)
    expect(checkManifest(JSON.parse(JSON.stringify(manifest)))).toEqual(manifest)
  })
})
