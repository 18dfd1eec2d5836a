/** A fetcher that is killed in the middle, in a process of its own, over the real network. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createMesh } from '../../src/mesh/index.ts'
import type { Mesh } from '../../src/mesh/index.ts'
import { CHUNK_BYTES, createBlobStore, verifyBlob } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { networkPool } from '../net/helpers.ts'
import { content } from './support/blobs.ts'
import type { FetchChildJob } from './support/fetch-child.ts'
import { memoryFiles, QUIET } from './support/make-mesh.ts'

const CHILD = fileURLToPath(new URL('./support/fetch-child.ts', import.meta.url))
const CHUNKS = 24

type Counters = Readonly<Record<string, number>>

let folder: string
const pool = networkPool()
const meshes: Mesh[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-killed-'))
})

afterEach(async () => {
  await Promise.all(meshes.splice(0).map((mesh) => mesh.stop()))
  await pool.stopAll()
  await rm(folder, { recursive: true, force: true })
})

async function holder(): Promise<{ id: string; address: string; store: BlobStore; counters: Map<string, number> }> {
  const identity = newIdentity()
  const network = await pool.add({ identity })
  const store = await createBlobStore({ directory: join(folder, identity.id) })
  const counters = new Map<string, number>()
  const mesh = createMesh({
    network,
    identity,
    clock: systemClock(),
    random: systemRandom(),
    store,
    logger: QUIET,
    telemetry: { count: (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by) },
    files: memoryFiles(),
    loadManifest: () => Promise.resolve(undefined),
    uploadLimit: 6_000_000,
  })
  meshes.push(mesh)
  await mesh.start()
  return { id: identity.id, address: network.addresses()[0]!, store, counters }
}

/** The counters when the process has ended, or when it was killed. */
async function runChild(job: FetchChildJob, kill: (counters: Counters) => boolean): Promise<Counters> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CHILD, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  let last: Counters = {}
  for await (const line of createInterface({ input: child.stdout })) {
    last = (JSON.parse(line) as { counters: Counters }).counters
    if (kill(last)) child.kill('SIGKILL')
  }
  await ended
  return last
}

it('killed in the middle, twice, it goes on where it was, and no verified chunk is fetched again', async () => {
  const holders = [await holder(), await holder()]
  const bytes = content(1, CHUNKS * CHUNK_BYTES - 5)
  const blobs = [await holders[0]!.store.put(bytes)]
  await holders[1]!.store.put(bytes)
  const directory = join(folder, 'fetcher')
  const job = {
    directory,
    bootstrap: holders.map(({ address }) => address),
    holders: holders.map(({ id }) => id),
    blobs,
  }
  const got = (counters: Counters, name: string): number => counters[name] ?? 0
  const here = (counters: Counters): number => got(counters, 'chunks_resumed') + got(counters, 'chunks_fetched')

  const first = await runChild(job, (counters) => here(counters) >= 6)
  const second = await runChild(job, (counters) => here(counters) >= 14)
  expect(here(first)).toBeLessThan(CHUNKS)
  expect(here(second)).toBeLessThan(CHUNKS)
  // All that the first one had verified was still there. It may have kept one more in its last moment.
  const third = await runChild(job, () => false)
  expect(got(third, 'chunks_resumed')).toBeGreaterThanOrEqual(here(second))
  expect(here(third)).toBe(CHUNKS)
  // Twice is only what was cut off by a kill, or asked of a second holder because the first was slow.
  expect(got(third, 'chunks_fetched')).toBe(CHUNKS - got(third, 'chunks_resumed'))
  const store = await createBlobStore({ directory, readOnly: true })
  for (const { address } of blobs) expect(await verifyBlob(store, address)).toBe(true)
}, 60_000)
