/** What is lost between two stages, and stages that fail again and again, while their origin is connected with all of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import type { ModelManifest } from '../../../src/models/index.ts'
import { TRAIN } from '../../../src/pipeline/adapters/protocol.ts'
import { MeshLine, TrainHosts, TrainService } from '../../../src/pipeline/index.ts'
import type { RouteSegment } from '../../../src/pipeline/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { formOf } from '../../../src/training/index.ts'
import type { LineResult, LineStep } from '../../../src/training/index.ts'
import { firstAdapter } from '../../../src/training/adapters/form.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import type { Clock } from '../../../src/util/index.ts'
import { createMemoryHub } from '../../mesh/memory-network.ts'
import type { MemoryHub } from '../../mesh/memory-network.ts'
import { randomModel } from '../support/random-model.ts'

const SHAPE = { layers: 3, width: 64, hidden: 96, heads: 4, kv_heads: 2, head_dim: 32, rope_dim: 32, vocabulary: 64 }
const FORM = formOf({ kind: 'lora', rank: 2, alpha: 4, targets: ['q', 'v'] })
const LENGTH = 6
const SILENCE_MS = 600_000
const MEMORY = 2 ** 30
const NAMES = ['origin', 'a', 'b', 'c'] as const

let directory: string
let model: ModelManifest
/** Of each peer. */
let hosts: TrainHosts[]
/** Bytes that other things take at each of them. */
let others = 0

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-train-'))
  const storeDirectory = join(directory, 'store')
  model = await randomModel(await createBlobStore({ directory: storeDirectory }), { type: 'Q4_0', shape: SHAPE })
  const path = join(directory, 'model.json')
  await writeFile(path, JSON.stringify(model))
  const needs = {
    clock: systemClock(),
    codeCache: join(directory, 'code'),
    storeDirectory,
    threads: 1,
    memory: MEMORY,
    taken: () => others,
    model: () => Promise.resolve({ manifest: model, path }),
    fetch: () => Promise.resolve(),
    count: () => undefined,
  }
  hosts = NAMES.map(() => new TrainHosts(needs))
  // On a busy machine a host takes most of a minute to start: they are there before the first test.
  await Promise.all(hosts.map((each) => each.lend(model.digest, 1, 4)))
}, 240_000)
afterAll(async () => {
  await Promise.all(hosts.map((each) => each.stop()))
  await rm(directory, { recursive: true, force: true })
})

let hub: MemoryHub
let counted: Map<string, number>
let line: MeshLine
let services: TrainService[]
/** What waits for ten minutes of silence. */
let silent: Set<() => void>

const count = (name: string, by = 1): void => void counted.set(name, (counted.get(name) ?? 0) + by)

beforeEach(() => {
  const real = systemClock()
  silent = new Set()
  const clock: Clock = {
    ...real,
    after(milliseconds, action) {
      if (milliseconds !== SILENCE_MS) return real.after(milliseconds, action)
      silent.add(action)
      return () => void silent.delete(action)
    },
  }
  counted = new Map()
  hub = createMemoryHub({ clock })
  const networks = NAMES.map((id) => hub.network(id))
  services = networks.map(
    (network, index) =>
      new TrainService({ self: network.id, network, clock, hosts: hosts[index]!, admits: () => true, count }),
  )
  hub.connectAll()
  const needs = {
    self: 'origin',
    service: services[0]!,
    hosts: hosts[0]!,
    clock: systemClock(),
    random: systemRandom(),
    watch: () => () => undefined,
    replace: ({ from, to }: RouteSegment) => [{ peer: 'c', from, to }],
    count,
  }
  const route = [
    { peer: 'a', from: 1, to: 3 },
    { peer: 'b', from: 3, to: 4 },
  ]
  line = new MeshLine(needs, { manifest: model, form: FORM, length: LENGTH, gradients: 'float32', route })
})
afterEach(async () => {
  await line.close()
  await Promise.all(services.map((service) => service.stop()))
})

function step(): LineStep {
  const batches = Array.from({ length: 3 }, (_, micro) => ({
    rows: {
      type: 'float32' as const,
      dims: [LENGTH, SHAPE.width],
      data: Float32Array.from({ length: LENGTH * SHAPE.width }, (__, at) => Math.sin(at + micro)),
    },
    targets: Int32Array.from({ length: LENGTH }, (__, at) => at + micro),
  }))
  return { batches, weight: 1 / 18, parameters: firstAdapter(model.shape, FORM, 1) }
}

const peers = (): string[] => line.route.map(({ peer }) => peer)
const went = (): (number | undefined)[] => ['steps_replayed', 'failovers'].map((name) => counted.get(name))

async function undisturbed(): Promise<LineResult> {
  const whole = await line.step(step())
  expect(went()).toEqual([undefined, undefined])
  return whole
}

it('rows that are lost between two stages do not keep their origin waiting: the step is made again', async () => {
  const whole = await undisturbed()
  let cuts = 0
  hub.tamper((frame, from, to) => {
    if (frame.type !== TRAIN.forward || from !== 'a' || to !== 'b' || cuts > 0) return frame
    cuts++
    // The sender hears nothing of it: its frame was on its way already.
    setImmediate(() => {
      hub.disconnect('a', 'b')
      hub.connect('a', 'b')
    })
    return undefined
  })
  expect(await line.step(step())).toEqual(whole)
  expect([cuts, peers()]).toEqual([1, ['a', 'b']])
  expect(went()).toEqual([1, undefined])
}, 240_000)

it('a stage that cannot reach the next one is replaced after a few tries, and the step is the same', async () => {
  const whole = await undisturbed()
  hub.disconnect('a', 'b')
  expect(await line.step(step())).toEqual(whole)
  expect(peers()).toHaveLength(2)
  expect(peers()).toContain('c')
  expect(counted.get('failovers')).toBe(1)
  // It stays so.
  const replayed = counted.get('steps_replayed')
  expect(await line.step(step())).toEqual(whole)
  expect(counted.get('steps_replayed')).toBe(replayed)
}, 240_000)

it('stages that heard nothing for ten minutes have said so: the next step opens them again', async () => {
  const whole = await undisturbed()
  expect(silent.size).toBe(2)
  for (const action of silent) action()
  await expect.poll(() => silent.size).toBe(0)
  expect(await line.step(step())).toEqual(whole)
  expect(went()).toEqual([1, undefined])
}, 240_000)

it('stages whose memory is with others are asked again until they have it back', async () => {
  const whole = await undisturbed()
  others = MEMORY
  const waiting = line.step(step())
  try {
    await expect.poll(() => counted.get('steps_replayed') ?? 0, { timeout: 60_000 }).toBeGreaterThan(1)
  } finally {
    others = 0
  }
  expect(await waiting).toEqual(whole)
}, 240_000)
