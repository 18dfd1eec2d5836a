/** A fleet file in place of drawn devices and links: the simulator with it, as `npm run simulate -- --fleet FILE` has it. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isLong } from '../whole.ts'
import { fleetDevices, fleetWays, simulatedFleet } from './fleet.ts'

const run = promisify(execFile)
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const fileOf = (name: string): string => here(`../../peers/fleets/${name}.json`)
const PEERS = 4

interface Result {
  readonly hash: string
  readonly peers: number
  readonly faults: Readonly<Record<string, number>>
  readonly outcomes: { readonly asked: number; readonly exact: number }
  readonly violations: readonly string[]
}

interface Ended {
  readonly stdout: string
  readonly stderr: string
  readonly code: number
}

async function simulate(...args: readonly string[]): Promise<Ended> {
  const command = ['--import', here('hooks.ts'), here('main.ts'), '--json', '--minutes', '1', ...args]
  return run(process.execPath, command, { maxBuffer: 1 << 26 }).then(
    (ended) => ({ ...ended, code: 0 }),
    (error: unknown) => error as Ended,
  )
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-fleet-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('a simulated fleet', () => {
  it.runIf(isLong)(
    'is the same run twice, and another one with other devices and links',
    async () => {
      const seeded = (...args: readonly string[]): Promise<Result> =>
        simulate('--seed', '8', ...args).then(({ stdout }) => JSON.parse(stdout) as Result)
      const result = await seeded('--fleet', fileOf('home-mixed'))
      expect(result).toMatchObject({ peers: PEERS, violations: [] })
      expect(Object.keys(result.faults)).not.toEqual([])
      expect(result.outcomes.exact).toBeGreaterThan(0)
      expect((await seeded('--fleet', fileOf('home-mixed'))).hash).toBe(result.hash)
      const other = await seeded('--fleet', fileOf('home-pis'))
      expect(other).toMatchObject({ peers: PEERS, violations: [] })
      expect(other.hash).not.toBe(result.hash)
    },
    300_000,
  )

  it('has the speeds, the room and the ways of its file, the origin first and then whoever has the most room', async () => {
    const fleet = simulatedFleet(await readFile(fileOf('home-mixed'), 'utf8'), 'f')
    expect(fleet.peers.map(({ id }) => id)).toEqual(['laptop', 'desktop', 'pi', 'phone'])
    const devices = fleetDevices(fleet, [0.35, 1.2])
    expect(devices.map(({ share }) => share)).toEqual([0.35, 1.2, 0.35, 0.35])
    // 12e9 on eight threads against 4e9 on four.
    expect(devices[2]!.speed.layerMs / devices[1]!.speed.layerMs).toBeCloseTo(6, 9)
    const way = fleetWays(fleet)
    expect(way(1, 2)).toEqual({ latency: 0.2, jitter: 0, rate: 117_000, loss: 0 })
    expect(way(0, 1)).toEqual({ latency: 1.25, jitter: 1, rate: 50_000, loss: 0.0005 })
    expect(way(1, 0)).toEqual(way(0, 1))
  })

  it.each([
    ['no JSON', '{', 'WEFT-PLN-009'],
    [
      'a peer alone',
      JSON.stringify({ schema: 'weft.fleet/1', origin: 'a', peers: [{ name: 'a', device: 'pi5' }] }),
      'WEFT-PLN-009',
    ],
    [
      'no such device',
      JSON.stringify({ schema: 'weft.fleet/1', origin: 'a', peers: [{ name: 'a', device: 'moon' }] }),
      'WEFT-PLN-010',
    ],
  ])('that is %s is refused by its code, with status 2 and no run', async (_what, text, code) => {
    const file = join(folder, 'bad.json')
    await writeFile(file, text)
    const ended = await simulate('--fleet', file)
    expect([ended.code, ended.stdout]).toEqual([2, ''])
    expect(ended.stderr).toMatch(new RegExp(`^${code}: .*bad\\.json`))
  })

  it('goes with no other word for which peers there are', async () => {
    const ended = await simulate('--fleet', fileOf('home-pis'), '--peers', '5')
    expect(ended).toMatchObject({ code: 2, stdout: '' })
  })
})
