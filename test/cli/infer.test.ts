/** weft infer as people run it: a file, arrays in, arrays out. */
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { readNpz, writeNpz } from '../../src/data/index.ts'
import { crossing, endless, f32, recurrent, write } from '../pipeline/graph/support/models.ts'
import { weft } from './support.ts'
import { isWhole } from '../whole.ts'

let folder: string
const at = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-infer-'))
})

afterAll(() => rm(folder, { recursive: true }))

const infer = (...args: readonly string[]): ReturnType<typeof weft> => weft(['infer', ...args, '--home', at('home')])

/** Processes whose compiled programs lie in the test's home. */
async function ownProcesses(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const mine = await Promise.all(
    pids.map(async (pid) => (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes(at('home'))),
  )
  return pids.filter((_, index) => mine[index])
}

describe('weft infer', () => {
  it('runs a file in one process and in two, says what it did, and writes the same', async () => {
    const model = await write(folder, 'crossing.onnx', crossing())
    await writeNpz(
      at('x.npz'),
      new Map([
        ['x', f32([4, 8])],
        ['late', f32([4, 8], 9)],
      ]),
    )
    const one = await infer(model, '--in', at('x.npz'), '--out', at('one.npz'), '--json')
    expect(one).toMatchObject({ status: 0 })
    const document = JSON.parse(one.stdout) as Record<string, unknown>
    expect(document).toMatchObject({
      schema: 'weft.inference/1',
      model,
      outputs: [
        { name: 'y', type: 'float32', shape: [4, 8] },
        { name: 'early', type: 'float32', shape: [4, 8] },
      ],
      route: [{ from: 0 }],
      stats: { parts: 1, counters: { runs: 1 } },
    })
    const local = await infer(model, '--in', at('x.npz'), '--out', at('local.npz'), '--local', '--json')
    expect(JSON.parse(local.stdout)).toMatchObject({ route: [{ from: 0 }], stats: { parts: 1 } })
    expect(await readFile(at('local.npz'))).toEqual(await readFile(at('one.npz')))
    const both = await infer(model, '--in', at('x.npz'), '--out', at('no.npz'), '--local', '--placement', 'auto')
    expect(both).toMatchObject({ status: 2, stderr: expect.stringContaining('--local and --placement auto') })
    const two = await infer(model, '--in', at('x.npz'), '--out', at('two.npz'), '--parts', '2', '--stats')
    expect(two).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^OUTPUT +TYPE +SHAPE\ny +float32 +\[4, 8\]/),
    })
    expect(two.stderr).toMatch(/2 parts.*\n.*\nprocess \d+\[0:\d+\] -> process \d+/)
    expect(await readFile(at('two.npz'))).toEqual(await readFile(at('one.npz')))
    const half = await infer(model, '-i', at('x.npz'), '-o', at('half.npz'), '--parts', '2', '--wire', 'f16')
    expect(half).toMatchObject({ status: 0, stderr: expect.stringContaining('were rounded to float16') })
    expect(await readFile(at('half.npz'))).not.toEqual(await readFile(at('one.npz')))
  })

  it.runIf(isWhole)('carries state from frame to frame', async () => {
    const model = await write(folder, 'recurrent.onnx', recurrent())
    await writeNpz(at('frames.npz'), new Map([['x', f32([5, 1, 8])]]))
    const carry = ['--carry', 'p_out=p_in', '--carry', 'q_out=q_in']
    expect(await infer(model, '-i', at('frames.npz'), '-o', at('y.npz'), ...carry)).toMatchObject({ status: 0 })
    const outputs = await readNpz(at('y.npz'))
    expect([...outputs].map(([name, { dims }]) => [name, dims])).toEqual([
      ['y', [5, 1, 8]],
      ['p_out', [1, 8]],
      ['q_out', [1, 8]],
    ])
  })

  it('tells a mistake in one line, with its status, and writes nothing', async () => {
    const model = await write(folder, 'crossing.onnx', crossing())
    await writeNpz(at('little.npz'), new Map([['x', f32([4, 8])]]))
    await writeFile(at('text.onnx'), 'this is no model')
    const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
      [[model, '--in', at('little.npz')], 2, /needs --in and --out/],
      [[model, '--in', at('little.npz'), '--out', at('z.npz')], 2, /the input "late" is missing; the model takes "x"/],
      [[model, '--in', at('nowhere.npz'), '--out', at('z.npz')], 4, /WEFT-DAT-005/],
      [[at('nowhere.onnx'), '--in', at('little.npz'), '--out', at('z.npz')], 4, /nowhere\.onnx/],
      [[at('text.onnx'), '--in', at('little.npz'), '--out', at('z.npz')], 8, /text\.onnx/],
      [[model, '--in', at('little.npz'), '--out', at('z.npz'), '--carry', 'y'], 2, /OUT=IN/],
    ]
    for (const [args, status, words] of cases) {
      const outcome = await infer(...args)
      expect([outcome.status, outcome.stdout]).toEqual([status, ''])
      expect(outcome.stderr).toMatch(words)
    }
    expect(existsSync(at('z.npz'))).toBe(false)
  })

  it('Ctrl-C ends a model that never does, with its processes, and leaves no file', async () => {
    const model = await write(folder, 'endless.onnx', endless())
    await writeNpz(at('one.npz'), new Map([['x', f32([1])]]))
    const outcome = await weft(['infer', model, '-i', at('one.npz'), '-o', at('never.npz'), '--home', at('home')], {
      // All that it starts has this, and nothing else has: by it they are found.
      env: { NODE_COMPILE_CACHE: at('home/compiled') },
      started: (child) =>
        child.stderr!.on('data', (text: string) => (/: load/.test(text) ? child.kill('SIGINT') : undefined)),
    })
    expect(outcome.status).toBe(130)
    expect((await readdir(folder)).filter((name) => /never|\.tmp$/.test(name))).toEqual([])
  })

  it.skipIf(process.platform !== 'linux')('kill -9 in the middle of a run leaves no process behind', async () => {
    const model = await write(folder, 'endless.onnx', endless())
    await writeNpz(at('one.npz'), new Map([['x', f32([1])]]))
    let hosts: readonly string[] = []
    const outcome = await weft(['infer', model, '-i', at('one.npz'), '-o', at('never.npz'), '--home', at('home')], {
      // All that it starts has this, and nothing else has: by it they are found.
      env: { NODE_COMPILE_CACHE: at('home/compiled') },
      started: (child) => {
        void vi
          .waitUntil(
            async () => {
              hosts = (await ownProcesses()).filter((pid) => pid !== String(child.pid))
              return hosts.length > 0
            },
            { timeout: 20_000, interval: 50 },
          )
          .finally(() => child.kill('SIGKILL'))
      },
    })
    expect(outcome.signal).toBe('SIGKILL')
    expect(hosts.length).toBeGreaterThan(0)
    await vi.waitFor(async () => expect(await ownProcesses()).toEqual([]), { timeout: 10_000, interval: 100 })
  })
})
