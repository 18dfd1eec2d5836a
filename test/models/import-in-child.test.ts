import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import {
  importAnyInChild,
  importModel,
  languageModel,
  loadManifests,
  manifestAddresses,
} from '../../src/models/index.ts'
import type {
  ChildEvent,
  ChildImportNeeds,
  ChildLimits,
  ImportProgress,
  ModelImportRequest,
  ModelManifest,
} from '../../src/models/index.ts'
import { createBlobStore, verifyBlob } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { ended, isRunning } from '../util/support/processes.ts'
import { writeGguf } from './support/gguf-writer.ts'
import type { GgufSpec } from './support/gguf-writer.ts'
import { tinyLlama, TINY_TOKENS, withKeys } from './support/tiny-llama.ts'
import { isWhole } from '../whole.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-import-child-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

let home: string
let store: BlobStore
let needs: ChildImportNeeds
let seen: ChildEvent[]
let count = 0

beforeEach(async () => {
  home = join(base, `home-${count++}`)
  const storeDirectory = join(home, 'store')
  store = await createBlobStore({ directory: storeDirectory })
  seen = []
  needs = {
    store,
    storeDirectory,
    // Shared: what is compiled once need not be for each test.
    codeCache: join(base, 'code'),
    clock: systemClock(),
    directory: join(home, 'partitions'),
    downloads: join(home, 'downloads'),
    onChild: (event) => seen.push(event),
  }
})

/** Megabytes in tensors that are synced one by one: long enough to be interrupted. */
const large = writeGguf(tinyLlama({ matrix: 'F32', layers: 5, width: 256, hidden: 512 }))

function file(spec: GgufSpec | Uint8Array, name = 'model.gguf'): string {
  const path = join(home, name)
  writeFileSync(path, spec instanceof Uint8Array ? spec : writeGguf(spec))
  return path
}

function pid(): number {
  const started = seen.findLast((event) => event.type === 'started')
  if (started === undefined) throw new Error('no child was started')
  return started.pid
}

type Act = (pid: number) => void

/** Imports, and does something to the child at its first progress; the second time it is left alone. */
function attempt(
  request: ModelImportRequest,
  act: Act = () => {},
  limits: ChildLimits = {},
  signal?: AbortSignal,
): Promise<ModelManifest> {
  let acted = false
  const first = (): void => {
    if (!acted) act(pid())
    acted = true
  }
  return importAnyInChild({ ...needs, limits }, request, first, signal).then(languageModel)
}

/** All files of store and partitions but what a successful import leaves. */
function left(): string[] {
  return [needs.storeDirectory, needs.directory].flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ name }) => name)
      : [],
  )
}

async function comesIn(source: string): Promise<void> {
  const manifest = await attempt({ source })
  expect((await loadManifests(needs.directory)).manifests).toEqual([manifest])
  for (const address of manifestAddresses(manifest)) expect(await verifyBlob(store, address)).toBe(true)
}

describe('importAnyInChild', () => {
  it('gives the manifest that an import in this process gives, and tells the same progress', async () => {
    const source = file(large)
    const steps: ImportProgress[] = []
    const here: ImportProgress[] = []
    const manifest = await importAnyInChild(needs, { source }, (step) => steps.push(step))
    const other = await createBlobStore({ directory: join(home, 'other') })
    const own = { ...needs, store: other, directory: join(home, 'own') }
    expect(await importModel(own, { source }, (step) => here.push(step))).toEqual(manifest)
    // Tensors are read several at a time: in which steps, no two imports agree.
    for (const told of [steps, here])
      expect(told.map(({ done }) => done)).toEqual(told.map(({ done }) => done).toSorted((one, other) => one - other))
    expect(steps.at(-1)).toEqual(here.at(-1))
    expect(steps).toHaveLength(here.length)
    expect(manifest.blocks).toHaveLength(7)
    expect(seen).toEqual([{ type: 'started', pid: expect.any(Number) as number }])
    expect(isRunning(pid())).toBe(false)
    expect(await attempt({ source })).toEqual(manifest)
    await comesIn(source)
  })

  it.each([
    ['killed', 'SIGKILL', 'WEFT-MOD-016', 'died'],
    ['stopped by the system', 'SIGSTOP', 'WEFT-MOD-015', 'silence'],
  ] as const)('says so in a line when the child is %s, and takes the model afterwards', async (_, name, code, why) => {
    const act = (child: number): void => void process.kill(child, name)
    const source = file(large)
    const error: unknown = await attempt({ source }, act, { silence: 3_000 }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code, retryable: true, details: { pid: pid() } })
    expect((error as Error).message).not.toContain('\n')
    expect(seen.map(({ type }) => type)).toEqual(['started', why])
    expect(isRunning(pid())).toBe(false)
    expect(left()).toEqual([])
    await comesIn(source)
  })

  it('keeps what was there before when it fails, also what both models share', async () => {
    const first = await attempt({ source: file(large, 'first.gguf') })
    const before = left().toSorted()
    const longer = file(writeGguf(tinyLlama({ matrix: 'F32', layers: 8, width: 256, hidden: 512 })), 'longer.gguf')
    let steps = 0
    const late = (): void => void (++steps === 50 && process.kill(pid(), 'SIGKILL'))
    const failing = importAnyInChild(needs, { source: longer }, late)
    await expect(failing).rejects.toMatchObject({ code: 'WEFT-MOD-016' })
    expect(left().toSorted()).toEqual(before)
    for (const address of manifestAddresses(first)) expect(await verifyBlob(store, address)).toBe(true)
  })

  it('ends a child whose file asks for more memory than it may hold', async () => {
    const words = Array.from({ length: 200_000 }, (_, id) => `word ${id} of a header that is far too long`)
    const key = { key: 'general.tags', type: 'string', value: words } as const
    const source = file(withKeys(tinyLlama(), { [key.key]: key }))
    const error: unknown = await attempt({ source }, undefined, { memory: 80 << 20 }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'WEFT-MOD-014', retryable: false, info: { exit: 6 } })
    expect((error as Error).message).toBe('reading the model file took more memory than the 80 MiB that it may')
    expect(seen.at(-1)).toEqual({ type: 'memory' })
    expect(left()).toEqual([])
    await comesIn(source)
  })

  it('ends the child when the caller gives up, leaves nothing, and takes the model afterwards', async () => {
    const source = file(large)
    const controller = new AbortController()
    const stop = (): void => controller.abort(new Error('enough'))
    await expect(attempt({ source }, stop, {}, controller.signal)).rejects.toThrow('enough')
    expect(isRunning(pid())).toBe(false)
    expect(left()).toEqual([])
    await comesIn(source)
  })

  it.runIf(isWhole)('lets errors out under their own codes, with their facts', async () => {
    const { tensors, keys } = tinyLlama()
    const cases: readonly (readonly [GgufSpec | Uint8Array, string, object])[] = [
      [{ keys, tensors: tensors.slice(1) }, 'WEFT-MOD-002', { where: 'token_embd.weight' }],
      [large.subarray(0, large.length - 5000), 'WEFT-MOD-002', {}],
      [{ keys, tensors, tensorCount: 1n << 60n }, 'WEFT-MOD-002', { where: 'tensor count' }],
      [
        { keys, tensors: [...tensors, { name: 'a.bias', shape: [64], type: 'F32' }] },
        'WEFT-MOD-003',
        { tensor: 'a.bias' },
      ],
      [withPieces(TINY_TOKENS.with(10, '<0x00>')), 'WEFT-MOD-005', {}],
      [withPre('a-tokenizer-of-tomorrow'), 'WEFT-MOD-102', {}],
    ]
    for (const [spec, code, details] of cases) {
      const source = file(spec)
      const error = (await attempt({ source }).catch((thrown: unknown) => thrown)) as Error
      const here = (await importModel({ ...needs, directory: join(home, 'own') }, { source }).catch(
        (thrown: unknown) => thrown,
      )) as Error
      expect(error).toMatchObject({ code, details })
      const { message, code: same, why, hint, retryable } = here as Error & Record<string, unknown>
      expect(error).toMatchObject({ message, code: same, hint, retryable })
      expect((error as Error & { why?: string }).why).toBe(why)
    }
    expect(left()).toEqual([])
    const none = attempt({ source: join(home, 'none.gguf'), name: 'none' })
    await expect(none).rejects.toMatchObject({ code: 'WEFT-MOD-012' })
    const folder = join(home, 'folder')
    mkdirSync(folder)
    await expect(attempt({ source: folder })).rejects.toMatchObject({ code: 'WEFT-MOD-003' })
    await comesIn(file(large))
  })

  it.runIf(isWhole)('leaves no child and nothing half-written when its own process is killed', async () => {
    const source = file(large)
    const program = join(import.meta.dirname, 'support', 'import-parent.ts')
    const parent = spawn(process.execPath, [program, home, source], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [said] = (await once(parent.stdout, 'data')) as [Buffer]
    const child = Number(said.toString())
    parent.kill('SIGKILL')
    await once(parent, 'close')
    await ended(child)
    expect(left()).toEqual([])
    await comesIn(source)
  })
})

describe('the range of a model', () => {
  it('is asked for before the manifest is written, and decides the boundaries', async () => {
    const source = file(tinyLlama())
    const asked: string[] = []
    const measured: ChildImportNeeds = {
      ...needs,
      fitsHalf: (manifest) => {
        asked.push(manifest.digest)
        expect(existsSync(needs.directory)).toBe(false)
        return Promise.resolve(false)
      },
    }
    const wide = await importAnyInChild(measured, { source })
    expect(wide.boundary).toBe('f32')
    // The same model needs no second measurement, another one of the name is refused before it is measured.
    expect(await importAnyInChild(measured, { source })).toEqual(wide)
    const other = { source: file(tinyLlama({ layers: 1 }), 'other.gguf'), name: wide.model }
    await expect(importAnyInChild(measured, other)).rejects.toMatchObject({ code: 'WEFT-MOD-008' })
    expect(asked).toHaveLength(1)
    expect((await loadManifests(needs.directory)).manifests).toEqual([wide])
  })

  it('takes everything back when it cannot be asked for', async () => {
    const source = file(tinyLlama())
    const failing = { ...needs, fitsHalf: () => Promise.reject(new Error('no measurement')) }
    await expect(importAnyInChild(failing, { source })).rejects.toThrow('no measurement')
    expect(left()).toEqual([])
  })
})

function withPieces(tokens: readonly string[]): GgufSpec {
  const key = { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens } as const
  return withKeys(tinyLlama(), { [key.key]: key })
}

/** Byte-level, cut by a rule that nobody knows. */
function withPre(pre: string): GgufSpec {
  const keys = [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' },
    { key: 'tokenizer.ggml.merges', type: 'string', value: ['a b'] },
    { key: 'tokenizer.ggml.pre', type: 'string', value: pre },
  ] as const
  return withKeys(tinyLlama(), Object.fromEntries(keys.map((key) => [key.key, key])))
}
