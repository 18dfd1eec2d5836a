/** weft train of a plan whose steps peers share: the bits of one process, also when peers leave or freeze, or the origin is killed. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createSeeded, writeNpz } from '../../src/data/index.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { weft } from '../cli/support.ts'
import { isLong, isWhole } from '../whole.ts'
import { createLab } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

let lab: Lab
let peers: RealPeer[]
let joining: readonly string[]
const at = (name: string): string => join(lab.home('.'), name)

const COMMON = {
  schema: 'weft.train-plan/1',
  seed: 3,
  data: { kind: 'npz', path: 'data.npz', input: 'x', target: 'y' },
  split: { every: 5, test: 4, validation: 3 },
  task: 'multiclass',
  classes: 3,
  optimizer: { kind: 'adamw', lr: 0.01, clip_norm: 1 },
  batch: 8,
  accumulate: 6,
  checkpoint: { every_steps: 2, keep: 1000 },
}
const PLANS = {
  mlp: { ...COMMON, name: 'mlp', model: { kind: 'mlp', hidden: [32] }, epochs: 12 },
  cnn: {
    ...COMMON,
    name: 'cnn',
    data: { ...COMMON.data, path: 'images.npz' },
    model: { kind: 'cnn', channels: [4, 8], hidden: [16] },
    epochs: 4,
  },
} as const

const ROWS = 600

async function writeData(): Promise<void> {
  const seeded = createSeeded(5, 'shared')
  const target = BigInt64Array.from({ length: ROWS }, () => BigInt(seeded.below(3)))
  const x = Float32Array.from({ length: ROWS * 64 }, (_, index) => {
    const label = Number(target[Math.floor(index / 64)])
    return seeded.normal() + (index % 3 === label ? 1.5 : 0)
  })
  const arrays = (dims: readonly number[]): ReadonlyMap<string, AnyTensor> =>
    new Map<string, AnyTensor>([
      ['x', { type: 'float32', dims, data: x }],
      ['y', { type: 'int64', dims: [ROWS], data: target }],
    ])
  await writeNpz(at('data.npz'), arrays([ROWS, 64]))
  await writeNpz(at('images.npz'), arrays([ROWS, 1, 8, 8]))
}

const train = (
  plan: keyof typeof PLANS | 'rounded',
  out: string,
  ...args: readonly string[]
): ReturnType<typeof weft> =>
  weft(['train', at(`${plan}.json`), '--out', at(out), '--threads', '1', '--home', peers[0]!.home, ...args])

const by = (...names: readonly string[]): string[] => names.flatMap((name) => ['--peer', name])

/** All that a run leaves: weights, state of the optimizer, losses. */
async function bits(out: string): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(at(out))).filter((name) => /^(?:checkpoint|model|curve\.json)/.test(name))
  const read = names.map(async (name) => [name, (await readFile(join(at(out), name))).toString('base64')] as const)
  return new Map(await Promise.all(read))
}

const counter = async (peer: RealPeer, name: string): Promise<number> =>
  (await peer.access.status()).counters[name] ?? 0

async function computes(peer: RealPeer): Promise<void> {
  const before = await counter(peer, 'gradient_batches')
  const ask = async (): Promise<void> => expect(await counter(peer, 'gradient_batches')).toBeGreaterThan(before + 5)
  await vi.waitFor(ask, { timeout: 60_000, interval: 5 })
}

async function connected(count: number): Promise<void> {
  const ask = async (): Promise<void> => {
    const { peers: seen } = await peers[0]!.access.status()
    expect(seen.filter(({ state }) => state === 'connected')).toHaveLength(count)
  }
  await vi.waitFor(ask, { timeout: 30_000, interval: 50 })
}

beforeAll(async () => {
  lab = await createLab()
  const a = await lab.start('anna', ['--lan', 'off', '--listen', '/ip4/127.0.0.1/tcp/0'])
  joining = ['--lan', 'off', '--listen', '/ip4/127.0.0.1/tcp/0', '--bootstrap', a.addresses[0]!]
  peers = [a, await lab.start('bert', joining), await lab.start('carl', joining)]
  await connected(2)
  await writeData()
  for (const [name, plan] of Object.entries(PLANS)) await writeFile(at(`${name}.json`), JSON.stringify(plan))
  await writeFile(at('rounded.json'), JSON.stringify({ ...PLANS.cnn, gradients: 'int8' }))
}, 90_000)

afterAll(() => lab.stop())

describe.runIf(isLong)('a plan whose steps peers share', () => {
  it('an MLP: two peers, and three with the origin, have the bits of one process', async () => {
    expect(await train('mlp', 'one')).toMatchObject({ status: 0 })
    const one = await bits('one')
    expect(one.size).toBeGreaterThan(10)
    const two = await train('mlp', 'two', '--json', ...by('bert', 'carl'))
    expect(two).toMatchObject({ status: 0 })
    expect(await bits('two')).toEqual(one)
    const { sharers, counters } = JSON.parse(two.stdout) as {
      sharers: { peer: string; shares: number; threads: number; kernel: string }[]
      counters: Record<string, number>
    }
    expect(sharers.map(({ peer, threads }) => [peer, threads])).toEqual([
      [peers[1]!.id, 1],
      [peers[2]!.id, 1],
    ])
    const shares = sharers.reduce((sum, { shares: own }) => sum + own, 0)
    expect(counters).toMatchObject({ micro_batches: shares, shares_recomputed: 0 })
    expect(counters['gradient_bytes']).toBe(shares * 4 * (64 * 32 + 32 + 32 * 3 + 3))
    const before = await counter(peers[0]!, 'gradient_batches')
    const three = await train('mlp', 'three', ...by('origin', 'bert', peers[2]!.id))
    expect(three).toMatchObject({ status: 0, stderr: expect.stringContaining('shares computed at anna') })
    expect(await bits('three')).toEqual(one)
    expect(await counter(peers[0]!, 'gradient_batches')).toBeGreaterThan(before)
  }, 180_000)

  it('a CNN: a peer that freezes in the middle costs its share of one step, and the bits are those of one process', async () => {
    expect(await train('cnn', 'cnn-one')).toMatchObject({ status: 0 })
    const running = train('cnn', 'cnn-frozen', ...by('bert', 'carl'))
    await computes(peers[2]!)
    const lost = await counter(peers[0]!, 'shares_recomputed')
    peers[2]!.child.kill('SIGSTOP')
    const ask = async (): Promise<void> => expect(await counter(peers[0]!, 'shares_recomputed')).toBeGreaterThan(lost)
    await vi.waitFor(ask, { timeout: 60_000, interval: 50 })
    peers[2]!.child.kill('SIGCONT')
    expect(await running).toMatchObject({ status: 0 })
    expect(await bits('cnn-frozen')).toEqual(await bits('cnn-one'))
    await connected(2)
  }, 180_000)

  it.runIf(isWhole)(
    'rounded gradients take a quarter of the bytes, and are those of one process where one peer computes',
    async () => {
      expect(await train('rounded', 'rounded-one')).toMatchObject({ status: 0 })
      const told = await train('rounded', 'rounded', '--json', ...by('bert'))
      expect(await bits('rounded')).toEqual(await bits('rounded-one'))
      const exact = await train('cnn', 'cnn-bert', '--json', ...by('bert'))
      const bytes = [told, exact].map(({ stdout }) => {
        return (JSON.parse(stdout) as { counters: Record<string, number> }).counters['gradient_bytes']!
      })
      // Every second step may be followed by a checkpoint, and tells all.
      expect(bytes[0]! / bytes[1]!).toBeLessThan(0.7)
    },
    180_000,
  )

  it('what cannot be is refused with a code and what to do', async () => {
    const cases: [readonly string[], number, RegExp][] = [
      [by('bret'), 4, /WEFT-CLI-015[\s\S]*did you mean bert/],
      [by('bert', 'bert'), 2, /twice.*WEFT-CFG-012/],
      [[...by('bert'), '--local'], 2, /--local and --peer/],
      [['--placement', at('mlp.json')], 2, /--placement is for an adapter/],
      [by('12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'), 7, /WEFT-DSC-006/],
    ]
    for (const [args, status, said] of cases) {
      const outcome = await train('mlp', 'refused', ...args)
      expect([args, outcome.status, outcome.stderr]).toEqual([args, status, expect.stringMatching(said)])
    }
  }, 120_000)

  it('a peer that is killed in the middle: the others go on; and so does the run when the origin is killed', async () => {
    const running = train('mlp', 'killed', '--json', ...by('bert', 'carl'))
    await computes(peers[1]!)
    peers[1]!.child.kill('SIGKILL')
    const outcome = await running
    expect(outcome).toMatchObject({ status: 0 })
    const { counters } = JSON.parse(outcome.stdout) as { counters: Record<string, number> }
    expect(counters['shares_recomputed']).toBeGreaterThan(0)
    expect(await bits('killed')).toEqual(await bits('one'))
    const broken = train('mlp', 'again', ...by('origin', 'carl'))
    const saved = async (): Promise<void> => expect((await readdir(at('again'))).join()).toMatch(/checkpoint-0+2\.npz/)
    await vi.waitFor(saved, { timeout: 60_000, interval: 5 })
    peers[0]!.child.kill('SIGKILL')
    expect((await broken).status).not.toBe(0)
    const back = [...joining.slice(0, -1), peers[2]!.addresses[0]!]
    peers[0] = await lab.start('anna', back)
    await connected(1)
    const resumed = await train('mlp', 'again', '--resume', ...by('origin', 'carl'))
    expect(resumed).toMatchObject({ status: 0, stderr: expect.stringContaining('went on from step') })
    expect(await bits('again')).toEqual(await bits('one'))
  }, 240_000)
})
