/** A model of any kind at two real peers, as people place, see and free it. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { writeNpz } from '../../src/data/index.ts'
import { crossing, f32, write } from '../pipeline/graph/support/models.ts'
import { isWhole } from '../whole.ts'
import { BIN, json, weft } from './support.ts'

interface Stage {
  readonly model: string
  readonly peer: string
  readonly pid: number
  readonly from: number
  readonly to: number
}

let folder: string
const children: ChildProcess[] = []
const at = (name: string): string => join(folder, name)

async function up(name: string, ...more: readonly string[]): Promise<{ peer: string; addresses: readonly string[] }> {
  const args = ['--lan', 'off', '--http', 'off', '--listen', '/ip4/127.0.0.1/tcp/0', '--threads', '1', ...more]
  const child = spawn(process.execPath, [BIN, 'up', '--json', '--name', name, '--home', at(name), ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  children.push(child)
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return json(line) as never
}

const run = async (name: string, ...args: readonly string[]): Promise<string> => {
  const { status, stdout, stderr } = await weft([...args, '--home', at(name)])
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' })
  return stdout
}

let [a, b]: Awaited<ReturnType<typeof up>>[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-graph-mesh-'))
  a = await up('a')
  b = await up('b', '--bootstrap', a.addresses[0]!)
}, 180_000)

afterAll(async () => {
  for (const child of children) {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  await rm(folder, { recursive: true, force: true })
})

describe('weft netcheck', () => {
  it('measures the pair of two real peers, and whoever asks within ten seconds is told the same', async () => {
    const check = async (...args: readonly string[]): Promise<Record<string, unknown>> =>
      json(await run('a', 'netcheck', ...args, '--json'))
    await vi.waitFor(
      async () =>
        expect(json(await run('a', 'status', '--json'))).toMatchObject({ peers: [{ name: 'b', state: 'connected' }] }),
      { timeout: 20_000, interval: 200 },
    )
    // At once, since ten seconds are short on a machine that is busy.
    const [first, second] = await Promise.all([check(), check('b')])
    const figure = expect.any(Number) as number
    expect(first).toMatchObject({
      schema: 'weft.netcheck/1',
      peer: a!.peer,
      lan: 'off',
      addresses: a!.addresses,
      pairs: [
        {
          peer: b!.peer,
          name: 'b',
          path: 'direct',
          loss: 0,
          bandwidth: { from: 'probe' },
          probe: { rtt_ms: figure, down: figure, up: figure, why: null },
        },
      ],
    })
    const probe = (document: Record<string, unknown>): { bytes: number } =>
      (document['pairs'] as { probe: { bytes: number } }[])[0]!.probe
    expect(probe(first).bytes).toBeLessThanOrEqual(2e6)
    expect(second).toMatchObject({ pairs: [{ probe: { ...probe(first), rtt_ms: figure } }] })
    const counted = async (name: string): Promise<unknown> => json(await run(name, 'status', '--json'))['counters']
    expect(await counted('a')).toMatchObject({ probes: 1 })
    expect(await counted('b')).toMatchObject({ probes: 1 })
    const { peers } = json(await run('a', 'peers', '--json')) as { peers: readonly unknown[] }
    expect(peers).toMatchObject([{ link: { path: 'direct', bandwidth: { from: 'probe', down: figure, up: figure } } }])
    // What the trial has shown is in the home, and told to the mesh.
    await vi.waitFor(
      async () => {
        const { peers: others } = json(await run('b', 'peers', '--json')) as { peers: readonly { profile: unknown }[] }
        expect(others[0]!.profile).toMatchObject({ memory_bandwidth: figure })
        expect(others[0]!.profile).toHaveProperty('battery')
        expect((others[0]!.profile as { speed: number }).speed).toBeGreaterThan(0)
      },
      { timeout: 30_000, interval: 300 },
    )
    expect(json(await readFile(at('a/state/measures.json'), 'utf8'))).toMatchObject({ schema: 'weft.measures/1' })
  }, 90_000)
})

describe('weft infer at peers', () => {
  it('says of a file that it has to be brought in first', async () => {
    const model = await write(folder, 'nameless.onnx', crossing(32))
    await writeNpz(at('nameless.npz'), new Map([['x', f32([3, 32])]]))
    const files = ['-i', at('nameless.npz'), '-o', at('no.npz'), '--placement', 'auto', '--home', at('a')]
    const { status, stderr } = await weft(['infer', model, ...files])
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('is a file') as string })
    expect(stderr).toContain(`weft import ${model}`)
    expect(await weft(['infer', 'nobody', ...files])).toMatchObject({ status: 4 })
  }, 90_000)
})

describe('weft deploy of an ONNX model', () => {
  it.runIf(isWhole)(
    'loads its parts ahead; ps and status show them, infer obeys, undeploy frees',
    async () => {
      const imported = await run('a', 'import', await write(folder, 'crossing.onnx', crossing(32)), '--json')
      const inputs = new Map([
        ['x', f32([3, 32])],
        ['late', f32([3, 32], 9)],
      ])
      await writeNpz(at('x.npz'), inputs)
      const infer = async (out: string): Promise<readonly Stage[]> =>
        json(await run('a', 'infer', 'crossing', '-i', at('x.npz'), '-o', at(out), '--micro-batch', '0', '--json'))[
          'route'
        ] as never
      const [here] = await infer('whole.npz')
      expect(here).not.toHaveProperty('peer')
      const { blocks } = json(imported) as { blocks: number }
      const stages = [
        { peer: b!.peer, from: 0, to: 5 },
        { peer: a!.peer, from: 5, to: blocks },
      ]
      await writeFile(at('where.json'), JSON.stringify({ model: 'crossing', stages }))
      await vi.waitFor(
        async () => {
          const { peers } = json(await run('a', 'status', '--json')) as { peers: readonly { state: string }[] }
          expect(peers).toMatchObject([{ state: 'connected' }])
        },
        { timeout: 20_000, interval: 200 },
      )
      const said = await run('a', 'deploy', 'crossing', '--placement', at('where.json'))
      expect(said).toMatch(/^crossing +b\[0:5\] -> a\[5:\d+\] +\(hand, epoch 1\)$/m)
      const route = await infer('parts.npz')
      expect(route).toMatchObject(stages)
      expect(await readFile(at('parts.npz'))).toEqual(await readFile(at('whole.npz')))
      const shown = async (name: string, verb: string): Promise<readonly Stage[]> => {
        const { stages: rows } = json(await run(name, verb, '--json')) as { stages: Stage[] }
        return rows.toSorted((one, other) => one.from - other.from)
      }
      for (const name of ['a', 'b']) {
        await vi.waitFor(
          async () => {
            expect(await shown(name, 'ps')).toMatchObject(route.map((hop) => ({ ...hop, model: 'crossing' })))
            expect(await shown(name, 'status')).toEqual(await shown(name, 'ps'))
          },
          { timeout: 20_000, interval: 200 },
        )
      }
      expect(await run('b', 'ps')).toMatch(/^crossing +0:5 +b +\d+ .* ready$/m)
      expect(await run('a', 'status')).toMatch(/MODELS +crossing +(\d+)\/\1 blocks served/)
      await run('a', 'undeploy', 'crossing')
      await vi.waitFor(async () => expect(await shown('b', 'ps')).toEqual([]), { timeout: 20_000, interval: 200 })
      expect((await infer('again.npz'))[0]).not.toHaveProperty('peer')
    },
    90_000,
  )
})
