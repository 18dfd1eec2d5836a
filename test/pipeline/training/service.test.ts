/** A peer that trains for others, and what comes in from those who may not, or who send what no run would. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest'
import type { ModelManifest } from '../../../src/models/index.ts'
import { decodeControl } from '../../../src/net/index.ts'
import type { Channel, Frame } from '../../../src/net/index.ts'
import type { Tensor } from '../../../src/onnx/index.ts'
import { TRAIN, TRAIN_PROTOCOL } from '../../../src/pipeline/adapters/protocol.ts'
import { messageFrames } from '../../../src/pipeline/graph/messages.ts'
import type { TrainListener } from '../../../src/pipeline/adapters/open-stage.ts'
import { TrainHosts, TrainService } from '../../../src/pipeline/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { formOf, parametersOf } from '../../../src/training/index.ts'
import { firstAdapter } from '../../../src/training/adapters/form.ts'
import { systemClock } from '../../../src/util/index.ts'
import { createMemoryHub } from '../../mesh/memory-network.ts'
import { randomModel } from '../support/random-model.ts'

const SHAPE = { layers: 2, width: 64, hidden: 96, heads: 4, kv_heads: 2, head_dim: 32, rope_dim: 32, vocabulary: 64 }
const FORM = formOf({ kind: 'lora', rank: 2, alpha: 4, targets: ['q', 'v'] })
const LENGTH = 6
const MEMORY = 2 ** 30
const clock = systemClock()
const within = { timeout: 50_000, interval: 10 }

let directory: string
let model: ModelManifest
let hosts: TrainHosts
/** Bytes that others have here. */
let others = 0

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-train-'))
  const storeDirectory = join(directory, 'store')
  model = await randomModel(await createBlobStore({ directory: storeDirectory }), { type: 'Q4_0', shape: SHAPE })
  const path = join(directory, 'model.json')
  await writeFile(path, JSON.stringify(model))
  hosts = new TrainHosts({
    clock,
    codeCache: join(directory, 'code'),
    storeDirectory,
    threads: 1,
    memory: MEMORY,
    taken: () => others,
    model: () => Promise.resolve({ manifest: model, path }),
    fetch: () => Promise.resolve(),
    count: () => undefined,
  })
  // On a busy machine a host takes most of a minute to start: it is there before the first test.
  await hosts.lend(model.digest, 1, 3)
}, 240_000)
afterAll(async () => {
  await hosts.stop()
  await rm(directory, { recursive: true, force: true })
})

/** An origin with its own program. */
interface Stranger {
  send(type: number, control: Record<string, unknown>, tensors?: ReadonlyMap<string, Tensor>): Promise<void>
  readonly heard: Frame[]
  readonly channel: Channel
}

let service: TrainService
let counted: Map<string, number>
let sent: string[]
let stranger: (id: string) => Promise<Stranger>

beforeEach(() => {
  counted = new Map()
  sent = []
  const hub = createMemoryHub({ clock })
  const network = hub.network('stage')
  service = new TrainService({
    self: 'stage',
    network,
    clock,
    hosts,
    admits: (peer, purpose) => !(peer === 'observer' && purpose === 'originate'),
    admit: (peer) => {
      if (peer === 'unlisted') throw new Error('the policy of this site does not let it')
    },
    permit: (peer) => {
      sent.push(peer)
      throw new Error('rows of this site do not go there')
    },
    count: (name, by = 1) => counted.set(name, (counted.get(name) ?? 0) + by),
  })
  stranger = async (id) => {
    const own = hub.network(id)
    hub.connectAll()
    const channel = await own.open('stage', TRAIN_PROTOCOL)
    const heard: Frame[] = []
    channel.onFrame((part) => void heard.push(part))
    return {
      heard,
      channel,
      async send(type, control, tensors = new Map()) {
        for (const part of messageFrames({ type, request: 7, hop: 0, step: 0, control }, tensors))
          await channel.send(part)
      },
    }
  }
})
afterEach(() => service.stop())

function opening(): Record<string, unknown> {
  return { digest: model.digest, route: ['stage'], from: 1, to: 3, length: LENGTH, form: FORM }
}

function rows(count: number, width = SHAPE.width): ReadonlyMap<string, Tensor> {
  const data = Float32Array.from({ length: count * width }, (_, at) => Math.sin(at))
  return new Map([['rows', { type: 'float32', dims: [count, width], data }]])
}

function gradients(): ReadonlyMap<string, Tensor> {
  return new Map([['gradient', rows(LENGTH).get('rows')!]])
}

/** A byte of each, and a scale for 32. */
function weights(): number {
  const own = model.blocks.slice(1, -1).flatMap(({ tensors }) => tensors)
  return Math.ceil((own.reduce((sum, { shape }) => sum + shape.reduce((all, size) => all * size, 1), 0) * 9) / 8)
}

function adapters(): ReadonlyMap<string, Tensor> {
  const all = firstAdapter(model.shape, FORM, 1)
  return new Map(parametersOf(model.shape, FORM, 1, 3).map(({ name }) => [name, all[name]!]))
}

async function answerOf({ heard }: Stranger, type: number): Promise<Frame> {
  await expect.poll(() => heard.map((part) => part.type), within).toContain(type)
  return heard.find((part) => part.type === type)!
}

async function refusal(from: Stranger): Promise<string> {
  const { message, why } = decodeControl((await answerOf(from, TRAIN.error)).control) as Record<string, string>
  return `${message}: ${why}`
}

describe('who may begin a session', () => {
  it.each(['observer', 'unlisted'])('%s may not, and hears why', async (id) => {
    const from = await stranger(id)
    await from.send(TRAIN.open, opening())
    expect(await refusal(from)).toMatch(/originate|policy/)
    expect(counted.get('training_sessions')).toBeUndefined()
  })

  it('a member may, and its rows come back', async () => {
    const from = await stranger('member')
    await from.send(TRAIN.open, opening())
    await answerOf(from, TRAIN.opened)
    await from.send(TRAIN.begin, { micros: 1, back: false }, adapters())
    await from.send(TRAIN.forward, { micro: 0, origin: 'member' }, rows(LENGTH))
    expect((await answerOf(from, TRAIN.forward)).hop).toBe(1)
    expect(counted.get('forward_rows')).toBe(LENGTH)
  })

  it('one that goes while its session is opened leaves nothing', async () => {
    const from = await stranger('member')
    const hears = Promise.withResolvers<void>()
    service.listen(1, { digest: model.digest, route: ['member'] }, {
      failed: () => hears.resolve(),
    } as unknown as TrainListener)
    await from.send(TRAIN.open, opening())
    await from.channel.close()
    await hears.promise
    // Another's comes behind it in the same host.
    const other = await stranger('other')
    await other.send(TRAIN.open, opening())
    await answerOf(other, TRAIN.opened)
    expect(counted.get('training_sessions')).toBe(1)
  })

  it('rows of this peer do not leave for one that its site does not name', async () => {
    const head = { type: TRAIN.open, request: 3, hop: 0, step: 0, control: { ...opening(), route: ['elsewhere'] } }
    await expect(service.send('elsewhere', head, new Map())).rejects.toThrow('rows of this site')
    expect(sent).toEqual(['elsewhere'])
  })
})

describe('what no run would send', () => {
  it.each([
    ['no micro-batch', {}],
    ['a negative one', { micro: -1, origin: 'member' }],
    ['one that is no number', { micro: 'x', origin: 'member' }],
    ['an origin that is no name', { micro: 0, origin: 3 }],
  ])('%s: is counted, and the peer goes on', async (_, control) => {
    const from = await stranger('member')
    await from.send(TRAIN.forward, control, rows(LENGTH))
    await from.send(TRAIN.backward, control, rows(LENGTH))
    await expect.poll(() => counted.get('frames_refused'), within).toBe(2)
    await from.send(TRAIN.open, opening())
    await answerOf(from, TRAIN.opened)
  })

  it.each([
    ['rows that are no whole texts', 0, rows(LENGTH + 1), /not whole texts of 6/],
    ['rows of another width', 0, rows(LENGTH, 32), /width of the model/],
    ['a micro-batch that the step has not', 2, rows(LENGTH), /2 micro-batches/],
  ])('%s: ends the session with the reason', async (_, micro, tensors, why) => {
    const from = await stranger('member')
    await from.send(TRAIN.open, opening())
    await answerOf(from, TRAIN.opened)
    await from.send(TRAIN.begin, { micros: 2, back: true }, adapters())
    await from.send(TRAIN.forward, { micro, origin: 'member' }, tensors)
    expect(await refusal(from)).toMatch(why)
  })

  it('more micro-batches under way than a schedule needs: values that would be kept without end', async () => {
    const from = await stranger('member')
    await from.send(TRAIN.open, opening())
    await answerOf(from, TRAIN.opened)
    await from.send(TRAIN.begin, { micros: 100, back: true }, adapters())
    for (let micro = 0; micro < 4; micro++) await from.send(TRAIN.forward, { micro, origin: 'member' }, rows(LENGTH))
    expect(await refusal(from)).toContain('under way')
  })

  it('blocks beyond the model are not fetched', async () => {
    const from = await stranger('member')
    await from.send(TRAIN.open, { ...opening(), from: 1, to: 60_000 })
    expect(await refusal(from)).toContain('are not of')
  })
})

describe('rows that come before the step that they are of', () => {
  it('wait for it: the stage before may be nearer than the origin', async () => {
    const from = await stranger('member')
    await from.send(TRAIN.open, opening())
    await answerOf(from, TRAIN.opened)
    await from.send(TRAIN.forward, { micro: 0, origin: 'member' }, rows(LENGTH))
    await expect.poll(() => counted.get('early_rows'), within).toBe(1)
    await from.send(TRAIN.begin, { micros: 1, back: true }, adapters())
    await answerOf(from, TRAIN.forward)
    await from.send(TRAIN.backward, { micro: 0, origin: 'member' }, gradients())
    await answerOf(from, TRAIN.gradients)
    expect(counted.get('frames_refused')).toBeUndefined()
  })

  it('and are no more than a step has under way', async () => {
    const from = await stranger('member')
    await from.send(TRAIN.open, opening())
    await answerOf(from, TRAIN.opened)
    for (let micro = 0; micro < 4; micro++) await from.send(TRAIN.forward, { micro, origin: 'member' }, rows(LENGTH))
    expect(await refusal(from)).toContain('under way')
  })
})

describe('memory that sessions hold beside the weights', () => {
  /** Of both layers: two matrices each at q and v, and their gradients. */
  let adapterBytes = 0
  beforeAll(() => {
    for (const one of adapters().values()) adapterBytes += 2 * one.data.byteLength
  })
  const KEPT = 4 * LENGTH * SHAPE.width * SHAPE.layers

  afterEach(() => {
    others = 0
  })

  it('is that of adapters and of micro-batches on their way, of each session, and is given back', async () => {
    const [one, other] = [await stranger('one'), await stranger('other')]
    for (const from of [one, other]) {
      await from.send(TRAIN.open, opening())
      await answerOf(from, TRAIN.opened)
      await from.send(TRAIN.begin, { micros: 2, back: true }, adapters())
    }
    await one.send(TRAIN.forward, { micro: 0, origin: 'one' }, rows(LENGTH))
    await answerOf(one, TRAIN.forward)
    await expect.poll(() => hosts.held, within).toBe(2 * adapterBytes + KEPT)
    expect(service.open).toBe(2)
    await one.send(TRAIN.backward, { micro: 0, origin: 'one' }, gradients())
    await expect.poll(() => hosts.held, within).toBe(2 * adapterBytes)
    await one.channel.close()
    await expect.poll(() => hosts.held, within).toBe(adapterBytes)
    await other.send(TRAIN.begin, { micros: 2, back: true }, adapters())
    await other.send(TRAIN.close, {})
    await expect.poll(() => hosts.held, within).toBe(0)
    expect(service.open).toBe(0)
  })

  it('is refused where the peer has none left, to this session alone', async () => {
    const [one, other] = [await stranger('one'), await stranger('other')]
    for (const from of [one, other]) {
      await from.send(TRAIN.open, opening())
      await answerOf(from, TRAIN.opened)
      await from.send(TRAIN.begin, { micros: 1, back: true }, adapters())
    }
    await expect.poll(() => hosts.held, within).toBe(2 * adapterBytes)
    others = MEMORY - weights() - 2 * adapterBytes - KEPT
    await one.send(TRAIN.forward, { micro: 0, origin: 'one' }, rows(LENGTH))
    await answerOf(one, TRAIN.forward)
    await other.send(TRAIN.forward, { micro: 0, origin: 'other' }, rows(LENGTH))
    expect(await refusal(other)).toContain('weft may use')
    await one.send(TRAIN.backward, { micro: 0, origin: 'one' }, gradients())
    await answerOf(one, TRAIN.gradients)
  })
})
