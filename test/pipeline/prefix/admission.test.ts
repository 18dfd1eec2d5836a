/** A stage host's sessions and the prefixes that it keeps: who gets the memory, and what a session that begins alike computes. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ModelManifest } from '../../../src/models/index.ts'
import { decodeControl, DTYPE, frame } from '../../../src/net/index.ts'
import type { Frame } from '../../../src/net/index.ts'
import { HOST, RUN } from '../../../src/pipeline/host/protocol.ts'
import type { OpenControl } from '../../../src/pipeline/host/protocol.ts'
import { StageRuntime } from '../../../src/pipeline/host/runtime.ts'
import { GREEDY } from '../../../src/pipeline/index.ts'
import { PrefixNames } from '../../../src/pipeline/prefix/names.ts'
import { ToyParts } from '../../simulation/toy/parts.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { randomModel } from '../support/random-model.ts'

const names = new PrefixNames(new Uint8Array(32), 'model')
const ids = (count: number): number[] => Array.from({ length: count }, (_, at) => 3 + ((at * 7) % 200))

let directory: string
let manifest: ModelManifest

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-admission-'))
  const store = await createBlobStore({ directory })
  // A row of KV is what the toy's caches have.
  const shape = { width: 64, hidden: 64, heads: 1, kv_heads: 1, head_dim: 2, rope_dim: 2 }
  manifest = await randomModel(store, { type: 'F32', shape })
})
afterAll(() => rm(directory, { recursive: true, force: true }))

async function runtimeOf(kvPositions: number) {
  const clock = { now: () => 0, wall: () => 0, sleep: () => Promise.resolve(), after: () => () => undefined }
  const parts = new ToyParts({ clock, manifest, speed: () => ({ layerMs: 0, headMs: 0 }) })
  const last = manifest.blocks.length
  await parts.load(0, last)
  const bytes = parts.kvBytes(parts.segment(0, last), 1)
  const seen: Frame[] = []
  const runtime = new StageRuntime({
    clock,
    manifest,
    parts,
    kvBytes: kvPositions * bytes,
    emit: (each) => seen.push(each),
  })
  const open = (request: number, positions: number, text: readonly number[]): void => {
    const sampler = { sampling: GREEDY, logprobs: -1, history: [] }
    const prefix = { scope: 'a', names: names.of(text), most: 100 }
    const control: OpenControl = { from: 0, to: last, positions, sampler, prefix }
    runtime.open(frame({ type: HOST.open, request }), control)
  }
  const run = async (request: number, position: number, text: readonly number[], flags: number): Promise<Frame> => {
    const payload = new Uint8Array(Int32Array.from(text).buffer)
    const before = seen.length
    runtime.run(frame({ type: HOST.run, request, position, dtype: DTYPE.i32, dims: [text.length], payload, flags }))
    for (let turn = 0; turn < 50 && seen.length === before; turn++) await setImmediate()
    return seen.at(-1)!
  }
  const close = (request: number): void => runtime.close(frame({ type: HOST.close, request }))
  return { runtime, seen, open, run, close, bytes }
}

const tokenOf = ({ payload }: Frame): number => new DataView(payload.buffer, payload.byteOffset).getInt32(0, true)

it('computes from where a text differs, and chooses the token that it would have chosen', async () => {
  const { seen, open, run } = await runtimeOf(400)
  open(1, 100, ids(70))
  expect(seen.at(-1)).toMatchObject({ type: HOST.opened, position: 0 })
  const first = tokenOf(await run(1, 0, ids(70), RUN.token))
  open(2, 100, ids(70))
  expect(seen.at(-1)).toMatchObject({ type: HOST.opened, position: 64 })
  expect(tokenOf(await run(2, 64, ids(70).slice(64), RUN.token))).toBe(first)
})

it('never refuses a session for what is only kept, and refuses it for other sessions as before', async () => {
  const { runtime, seen, open, run, close, bytes } = await runtimeOf(200)
  open(1, 100, ids(90))
  await run(1, 0, ids(90), RUN.token)
  close(1)
  expect(runtime.stats()).toMatchObject({ sessions: 0, kvBytes: 80 * bytes })
  open(2, 170, [])
  expect(runtime.stats().sessions).toBe(1)
  expect(seen.at(-1)!.type).toBe(HOST.opened)
  open(3, 31, [])
  expect(decodeControl(seen.at(-1)!.control)).toMatchObject({ code: 'WEFT-INF-010' })
  close(2)
  open(4, 100, ids(90))
  // What made room for the session is gone, from the end of the text on.
  expect(seen.at(-1)).toMatchObject({ type: HOST.opened, position: 16 })
})

it('goes back to a row and on from there as if nothing had been beyond it', async () => {
  const { open, run } = await runtimeOf(400)
  open(1, 100, [])
  await run(1, 0, ids(20), RUN.token)
  const right = tokenOf(await run(1, 20, [50], RUN.token))
  open(2, 100, [])
  await run(2, 0, ids(20), RUN.token)
  await run(2, 20, [99, 7, 8], 0)
  expect(tokenOf(await run(2, 20, [50], RUN.token | RUN.rewind))).toBe(right)
  expect((await run(2, 5, [50], RUN.token)).type).toBe(HOST.error)
})
