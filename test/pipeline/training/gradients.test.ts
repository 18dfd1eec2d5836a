/** Steps that peers share: the same bits whoever is lost, and what comes in from those who may not, or who send what no run would. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { decodeControl, encodeControl } from '../../../src/net/index.ts'
import type { Channel, Frame } from '../../../src/net/index.ts'
import type { AnyTensor, Tensor } from '../../../src/onnx/index.ts'
import { messageFrames } from '../../../src/pipeline/graph/messages.ts'
import { GRADIENT, GRADIENT_PROTOCOL } from '../../../src/pipeline/gradients/protocol.ts'
import { GradientHosts, GradientService, MeshGradients } from '../../../src/pipeline/index.ts'
import { GradientSession } from '../../../src/training/index.ts'
import type { GradientStep, StepGradients } from '../../../src/training/index.ts'
import { localLine } from '../../../src/training/parallel/line.ts'
import { elementsOf, gradientGraphOf, gradientTaskText, readGradientTask } from '../../../src/training/parallel/task.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import { createMemoryHub } from '../../mesh/memory-network.ts'
import type { MemoryHub } from '../../mesh/memory-network.ts'
import { engine, floats, ints } from '../../training/loop/support.ts'

const clock = systemClock()
const within = { timeout: 50_000, interval: 10 }
const MEMORY = 2 ** 28
const TASK = readGradientTask(
  new TextEncoder().encode(
    JSON.stringify({
      schema: 'weft.gradient-task/1',
      task: 'multiclass',
      model: { kind: 'mlp', hidden: [4] },
      input: { type: 'float32', dims: [3] },
      outputs: 2,
      length: 1,
    }),
  ),
)
const TEXT = gradientTaskText(TASK)
const GRAPH = gradientGraphOf(TASK, 26)
const COUNT = elementsOf(GRAPH.parameters)

let directory: string
let hub: MemoryHub
let counted: Map<string, number>
let ends: (() => Promise<void>)[]

const count = (name: string, by = 1): void => void counted.set(name, (counted.get(name) ?? 0) + by)

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-gradients-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))
beforeEach(() => {
  hub = createMemoryHub({ clock })
  counted = new Map()
  ends = []
})
afterEach(async () => {
  for (const end of ends.reverse()) await end()
})

interface Peer {
  readonly service: GradientService
  readonly count: (name: string) => number
}

function peer(id: string, allow: (origin: string) => void = () => undefined): Peer {
  const own = new Map<string, number>()
  const tally = (name: string, by = 1): void => void own.set(name, (own.get(name) ?? 0) + by)
  const codeCache = join(directory, 'code')
  const hosts = new GradientHosts({ clock, codeCache, threads: 1, memory: MEMORY, taken: () => 0, count: tally })
  const service = new GradientService({
    self: id,
    network: hub.network(id),
    clock,
    hosts,
    admits: (origin, purpose) => !(origin === 'observer' && purpose === 'originate'),
    admit: allow,
    permitData: (to) => {
      if (to === 'elsewhere') throw new Error('examples of this site do not go there')
    },
    count: tally,
  })
  ends.push(
    () => hosts.stop(),
    () => service.stop(),
  )
  return { service, count: (name) => own.get(name) ?? 0 }
}

function over(origin: Peer, ...peers: readonly string[]): MeshGradients {
  const needs = { service: origin.service, clock, random: systemRandom(), watch: () => () => undefined, count }
  const open = { digest: TEXT.digest, parameters: COUNT, threads: 1 }
  const line = new MeshGradients(needs, { name: 'run', task: TEXT.bytes, parameters: GRAPH.parameters, open, peers })
  ends.push(() => line.close())
  return line
}

function stepOf(seed: number, shares = 4): GradientStep {
  const values = (dims: readonly number[], at: number): Tensor => {
    const size = dims.reduce((product, each) => product * each, 1)
    return floats(
      dims,
      Array.from({ length: size }, (_, index) => Math.sin(seed + at * 7 + index)),
    )
  }
  return {
    parameters: Object.fromEntries(GRAPH.parameters.map(({ name, dims }, at) => [name, values(dims, at)])),
    shares: Array.from({ length: shares }, (_, share) => [
      { feeds: { x: values([2, 3], share), target: ints([2], [share % 2, 1]) }, weight: 1 / shares },
    ]),
    whole: false,
  }
}

async function alone(step: GradientStep): Promise<StepGradients> {
  const needs = { engine, folder: directory, options: { threads: 1, optimization: 'basic' as const } }
  const session = await GradientSession.open(needs, GRAPH, 'float32')
  const line = localLine(session, GRAPH.parameters, () => session.close())
  const made = await line.step(step)
  await line.close()
  return made
}

const plain = ({ losses, parts }: StepGradients): unknown => [
  losses,
  parts.map((part) => Object.entries(part).map(([name, { dims, data }]) => [name, dims, Array.from(data, Number)])),
]

describe('shares', () => {
  it('have the bits of one process; a peer that is cut off loses its own to others, and comes back with a later step', async () => {
    const [origin, b, c] = [peer('a'), peer('b'), peer('c')]
    hub.connectAll()
    const line = over(origin, 'b', 'c')
    await line.open()
    const steps = [1, 2, 3].map((seed) => stepOf(seed))
    const expected: unknown[] = []
    for (const step of steps) expected.push(plain(await alone(step)))
    expect(plain(await line.step(steps[0]!))).toEqual(expected[0])
    expect([b.count('gradient_batches'), c.count('gradient_batches')]).toEqual([2, 2])
    expect(counted.get('gradient_bytes')).toBe(4 * COUNT * 4)
    expect(counted.get('shares_recomputed')).toBeUndefined()
    // Cut in the middle: its first share has been told, the second has not.
    hub.tamper((frame, from) => {
      if (from === 'b' && frame.type === GRADIENT.gradients && frame.request > 0) hub.disconnect('a', 'b')
      return frame
    })
    expect(plain(await line.step(steps[1]!))).toEqual(expected[1])
    expect(counted.get('shares_recomputed')).toBeGreaterThan(0)
    hub.tamper(undefined)
    hub.connect('a', 'b')
    await expect
      .poll(async () => {
        expect(plain(await line.step(steps[2]!))).toEqual(expected[2])
        return counted.get('sharers_returned')
      }, within)
      .toBe(1)
    const before = b.count('gradient_batches')
    expect(plain(await line.step(steps[2]!))).toEqual(expected[2])
    expect(b.count('gradient_batches')).toBe(before + 2)
    expect(line.sharers.map(({ peer: id, threads }) => [id, threads])).toEqual([
      ['b', 1],
      ['c', 1],
    ])
  })

  it.each<[string, (tensors: [string, string, number[], number][]) => unknown]>([
    ['another name', ([first, ...rest]) => [['other', ...first!.slice(1)], ...rest]],
    ['another shape', ([first, ...rest]) => [[first![0], first![1], first![2].toReversed(), first![3]], ...rest]],
    ['bytes for float32', ([first, ...rest]) => [[first![0], 'int8', [...first![2], 4], first![3]], ...rest]],
  ])('of %s are not taken: another computes them', async (_, change) => {
    const origin = peer('a')
    peer('b')
    hub.connectAll()
    const line = over(origin, 'b', 'a')
    await line.open()
    hub.tamper((frame, from) => {
      if (from !== 'b' || frame.type !== GRADIENT.gradients) return frame
      const control = decodeControl(frame.control) as { tensors: [string, string, number[], number][] }
      const { payload, request, type } = frame
      const again = messageFrames({ type, request, control: {} }, new Map<string, AnyTensor>())
      const [bare] = [...again]
      const head = { ...control, tensors: change(control.tensors) }
      return { ...bare!, payload, dims: frame.dims, dtype: frame.dtype, control: encodeControl(head) }
    })
    const step = stepOf(4)
    expect(plain(await line.step(step))).toEqual(plain(await alone(step)))
    expect(counted.get('shares_recomputed')).toBe(2)
  })

  it('that nobody can compute end the run, and say why for each peer', async () => {
    const origin = peer('a')
    peer('b')
    hub.connectAll()
    const line = over(origin, 'b')
    await line.open()
    const step = stepOf(5)
    const odd = { ...step, shares: [[{ feeds: { x: floats([1, 2], [1, 2]), target: ints([1], [1]) }, weight: 1 }]] }
    await expect(line.step(odd)).rejects.toMatchObject({ code: 'WEFT-INF-132', why: expect.stringMatching(/^b: /) })
  })

  it('a run that is cancelled asks nobody any more', async () => {
    const [origin, b] = [peer('a'), peer('b')]
    hub.connectAll()
    const line = over(origin, 'b')
    await line.open()
    const end = new AbortController()
    hub.stall('b', 'a')
    const running = line.step(stepOf(6), end.signal)
    await expect.poll(() => b.count('gradient_batches'), within).toBeGreaterThan(0)
    end.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    hub.flow()
  })
})

describe('who may not', () => {
  it.each([
    ['observer', /originate|role/i],
    ['unlisted', /policy/],
  ])('%s hears why, and no process is started', async (id, why) => {
    const origin = peer(id)
    const other = peer('b', (from) => {
      if (from === 'unlisted') throw new Error('the policy of this site does not let it')
    })
    hub.connectAll()
    await expect(over(origin, 'b').open()).rejects.toThrow(why)
    expect([other.count('training_hosts'), other.count('training_sessions')]).toEqual([0, 0])
  })

  it('examples of this peer do not leave for one that its site does not name', async () => {
    const origin = peer('a')
    peer('elsewhere')
    hub.connectAll()
    await expect(over(origin, 'elsewhere').open()).rejects.toThrow('examples of this site')
  })

  it('is not there: the run does not begin', async () => {
    const origin = peer('a')
    await expect(over(origin, 'nobody').open()).rejects.toThrow()
  })
})

/** An origin with its own program. */
async function stranger(id: string): Promise<{
  send(type: number, control: Record<string, unknown>, tensors?: ReadonlyMap<string, Tensor>): Promise<void>
  answer(type: number): Promise<Frame>
}> {
  const own = hub.network(id)
  hub.connectAll()
  const channel: Channel = await own.open('b', GRADIENT_PROTOCOL)
  const heard: Frame[] = []
  channel.onFrame((part) => void heard.push(part))
  return {
    async send(type, control, tensors = new Map()) {
      for (const part of messageFrames({ type, request: 7, control }, tensors)) await channel.send(part)
    },
    async answer(type) {
      await expect.poll(() => heard.map((part) => part.type), within).toContain(type)
      return heard.find((part) => part.type === type)!
    },
  }
}

const OPEN = { digest: TEXT.digest, parameters: COUNT, threads: 1 }
const taskOf = (bytes: Uint8Array): ReadonlyMap<string, Tensor> =>
  new Map([['task', { type: 'uint8', dims: [bytes.length], data: bytes }]])

async function refusal(from: Awaited<ReturnType<typeof stranger>>): Promise<string> {
  const { code, message, why } = decodeControl((await from.answer(GRADIENT.error)).control) as Record<string, string>
  return `${code} ${message}: ${why}`
}

describe('what no run would send', () => {
  const large = gradientTaskText({ ...TASK, model: { kind: 'mlp', hidden: [1_000_000, 1_000_000] } })
  const wide = gradientTaskText({
    ...TASK,
    task: 'language',
    model: { kind: 'decoder', layers: 1, width: 4, heads: 1 },
    input: { type: 'int64', dims: [8] },
    length: 2 ** 29,
  })
  const file = gradientTaskText({ ...TASK, model: { kind: 'onnx', path: '/etc/passwd' } })
  it.each<[string, object, ReadonlyMap<string, Tensor>, RegExp]>([
    ['no task', OPEN, new Map(), /WEFT-INF-128.*the task is missing/],
    ['a task of another digest', { ...OPEN, digest: '0'.repeat(64) }, taskOf(TEXT.bytes), /WEFT-INF-128.*digest/],
    ['more parameters than fit', { ...OPEN, parameters: 2 ** 30 }, taskOf(TEXT.bytes), /WEFT-INF-050/],
    ['fewer than the model has', { ...OPEN, parameters: 3 }, taskOf(TEXT.bytes), /WEFT-INF-130.*26 parameters, and 3/],
    ['a model that no memory holds', { ...OPEN, digest: large.digest }, taskOf(large.bytes), /WEFT-INF-130.*too large/],
    ['a path', { ...OPEN, digest: file.digest }, taskOf(file.bytes), /WEFT-INF-130.*a model file stays/],
    ['threads without end', { ...OPEN, threads: 1e9 }, taskOf(TEXT.bytes), /WEFT-INF-128.*threads/],
  ])('%s: is refused', async (_, open, tensors, why) => {
    peer('b')
    const from = await stranger('member')
    await from.send(GRADIENT.open, { ...open }, tensors)
    expect(await refusal(from)).toMatch(why)
  })

  it('a graph that no memory holds: its process is ended, and the peer goes on, with no more threads than it has', async () => {
    peer('b')
    const from = await stranger('member')
    await from.send(GRADIENT.open, { ...OPEN, digest: wide.digest }, taskOf(wide.bytes))
    expect(await refusal(from)).toMatch(/WEFT-INF-(?:021|130)/)
    const other = await stranger('other')
    await other.send(GRADIENT.open, { ...OPEN, threads: 64 }, taskOf(TEXT.bytes))
    expect(decodeControl((await other.answer(GRADIENT.opened)).control)).toMatchObject({ threads: 1 })
  })

  it('a batch of another shape ends the session with the reason; what is of no session is counted', async () => {
    const b = peer('b')
    const from = await stranger('member')
    await from.send(GRADIENT.batch, { weight: 1 })
    await from.send(GRADIENT.computed, {})
    await expect.poll(() => b.count('frames_refused'), within).toBe(2)
    await from.send(GRADIENT.open, OPEN, taskOf(TEXT.bytes))
    await from.answer(GRADIENT.opened)
    await from.send(GRADIENT.begin, {}, new Map(Object.entries(stepOf(1).parameters)))
    await from.send(GRADIENT.batch, { weight: 1 }, new Map([['x', floats([1, 2], [1, 2])]]))
    expect(await refusal(from)).toMatch(/WEFT-INF-131/)
  })

  it('parameters of another number than were said end the session before they reach a host', async () => {
    peer('b')
    const from = await stranger('member')
    await from.send(GRADIENT.open, OPEN, taskOf(TEXT.bytes))
    await from.answer(GRADIENT.opened)
    const more: [string, Tensor][] = [['more', { type: 'uint8', dims: [2 ** 21], data: new Uint8Array(2 ** 21) }]]
    await from.send(GRADIENT.begin, {}, new Map(more))
    expect(await refusal(from)).toMatch(/WEFT-INF-128.*are the most of such a message/)
  })

  it('more under way than any run has ends the session', async () => {
    peer('b')
    const from = await stranger('member')
    await from.send(GRADIENT.open, OPEN, taskOf(TEXT.bytes))
    await from.answer(GRADIENT.opened)
    const { parameters, shares } = stepOf(1)
    const begin = (): Promise<void> => from.send(GRADIENT.begin, {}, new Map(Object.entries(parameters)))
    await Promise.all(Array.from({ length: 40 }, begin))
    await from.send(GRADIENT.batch, { weight: 1 }, new Map(Object.entries(shares[0]![0]!.feeds)))
    expect(await refusal(from)).toContain('under way')
  })
})
