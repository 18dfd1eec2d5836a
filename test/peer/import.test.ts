import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { ModelInfo, Progress } from '../../src/peer/index.ts'
import { homePaths, prepareHome } from '../../src/peer/home.ts'
import { Library } from '../../src/peer/library.ts'
import type { LocalPeer } from '../../src/peer/local-peer.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { ownTemporary } from '../models/support/scratch.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'
import { isWhole } from '../whole.ts'
import { childrenOf } from './support/children.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const { base, scratch } = ownTemporary('weft-peer-import-')

let home: string
let peer: LocalPeer
let count = 0

beforeEach(async () => {
  home = join(base, `home-${count++}`)
  peer = await createPeer({ home, offline: true })
})
afterEach(() => peer.stop({ drain: 0 }))

const READER = 'models/import/main'
const MEASURER = 'pipeline/host/range'
type Act = (child: number) => void

/** Imports, and does something to the child with this program at the first progress of its own. */
function attempt(program: string, act: Act, signal?: AbortSignal): Promise<ModelInfo> {
  let acted = false
  const sink = ({ task, done }: Progress): void => {
    if (acted || done === 0 || task.startsWith('importing') !== (program === READER)) return
    acted = true
    const children = childrenOf(process.pid, program)
    expect(children).toHaveLength(1)
    act(children[0]!)
  }
  return peer.importModel({ source: TINY, name: 'tiny' }, sink, signal)
}

function children(): number[] {
  return [READER, MEASURER].flatMap((program) => childrenOf(process.pid, program))
}

/** Files in the home that belong to a model, and folders that a measurement left elsewhere. */
function left(): string[] {
  const files = ['partitions', 'store'].flatMap((folder) =>
    readdirSync(join(home, folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
  )
  return [...files.map(({ name }) => name), ...scratchFolders()]
}

/** The engine keeps files of its own in the folder for temporary ones. */
function scratchFolders(): string[] {
  return readdirSync(scratch).filter((name) => name.startsWith('weft-'))
}

async function comesIn(): Promise<void> {
  expect(await peer.importModel({ source: TINY, name: 'tiny' })).toMatchObject({ model: 'tiny', boundary: 'f16' })
  expect((await peer.tokenize('tiny', { kind: 'text', text: 'The sea' })).ids.length).toBeGreaterThan(1)
}

describe.skipIf(process.platform !== 'linux')('an import by a peer (skipped: children are looked for in /proc)', () => {
  it('opens the file in a child and measures the range in another, and counts both', async () => {
    const steps: Progress[] = []
    const info = await peer.importModel({ source: TINY, name: 'tiny' }, (step) => steps.push(step))
    expect(info).toMatchObject({ model: 'tiny', blocks: 8, boundary: 'f16' })
    expect(peer.status().counters).toMatchObject({ import_children: 2, import_children_ended: 0, models_imported: 1 })
    expect(await peer.metrics()).toMatch(/^weft_ranges_measured_total\{threads="1"\} 1$/m)
    expect(children()).toEqual([])
    const range = steps.filter(({ task }) => task === 'checking the range of tiny')
    expect(range.map(({ done, total }) => [done, total])).toEqual([0, 1, 2, 3, 4, 5, 6].map((done) => [done, 6]))
    expect(scratchFolders()).toEqual([])
  })

  it('survives either child that is killed, keeps nothing, and imports afterwards', async () => {
    for (const program of [READER, MEASURER]) {
      const error: unknown = await attempt(program, (child) => process.kill(child, 'SIGKILL')).catch((e: unknown) => e)
      expect(error).toMatchObject({ code: 'WEFT-MOD-016', retryable: true })
      expect(left()).toEqual([])
      expect(peer.status().models).toEqual([])
    }
    expect(await peer.metrics()).toMatch(/^weft_import_children_ended_total\{why="died"\} 2$/m)
    await comesIn()
  })

  it('ends either child with its caller, and keeps nothing', async () => {
    for (const program of [READER, MEASURER]) {
      const controller = new AbortController()
      const stop = (): void => controller.abort(new Error('enough'))
      await expect(attempt(program, stop, controller.signal)).rejects.toThrow('enough')
      expect(children()).toEqual([])
      expect(left()).toEqual([])
    }
  })

  it('ends what is under way when the peer stops', async () => {
    let stopping: Promise<void> | undefined
    await expect(attempt(MEASURER, () => void (stopping = peer.stop()))).rejects.toMatchObject({ code: 'WEFT-API-040' })
    await stopping
    expect(children()).toEqual([])
    expect(left()).toEqual([])
  })

  it.runIf(isWhole)('ends a measurement that stands still', async () => {
    const paths = homePaths(join(base, 'library'), process.env)
    await prepareHome(paths)
    const counted: unknown[] = []
    const library = await Library.open({
      clock: systemClock(),
      store: await createBlobStore({ directory: paths.store }),
      paths,
      catalogues: [],
      log: () => undefined,
      count: (...counter) => counted.push(counter),
      importLimits: { silence: 3_000 },
      fetchManifest: () => Promise.resolve(null),
      fetchBlobs: () => Promise.resolve(),
      adopted: () => undefined,
      changed: () => undefined,
    })
    const freeze = ({ unit, done }: Progress): void => {
      if (unit === 'blocks' && done === 1) process.kill(childrenOf(process.pid, MEASURER)[0]!, 'SIGSTOP')
    }
    await expect(library.import({ source: TINY }, freeze)).rejects.toMatchObject({ code: 'WEFT-MOD-015' })
    expect(counted).toContainEqual(['import_children_ended', 1, { why: 'silence' }])
    expect(library.list()).toEqual([])
    expect(readdirSync(paths.partitions)).toEqual([])
    expect(children()).toEqual([])
  })
})

describe('the boundaries of a model', () => {
  it('are float32 where its residual leaves float16, also when it comes again', async () => {
    const spec = tinyLlama({ matrix: 'F32', layers: 1 })
    const tensors = spec.tensors.map((tensor) =>
      tensor.name === 'token_embd.weight'
        ? { ...tensor, data: new Uint8Array(new Float32Array(264 * 64).fill(50_000).buffer) }
        : tensor,
    )
    const source = join(base, 'wide.gguf')
    writeFileSync(source, writeGguf({ ...spec, tensors }))
    const first = await peer.importModel({ source, name: 'wide' })
    expect(first.boundary).toBe('f32')
    expect(await peer.importModel({ source, name: 'wide' })).toEqual(first)
  })
})

describe('a model that only the catalogue has', () => {
  it('is unknown to a request, whose error says how it is fetched', async () => {
    const error: unknown = await peer.tokenize('weft-tiny', { kind: 'text', text: 'a' }).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'WEFT-MOD-050', info: { http: 404 } })
    const { message, hint } = error as { message: string; hint: string }
    expect(message).toContain('weft run weft-tiny fetches it')
    expect(message).toContain('POST /api/v1/import with {"source":"weft-tiny"}')
    expect(hint).toContain('weft import weft-tiny')
    await expect(peer.tokenize('nobody', { kind: 'text', text: 'a' })).rejects.toThrow('there is no model nobody here')
  })
})
