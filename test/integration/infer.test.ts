/** weft infer over real processes: the bits of one process, and a peer that freezes in the middle of a run. */
import { join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { isLong } from '../whole.ts'
import { writeNpz } from '../../src/data/index.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { weft } from '../cli/support.ts'
import { crossing, endless, f32, write } from '../pipeline/graph/support/models.ts'
import { createLab } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

let lab: Lab
let [a, b]: RealPeer[] = []
const at = (name: string): string => join(lab.home('.'), name)

beforeAll(async () => {
  lab = await createLab()
  a = await lab.start('a', ['--lan', 'off', '--listen', '/ip4/127.0.0.1/tcp/0'])
  b = await lab.start('b', ['--lan', 'off', '--listen', '/ip4/127.0.0.1/tcp/0', '--bootstrap', a.addresses[0]!])
  await vi.waitFor(async () => expect((await a!.access.status()).peers[0]?.state).toBe('connected'), {
    timeout: 20_000,
    interval: 50,
  })
  await a.access.importModel({ source: await write(at('.'), 'crossing.onnx', crossing()) }, () => undefined)
  await a.access.importModel({ source: await write(at('.'), 'endless.onnx', endless(true)) }, () => undefined)
}, 60_000)

afterAll(() => lab.stop())

const infer = (...args: readonly string[]): ReturnType<typeof weft> => weft(['infer', ...args, '--home', a!.home])

describe.runIf(isLong)('weft infer over the mesh', () => {
  it('writes the bits that one process writes, and says who computed what', async () => {
    await writeNpz(
      at('x.npz'),
      new Map([
        ['x', f32([4, 8])],
        ['late', f32([4, 8], 9)],
      ]),
    )
    const one = await infer('crossing', '--in', at('x.npz'), '--out', at('one.npz'), '--micro-batch', '0')
    expect(one).toMatchObject({ status: 0 })
    const args = ['crossing', '--in', at('x.npz'), '--out', at('two.npz'), '--placement', 'auto', '--micro-batch', '0']
    const two = await infer(...args, '--json')
    expect(two).toMatchObject({ status: 0 })
    expect(JSON.parse(two.stdout)).toMatchObject({
      schema: 'weft.inference/1',
      model: 'crossing',
      route: [{ peer: a!.id, from: 0 }, { peer: b!.id }],
      stats: { parts: 2, counters: { runs: 2 } },
    })
    expect(await readFile(at('two.npz'))).toEqual(await readFile(at('one.npz')))
    expect((await b!.access.status()).counters).toMatchObject({ parts_opened: 1, graph_runs: 1 })
  }, 60_000)

  it('a peer that freezes is replaced by the one that was asked', async () => {
    const n: AnyTensor = { type: 'int64', dims: [], data: BigInt64Array.of(1n << 50n) }
    await writeNpz(
      at('ever.npz'),
      new Map<string, AnyTensor>([
        ['x', f32([1])],
        ['n', n],
      ]),
    )
    const { blocks } = await a!.access.manifest('endless')
    const stages = [{ peer: b!.id, from: 0, to: blocks.length }]
    const before = (await b!.access.status()).counters['parts_opened']!
    const request = { model: 'endless', in: at('ever.npz'), out: at('never.npz'), stages }
    const enough = new AbortController()
    const told = expect(a!.access.inferFiles(request, enough.signal)).rejects.toThrow('enough')
    await vi.waitFor(async () => expect((await b!.access.status()).counters['parts_opened']).toBe(before + 1), {
      timeout: 20_000,
      interval: 20,
    })
    b!.child.kill('SIGSTOP')
    try {
      await vi.waitFor(async () => expect((await a!.access.status()).counters).toMatchObject({ failovers: 1 }), {
        timeout: 20_000,
        interval: 50,
      })
      enough.abort(new Error('enough'))
      await told
    } finally {
      b!.child.kill('SIGCONT')
    }
  }, 60_000)
})
