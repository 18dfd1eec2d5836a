/**
 * `npm run simulate`: runs of a mesh on a virtual clock, from seeds. Prints for each run its seed, the hash of its log,
 * the faults that fired, what became of the texts, and what must not have been. Exit status 1 if there is any.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Fleet } from '../../src/placement/index.ts'
import { simulatedFleet } from './fleet.ts'
import { run } from './run.ts'
import type { RunResult } from './run.ts'
import { swarm } from './swarm.ts'

const machineNow = performance.now.bind(performance)

function seedsOf(seed: string | undefined, seeds: string | undefined): number[] {
  if (seeds === undefined) return [Number(seed ?? '1')]
  if (!seeds.includes('..')) return seeds.split(',').map(Number)
  const [first, last] = seeds.split('..').map(Number) as [number, number]
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function shown(map: ReadonlyMap<string, number>): string {
  return [...map].map(([name, count]) => `${name} ${count}`).join(', ') || 'none'
}

const SHOWN_COUNTERS = [
  'failovers',
  'replayed_rows',
  'hand_overs',
  'frames_fenced',
  'frames_repeated',
  'heartbeats_missed',
  'audited_rows',
  'audit_mismatches',
]

function report(result: RunResult, machineMs: number): string {
  const { outcomes } = result
  const counters = SHOWN_COUNTERS.map((name) => `${name} ${result.counters.get(name) ?? 0}`).join(', ')
  return [
    `seed ${result.seed}: ${result.peers} peers, ${(result.virtualMs / 60_000).toFixed(1)} virtual minutes in ${(machineMs / 1000).toFixed(1)} s, ${result.steps} steps, ${result.frames} frames`,
    `  hash      ${result.hash}`,
    `  faults    ${shown(result.faults)}`,
    `  texts     ${outcomes.asked} asked, ${outcomes.exact} exact, ${outcomes.rerouted} reroutes, ${outcomes.withOrigin} gone with their origin, ${outcomes.lied} wrong by a liar, failed: ${shown(outcomes.failed)}`,
    `  counters  ${counters}`,
    `  agreed    ${result.agreedMs === null ? 'NOT' : `${result.agreedMs} ms`} after the healing`,
    ...(result.escapes.length > 0 ? [`  escapes   ${result.escapes.join('; ')}`] : []),
    ...result.violations.map((what) => `  VIOLATED  ${what}`),
  ].join('\n')
}

/** Seeds in so many processes, each with its share; what they print comes as it comes. @returns the worst exit status */
async function inProcesses(seeds: readonly number[], jobs: number, rest: readonly string[]): Promise<number> {
  const shares = Array.from({ length: Math.min(jobs, seeds.length) }, (_, job) =>
    seeds.filter((_seed, index) => index % jobs === job),
  )
  const statuses = shares.map((share) => {
    const args = [...process.execArgv, ...process.argv.slice(1, 2), ...rest, '--seeds', share.join()]
    const child = spawn(process.execPath, args, { stdio: 'inherit' })
    return new Promise<number>((resolve) => child.once('exit', (status) => resolve(status ?? 1)))
  })
  return Math.max(...(await Promise.all(statuses)))
}

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    peers: { type: 'string' },
    minutes: { type: 'string', default: '3' },
    swarm: { type: 'boolean', default: false },
    churn: { type: 'string', default: '0.1' },
    fleet: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    log: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const say = (line: string): void => void process.stdout.write(`${line}\n`)
/** What was asked for cannot be run: status 2, with the code of what is wrong. */
function refuse(what: string): never {
  process.stderr.write(`${what}\n`)
  process.exit(2)
}

function readFleet(file: string): Fleet {
  try {
    return simulatedFleet(readFileSync(file, 'utf8'), file)
  } catch (error) {
    const { code = '', message } = error as Error & { readonly code?: string }
    return refuse(`${code}: ${message}`)
  }
}

let isBroken = false
const fleet = values.fleet === undefined ? undefined : readFleet(values.fleet)
if (fleet !== undefined && (values.swarm || values.peers !== undefined))
  refuse('--fleet says which peers there are: it goes with neither --peers nor --swarm')
if (values.swarm) {
  const started = machineNow()
  const options = { seed: Number(values.seed ?? '1'), peers: Number(values.peers ?? '100') }
  const result = await swarm(
    { ...options, minutes: Number(values.minutes), churn: Number(values.churn) },
    values.log ? say : undefined,
  )
  say(JSON.stringify(result, null, values.json ? 0 : 1))
  if (!values.json) say(`${((machineNow() - started) / 1000).toFixed(1)} s of the machine`)
  process.exit(result.violations.length > 0 ? 1 : 0)
}
const seeds = seedsOf(values.seed, values.seeds)
if (Number(values.jobs) > 1 && seeds.length > 1) {
  const peers = Object.entries({ peers: values.peers, fleet: values.fleet }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  )
  const flags = [...(values.log ? ['--log'] : []), ...(values.json ? ['--json'] : [])]
  const started = machineNow()
  const status = await inProcesses(seeds, Number(values.jobs), ['--minutes', values.minutes, ...peers, ...flags])
  if (!values.json) say(`${seeds.length} seeds in ${((machineNow() - started) / 1000).toFixed(0)} s`)
  process.exit(status)
}
for (const seed of seeds) {
  const options = {
    seed,
    minutes: Number(values.minutes),
    ...(values.peers === undefined ? {} : { peers: Number(values.peers) }),
    ...(fleet === undefined ? {} : { fleet }),
  }
  const started = machineNow()
  const result = await run(options, values.log ? say : undefined)
  const machineMs = machineNow() - started
  if (result.violations.length > 0) isBroken = true
  say(
    values.json
      ? JSON.stringify(result, (_, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value))
      : report(result, machineMs),
  )
}
process.exit(isBroken ? 1 : 0)
