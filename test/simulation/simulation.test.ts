/**
 * Meshes on a virtual clock (docs/simulation.md), each run in a process of its own as `npm run simulate` has it. With
 * `WEFT_TEST_ALL=1` more seeds, and more peers.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { NEIGHBOURS } from '../../src/mesh/limits.ts'
import { isWhole } from '../whole.ts'

const run = promisify(execFile)
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

interface Result {
  readonly seed: number
  readonly hash: string
  readonly agreedMs: number | null
  readonly faults: Readonly<Record<string, number>>
  readonly outcomes: { readonly asked: number; readonly exact: number }
  readonly counters: Readonly<Record<string, number>>
  readonly violations: readonly string[]
  readonly escapes: readonly string[]
}

async function simulate(...args: readonly string[]): Promise<Result[]> {
  const command = ['--import', here('hooks.ts'), here('main.ts'), '--json', ...args]
  // A run with violations ends with status 1, and says which.
  const { stdout } = await run(process.execPath, command, { maxBuffer: 1 << 26 }).catch(
    (error: Error & { stdout?: string }) => {
      if (error.stdout?.startsWith('{') !== true) throw error
      return { stdout: error.stdout }
    },
  )
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Result)
}

const sum = (results: readonly Result[], of: (result: Result) => number | undefined): number =>
  results.reduce((total, result) => total + (of(result) ?? 0), 0)

/** In which old frames come again, and rows are audited. */
const SEEDS = [33] as const

let results: Result[]
let again: Result[]
let scenes: Readonly<Record<string, unknown>>
let swarm: Swarm

/** More than are all connected to all. */
const MANY = 80

interface Swarm {
  readonly hash: string
  readonly convergedMs: number | null
  readonly connections: { readonly least: number; readonly mean: number }
  readonly there: number
  readonly faults: Readonly<Record<string, number>>
  readonly healedMs: number | null
  readonly replaced: number
  readonly lookups: number
  readonly right: number
  readonly answered: number
  readonly answerP95Ms: number
  readonly violations: readonly string[]
}

beforeAll(async () => {
  const [seed] = SEEDS
  ;[results, again, swarm, scenes] = await Promise.all([
    simulate('--minutes', '1', '--seeds', SEEDS.join()),
    simulate('--minutes', '1', '--seed', String(seed)),
    run(process.execPath, [
      '--import',
      here('hooks.ts'),
      here('main.ts'),
      '--json',
      '--swarm',
      '--peers',
      String(MANY),
      '--minutes',
      '0.5',
      '--churn',
      '0.5',
    ]).then(({ stdout }) => JSON.parse(stdout) as Swarm),
    run(process.execPath, ['--import', here('hooks.ts'), here('scenes.ts')]).then(
      ({ stdout }) => JSON.parse(stdout) as Readonly<Record<string, unknown>>,
    ),
  ])
}, 300_000)

describe('a simulated mesh', () => {
  it.each(SEEDS)('is exact, agrees again and blames nobody wrongly: seed %i', (seed) => {
    const result = results.find((one) => one.seed === seed)!
    expect(result.violations).toEqual([])
    expect(result.outcomes.asked).toBeGreaterThan(0)
  })

  it('was disturbed, and went other ways', () => {
    const faults = results.map((result) => Object.values(result.faults).reduce((total, count) => total + count, 0))
    expect(faults).not.toContain(0)
    expect(sum(results, ({ counters }) => counters['failovers'])).toBeGreaterThan(0)
    expect(sum(results, ({ counters }) => counters['replayed_rows'])).toBeGreaterThan(0)
    expect(sum(results, ({ counters }) => counters['audited_rows'])).toBeGreaterThan(0)
    expect(sum(results, ({ outcomes }) => outcomes.exact)).toBeGreaterThan(0)
  })

  it('takes rows in once that come twice', () => {
    expect(sum(results, ({ faults }) => faults['replay'])).toBeGreaterThan(0)
    expect(sum(results, ({ counters }) => counters['frames_repeated'])).toBeGreaterThan(0)
  })

  it('gives the same log for the same seed in another process', () => {
    expect(again[0]!.hash).toBe(results.at(-1)!.hash)
  })
})

describe('a mesh in which not all are connected to all', () => {
  it('has some neighbours each, and all are known and taken for there', () => {
    expect(swarm.violations).toEqual([])
    expect(swarm.convergedMs).not.toBeNull()
    expect(swarm.connections.least).toBeGreaterThanOrEqual(NEIGHBOURS)
    expect(swarm.connections.mean).toBeLessThan(MANY - 10)
    expect(swarm.there).toBe(1)
  })

  it('is whole again after partitions, slow ways, and the last that comes back', () => {
    expect(swarm.faults['partition']).toBeGreaterThan(0)
    expect(swarm.healedMs).not.toBeNull()
  })

  it('names holders that are there, while peers come and go', () => {
    expect(swarm.replaced).toBeGreaterThan(0)
    expect(swarm.lookups).toBe(300)
    expect(swarm.right / swarm.lookups).toBeGreaterThanOrEqual(0.99)
  })

  it('names holders that answer within 200 virtual milliseconds, 19 of 20 that a partition does not keep from it', () => {
    expect(swarm.answered).toBeGreaterThan(0)
    expect(swarm.answerP95Ms).toBeLessThanOrEqual(200)
  })
})

describe('scenes that were wrong once', () => {
  it('a deadline holds while a model is being placed, too', () => {
    expect(scenes['deadline']).toEqual({ text: { ms: 4_000, outcome: 'WEFT-INF-032' } })
  })

  it('of placements that are decided at once one stands, and nobody waits for another', () => {
    const { texts } = scenes['together'] as { readonly texts: readonly { readonly outcome: string }[] }
    expect(texts.map(({ outcome }) => outcome)).toEqual(['exact', 'exact', 'exact', 'exact'])
  })

  it('a text that begins when peers go is not left with one that has gone in its turn', () => {
    const { killed, text } = scenes['successor'] as { readonly killed: boolean; readonly text: { outcome: string } }
    expect(killed).toBe(true)
    expect(text.outcome).toBe('exact')
  })
})

it('a hand-over takes less than half a token where nobody waits for a processor: no round trip but the one to the hops', () => {
  const { tokens, handOvers, longest, usual } = scenes['leaving'] as Readonly<Record<string, number>>
  expect({ tokens, handOvers }).toEqual({ tokens: 60, handOvers: 2 })
  // On the virtual clock: what a token takes, and what it took more.
  expect(longest! - usual!).toBeLessThan(usual! / 2)
})

describe.runIf(isWhole)('many seeds', () => {
  it('hold', async () => {
    const many = await simulate('--minutes', '2', '--seeds', '100..139')
    expect(many.flatMap(({ seed, violations }) => violations.map((what) => `seed ${seed}: ${what}`))).toEqual([])
  }, 1_200_000)

  it('hold with fifty peers', async () => {
    const [fifty] = await simulate('--minutes', '1', '--peers', '50', '--seed', '1')
    expect(fifty!.violations).toEqual([])
  }, 1_200_000)
})
