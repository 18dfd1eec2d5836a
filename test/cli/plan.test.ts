/** weft plan: of a real peer over its socket, over a fleet file, and where the plan names who is gone. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { width } from '../../src/cli/text.ts'
import { BIN, call, json } from './support.ts'
import type { InProcess } from './support.ts'

const MODEL = 'weft-tiny'
const FLEETS = new URL('../../peers/fleets/', import.meta.url).pathname
let folder: string
let child: ChildProcess
let id: string
const here = (...argv: string[]): Promise<InProcess> => call([...argv, '--home', join(folder, 'a')])

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-plan-'))
  const args = ['--lan', 'off', '--http', 'off', '--listen', '/ip4/127.0.0.1/tcp/0', '--threads', '1']
  child = spawn(process.execPath, [BIN, 'up', '--json', '--name', 'a', '--home', join(folder, 'a'), ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string]
  id = json(line)['peer'] as string
}, 30_000)

afterAll(async () => {
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  await rm(folder, { recursive: true, force: true, maxRetries: 10 })
})

describe('weft plan', () => {
  it('asks the running peer, fetches what the catalogue has, and answers the same the second time', async () => {
    const { status, stdout } = await here('plan', MODEL, '--json')
    expect(status).toBe(0)
    const plan = json(stdout)
    expect(plan).toMatchObject({ schema: 'weft.plan/1', model: MODEL, origin: id, verdict: 'do-not-split' })
    const shown = (await here('plan', MODEL)).stdout
    expect(shown).toMatch(/^a \(origin\) /m)
    expect(shown).not.toContain(id)
    const again = json((await here('plan', MODEL, '--json')).stdout)
    expect(again['stages']).toEqual(plan['stages'])
    const changes = ['--what-if', 'add:b=server', '--what-if', 'speed:a=0.0001']
    const other = json((await here('plan', MODEL, '--json', ...changes)).stdout)
    expect(other['stages']).toContainEqual({ peer: 'b', from: 1, to: 7 })
  })

  it('plans over a fleet file, in lines that fit a terminal', async () => {
    const fleet = join(FLEETS, 'three-cities.json')
    const asked = ['plan', MODEL, '--fleet', fleet, '--concurrency', '8', '--objective', 'throughput', '--explain']
    const { status, stdout } = await here(...asked)
    expect(status).toBe(0)
    expect(stdout).toMatch(/^weft-tiny: (?:do not split|split) \(throughput, 8 sessions, context 1024\)$/m)
    for (const head of ['PEER', 'PREDICTED', 'TERM', 'What would help most:', 'Runners-up:'])
      expect(stdout).toContain(head)
    expect(Math.max(...stdout.split('\n').map((line) => width(line)))).toBeLessThanOrEqual(80)
  })

  it('exits 6 with the plan where nothing fits', async () => {
    const fleet = join(folder, 'small.json')
    const peers = [{ name: 'dust', speed: 1, memory: 1000 }]
    await writeFile(fleet, JSON.stringify({ schema: 'weft.fleet/1', origin: 'dust', peers }))
    const { status, stdout } = await here('plan', MODEL, '--fleet', fleet, '--json')
    expect({ status, verdict: json(stdout)['verdict'] }).toEqual({ status: 6, verdict: 'no-fit' })
  })

  it.each([
    ['a fleet that is none', ['--fleet', 'package.json'], 2, 'WEFT-PLN-009'],
    ['a fleet that is not there', ['--fleet', 'nowhere.json'], 4, 'WEFT-CLI-'],
    ['a change of nobody, by the peer', ['--what-if', 'remove:nobody'], 2, 'WEFT-PLN-012'],
    [
      'a change of nobody, in a fleet',
      ['--fleet', join(FLEETS, 'lab.json'), '--what-if', 'remove:x'],
      2,
      'WEFT-PLN-012',
    ],
    ['an objective that is none', ['--objective', 'fun'], 2, 'WEFT-CLI-'],
  ])('refuses %s with one coded error', async (_, argv, exit, code) => {
    const { status, stdout } = await here('plan', MODEL, '--json', ...argv)
    const { error } = json(stdout) as { error?: { code: string } }
    expect(error?.code.startsWith(code), stdout).toBe(true)
    expect(status).toBe(exit)
  })

  it('a deploy that names a peer who is gone, or fits no more, is refused, and what runs is as it was', async () => {
    const stages = async (): Promise<unknown> => {
      const all = json((await here('status', '--json')).stdout)['stages'] as Record<string, unknown>[]
      // How much memory a process has is measured now and then.
      return all.map((stage) => ({ ...stage, memory: null }))
    }
    // A plan is a placement file.
    const planned = join(folder, 'plan.json')
    await writeFile(planned, (await here('plan', MODEL, '--json')).stdout)
    expect((await here('deploy', MODEL, '--placement', planned, '--json')).status).toBe(0)
    const before = await stages()
    expect(before).not.toEqual([])
    const file = join(folder, 'dead.json')
    const dead = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5'
    const first = { peer: id, from: 0, to: 4 }
    const wrong = [
      { stages: [first, { peer: dead, from: 4, to: 8 }], status: 4, code: 'WEFT-PLN-006' },
      // A model that has changed since: blocks that are missing, and blocks that it does not have.
      { stages: [first], status: 2, code: 'WEFT-PLN-004' },
      { stages: [first, { peer: id, from: 4, to: 9 }], status: 2, code: 'WEFT-PLN-003' },
    ]
    for (const { stages: named, ...expected } of wrong) {
      await writeFile(file, JSON.stringify({ model: MODEL, stages: named }))
      const { status, stdout } = await here('deploy', MODEL, '--placement', file, '--json')
      expect({ status, code: (json(stdout) as { error?: { code: string } }).error?.code }).toEqual(expected)
      expect(await stages()).toEqual(before)
    }
  })
})
