/**
 * `npm run simulate`: runs of a mesh on a virtual clock, from seeds. Prints for each run its seed, the hash of its log,
 * the faults that fired, what became of the texts, and what must not have been. Exit status 1 if there is any.
 */
import { parseArgs } from 'node:util'
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

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    peers: { type: 'string' },
    minutes: { type: 'string', default: '3' },
    swarm: { type: 'boolean', default: false },
    churn: { type: 'string', default: '0.1' },
    log: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const say = (line: string): void => void process.stdout.write(`${line}\n`)
let isBroken = false
if (values.swarm) {
  const started = machineNow()
  const options = { seed: Number(values.seed ?? '1'), peers: Number(values.peers ?? '100') }
  const result = await swarm(
    { ...options, minutes: Number(values.minutes), churn: Number(values.churn) },
    values.log ? say : undefined,
  )
  say(`${JSON.stringify(result, null, 1)}\n${((machineNow() - started) / 1000).toFixed(1)} s of the machine`)
  process.exit(result.violations.length > 0 ? 1 : 0)
}
for (const seed of seedsOf(values.seed, values.seeds)) {
  const options = {
    seed,
    minutes: Number(values.minutes),
    ...(values.peers === undefined ? {} : { peers: Number(values.peers) }),
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
