/** weft train over real processes: the bits of one process, also when a stage is lost in the middle of a step. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { weft } from '../cli/support.ts'
import { isLong, isWhole } from '../whole.ts'
import { createLab, TINY } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

let lab: Lab
let peers: RealPeer[]
const at = (name: string): string => join(lab.home('.'), name)

const PLAN = {
  schema: 'weft.train-plan/1',
  name: 'loud',
  seed: 3,
  task: 'language',
  data: { kind: 'text', path: 'texts.jsonl', length: 16 },
  model: { kind: 'base', name: 'weft-tiny' },
  adapter: { kind: 'lora', rank: 4, targets: ['q', 'v', 'o', 'down'] },
  optimizer: { kind: 'adamw', lr: 0.01, clip_norm: 1 },
  epochs: 2,
  batch: 2,
  accumulate: 4,
}

/** Of rank 4 beside q, v, o and down of weft-tiny. */
const PARAMETERS = 41_472
const TEXT = 'THE SEA WAS CALM, AND THE OLD MAN SAID NOTHING ABOUT IT. '

async function placed(name: string, ...ends: readonly number[]): Promise<string> {
  const stages = ends.map((to, index) => ({ peer: peers[index]!.id, from: ends[index - 1] ?? 0, to }))
  await writeFile(at(name), JSON.stringify({ model: 'weft-tiny', stages }))
  return at(name)
}

const train = (out: string, ...args: readonly string[]): ReturnType<typeof weft> =>
  weft(['train', at('plan.json'), '--out', at(out), '--threads', '1', '--home', peers[0]!.home, ...args])

const asked = (tokens: number, ...args: readonly string[]): ReturnType<typeof weft> => {
  const options = ['--raw', '--max-tokens', String(tokens), '--temperature', '0', '--home', peers[0]!.home]
  return weft(['run', 'weft-tiny', 'The sea', ...options, ...args])
}
const run = (...args: readonly string[]): ReturnType<typeof weft> => asked(12, ...args)

const adapter = (out: string): Promise<Buffer> => readFile(join(at(out), 'adapter_model.safetensors'))

const counter = async (peer: RealPeer, name: string): Promise<number> =>
  (await peer.access.status()).counters[name] ?? 0

beforeAll(async () => {
  lab = await createLab()
  const a = await lab.start('a', ['--lan', 'off', '--listen', '/ip4/127.0.0.1/tcp/0'])
  const joining = ['--lan', 'off', '--listen', '/ip4/127.0.0.1/tcp/0', '--bootstrap', a.addresses[0]!]
  peers = [a, await lab.start('b', joining), await lab.start('c', joining)]
  await vi.waitFor(
    async () => {
      const { peers: seen } = await a.access.status()
      expect(seen.filter(({ state }) => state === 'connected')).toHaveLength(2)
    },
    { timeout: 20_000, interval: 50 },
  )
  await a.access.importModel({ source: TINY, name: 'weft-tiny' }, () => undefined)
  await writeFile(at('plan.json'), JSON.stringify(PLAN))
  await writeFile(at('texts.jsonl'), `${JSON.stringify({ text: TEXT.repeat(16) })}\n`)
}, 60_000)

afterAll(() => lab.stop())

describe.runIf(isLong)('an adapter over three peers', () => {
  it('is the bits of one process, and each stage computed its layers both ways', async () => {
    expect(await train('one')).toMatchObject({ status: 0 })
    expect(await train('three', '--placement', await placed('three.json', 3, 5, 8))).toMatchObject({ status: 0 })
    expect(await adapter('three')).toEqual(await adapter('one'))
    const back = await Promise.all(peers.map((peer) => counter(peer, 'backward_rows')))
    expect(back[0]).toBeGreaterThan(0)
    expect(back).toEqual([back[0], back[0], back[0]])
    expect(await counter(peers[0]!, 'steps_replayed')).toBe(0)
  }, 90_000)

  it('a soft prompt is trained, and served by those that have the embedding: what it says in one process', async () => {
    const plan = { ...PLAN, adapter: { kind: 'prompt', tokens: 6 }, epochs: 1 }
    await writeFile(at('plan-soft.json'), JSON.stringify(plan))
    const own = ['--home', peers[0]!.home]
    const here = ['--out', at('soft'), '--threads', '1', ...own]
    expect(await weft(['train', at('plan-soft.json'), ...here])).toMatchObject({ status: 0 })
    const added = await weft(['adapter', 'add', at('soft'), '--model', 'weft-tiny', '--json', ...own])
    expect(JSON.parse(added.stdout)).toMatchObject({ kind: 'prompt', rank: null, tokens: 6, parts: [] })
    const soft = ['--adapter', 'soft', '--placement']
    const [alone, plain] = [await run(...soft, 'local'), await run('--placement', 'local')]
    expect([alone.status, plain.status]).toEqual([0, 0])
    expect(alone.stdout).not.toBe(plain.stdout)
    const stages = [1, 2].map((peer) => ({ peer: peers[peer]!.id, from: peer === 1 ? 0 : 4, to: peer === 1 ? 4 : 8 }))
    await writeFile(at('elsewhere.json'), JSON.stringify({ model: 'weft-tiny', stages }))
    const three = await placed('three.json', 3, 5, 8)
    const said = await Promise.all([
      ...[three, at('elsewhere.json')].map((each) => run(...soft, each)),
      run('--placement', three),
    ])
    expect(said.map(({ stdout }) => stdout)).toEqual([alone.stdout, alone.stdout, plain.stdout])
    expect(await counter(peers[0]!, 'adapter_sessions')).toBe(3)
  }, 90_000)

  it.runIf(isWhole)(
    'is served over them, beside answers of the model alone, and each says what it says in one process',
    async () => {
      const own = ['--model', 'weft-tiny', '--home', peers[0]!.home]
      const before = await counter(peers[0]!, 'adapter_sessions')
      expect(await weft(['adapter', 'add', at('one'), '--name', 'loud', ...own])).toMatchObject({ status: 0 })
      const [alone, plain] = [await run('--adapter', 'loud', '--placement', 'local'), await run('--placement', 'local')]
      expect([alone.status, plain.status]).toEqual([0, 0])
      expect(alone.stdout).not.toBe(plain.stdout)
      const three = ['--placement', at('three.json')]
      const [over, beside] = await Promise.all([run('--adapter', 'loud', ...three), run(...three)])
      expect([over.status, over.stderr]).toEqual([0, expect.any(String)])
      expect([over.stdout, beside.stdout]).toEqual([alone.stdout, plain.stdout])
      expect(await counter(peers[0]!, 'adapter_sessions')).toBe(before + 2)
      expect((await run('--adapter', 'nobody')).stderr).toContain('WEFT-MOD-050')
    },
    120_000,
  )

  it.runIf(isWhole)(
    'two lines share each step, and the sum is the same when one loses its host',
    async () => {
      await writeFile(at('c.json'), JSON.stringify({ stages: [{ peer: peers[2]!.id, from: 0, to: 8 }] }))
      const lines = ['--placement', await placed('ab.json', 4, 8), '--placement', at('c.json')]
      expect(await train('shared', ...lines)).toMatchObject({ status: 0 })
      const running = train('shared-lost', ...lines)
      const before = await counter(peers[1]!, 'backward_rows')
      await vi.waitFor(async () => expect(await counter(peers[1]!, 'backward_rows')).toBeGreaterThan(before), {
        timeout: 30_000,
        interval: 5,
      })
      await killHost(peers[1]!)
      expect(await running).toMatchObject({ status: 0 })
      expect(await adapter('shared-lost')).toEqual(await adapter('shared'))
    },
    120_000,
  )

  it.runIf(isWhole)(
    'rounded gradients take a quarter of the bytes, and are the bits of one process',
    async () => {
      await writeFile(at('plan.json'), JSON.stringify({ ...PLAN, gradients: 'int8' }))
      const three = await placed('three.json', 3, 5, 8)
      expect(await train('rounded-one')).toMatchObject({ status: 0 })
      const before = await counter(peers[0]!, 'gradient_bytes')
      expect(await train('rounded', '--placement', three)).toMatchObject({ status: 0 })
      const rounded = (await counter(peers[0]!, 'gradient_bytes')) - before
      await writeFile(at('plan.json'), JSON.stringify(PLAN))
      expect(await train('exact', '--placement', three)).toMatchObject({ status: 0 })
      const exact = (await counter(peers[0]!, 'gradient_bytes')) - before - rounded
      expect(await adapter('rounded')).toEqual(await adapter('rounded-one'))
      expect(await adapter('rounded')).not.toEqual(await adapter('exact'))
      // The last step of each of the two epochs tells all.
      const steps = exact / (4 * PARAMETERS)
      expect(Number.isInteger(steps)).toBe(true)
      expect(rounded).toBeGreaterThan(2 * 4 * PARAMETERS)
      expect(rounded).toBeLessThan((2 * 4 + (steps - 2) * 1.02) * PARAMETERS)
    },
    120_000,
  )

  it.runIf(isWhole)(
    'a training host that is killed in the middle is started again, and the steps are the same',
    async () => {
      const running = train('killed', '--placement', at('three.json'))
      const before = await counter(peers[1]!, 'backward_rows')
      await vi.waitFor(async () => expect(await counter(peers[1]!, 'backward_rows')).toBeGreaterThan(before), {
        timeout: 30_000,
        interval: 5,
      })
      await killHost(peers[1]!)
      expect(await running).toMatchObject({ status: 0 })
      expect(await adapter('killed')).toEqual(await adapter('one'))
      expect(await counter(peers[0]!, 'steps_replayed')).toBeGreaterThan(0)
    },
    90_000,
  )

  it.runIf(isWhole)(
    'a peer that is killed in the middle is replaced, and the steps are the same',
    async () => {
      const running = train('replaced', '--placement', at('three.json'))
      const before = await counter(peers[2]!, 'backward_rows')
      await vi.waitFor(async () => expect(await counter(peers[2]!, 'backward_rows')).toBeGreaterThan(before), {
        timeout: 30_000,
        interval: 5,
      })
      peers[2]!.child.kill('SIGKILL')
      expect(await running).toMatchObject({ status: 0 })
      expect(await adapter('replaced')).toEqual(await adapter('one'))
      expect(await counter(peers[0]!, 'failovers')).toBeGreaterThan(0)
    },
    90_000,
  )

  it.runIf(isWhole)(
    'a soft prompt goes along when the peer that has the embedding is lost in the middle of an answer',
    async () => {
      const stages = [
        { peer: peers[1]!.id, from: 0, to: 4 },
        { peer: peers[0]!.id, from: 4, to: 8 },
      ]
      await writeFile(at('ba.json'), JSON.stringify({ model: 'weft-tiny', stages }))
      const soft = ['--adapter', 'soft', '--placement']
      const alone = await asked(400, ...soft, 'local')
      expect(alone.status).toBe(0)
      const [answers, lost] = [await counter(peers[1]!, 'frames_sent'), await counter(peers[0]!, 'failovers')]
      const running = asked(400, ...soft, at('ba.json'))
      await vi.waitFor(async () => expect(await counter(peers[1]!, 'frames_sent')).toBeGreaterThan(answers + 20), {
        timeout: 30_000,
        interval: 5,
      })
      peers[1]!.child.kill('SIGKILL')
      expect((await running).stdout).toBe(alone.stdout)
      expect(await counter(peers[0]!, 'failovers')).toBeGreaterThan(lost)
    },
    90_000,
  )
})

/** The one child of a peer that trains. */
async function killHost(peer: RealPeer): Promise<void> {
  const children = await readFile(`/proc/${peer.pid}/task/${peer.pid}/children`, 'utf8')
  for (const pid of children.trim().split(' ')) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes('adapters/host/main')) process.kill(Number(pid), 'SIGKILL')
  }
}
