/**
 * The planner: how long a plan takes, how near it is to the best of all orders and subsets of small meshes, and how near to
 * a long search in meshes of 64 peers. One thread, warmed.
 *
 *   node bench/plan.ts [--json] [--instances 300] [--meshes 3] [--minutes 0.05]
 *                      [--objective latency|first-token|throughput]
 *
 * `--minutes` of the processor are for each of the meshes of 64 peers and each objective: 10 is the search that is
 * promised.
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { planPlacement } from '../src/placement/index.ts'
import type { Plan, PlanInput } from '../src/placement/index.ts'
import { bruteForce } from '../test/placement/brute-force.ts'
import { instance, randomOf } from '../test/placement/instances.ts'
import { anneal } from './support/annealing.ts'
import type { Goal } from './support/annealing.ts'

const ALL: readonly Goal[] = ['latency', 'first-token', 'throughput']
const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    instances: { type: 'string', default: '300' },
    meshes: { type: 'string', default: '3' },
    minutes: { type: 'string', default: '0.05' },
    objective: { type: 'string' },
  },
})
const GOALS = ALL.filter((goal) => values.objective === undefined || goal === values.objective)
const [instances, meshes, minutes] = [Number(values.instances), Number(values.meshes), Number(values.minutes)]

function valueOf({ prediction }: Plan, goal: Goal): number {
  if (prediction === null) return Infinity
  if (goal === 'latency') return prediction.msPerToken
  return goal === 'first-token' ? prediction.firstTokenMs : 1000 / prediction.tokensPerSecond
}

interface TimeRow {
  readonly goal: Goal
  readonly peers: number
  readonly blocks: number
  readonly ms: number
  readonly most: number
  /** Of the longest, what the processor worked. */
  readonly cpu: number
}

/** The median and the longest over meshes, the best of three runs of each. */
function times(goal: Goal, peers: number, layers: number, count: number): TimeRow {
  const all: { readonly ms: number; readonly cpu: number }[] = []
  for (let seed = 1; seed <= count; seed++) {
    const input = instance(seed, { peers, layers, objective: goal })
    let least = { ms: Infinity, cpu: Infinity }
    for (let round = 0; round < 3; round++) {
      const [before, worked] = [performance.now(), process.cpuUsage()]
      planPlacement(input)
      const ms = performance.now() - before
      if (ms < least.ms) least = { ms, cpu: process.cpuUsage(worked).user / 1000 }
    }
    all.push(least)
  }
  all.sort((left, right) => left.ms - right.ms)
  const [middle, last] = [all[all.length >> 1]!, all.at(-1)!]
  return { goal, peers, blocks: layers, ms: middle.ms, most: last.ms, cpu: last.cpu }
}

interface GapRow {
  readonly goal: Goal
  readonly instances: number
  /** Better than every placement with each peer once: a peer comes twice. */
  readonly better: number
  readonly over1: number
  readonly worst: number
}

function againstAllOrders(goal: Goal): GapRow {
  const gaps: number[] = []
  for (let seed = 1; gaps.length < instances; seed++) {
    const input = instance(seed, { peers: 2 + (seed % 6), layers: 4 + (seed % 9), objective: goal })
    const best = bruteForce(input, goal)
    if (best === Infinity) continue
    gaps.push(valueOf(planPlacement(input), goal) / best - 1)
  }
  return {
    goal,
    instances: gaps.length,
    better: gaps.filter((gap) => gap < -1e-6).length,
    over1: gaps.filter((gap) => gap > 0.01).length,
    worst: Math.max(...gaps),
  }
}

interface LongRow {
  readonly goal: Goal
  readonly seed: number
  readonly plan: number
  readonly search: number
  readonly gap: number
}

/** Odd blocks are left to the small meshes: the search knows equal ones only. */
function evenInstance(seed: number, goal: Goal): PlanInput | undefined {
  const input = instance(seed, { peers: 64, layers: 80, objective: goal })
  return new Set(input.blocks.slice(1, -1).map(({ flops }) => flops)).size === 1 ? input : undefined
}

function againstLongSearch(goal: Goal): LongRow[] {
  const rows: LongRow[] = []
  for (let seed = 1; rows.length < meshes; seed++) {
    const input = evenInstance(seed, goal)
    if (input === undefined) continue
    const plan = valueOf(planPlacement(input), goal)
    if (plan === Infinity) continue
    const sizes =
      goal === 'throughput'
        ? [1, 2, 4, 8].filter((size) => size < input.concurrency).concat(input.concurrency)
        : [goal === 'latency' ? 1 : 128]
    const each = (minutes * 60_000) / sizes.length
    const found = sizes.map((size) => {
      const began = process.cpuUsage()
      const isOver = (): boolean => process.cpuUsage(began).user / 1000 > each
      return anneal(input, goal, size, randomOf(seed + size), isOver).value
    })
    const search = Math.min(...found)
    rows.push({ goal, seed, plan, search, gap: plan / search - 1 })
  }
  return rows
}

const timed = GOALS.flatMap((goal) => [times(goal, 7, 80, 8), times(goal, 64, 80, 8), times(goal, 1_000, 126, 2)])
const small = GOALS.map((goal) => againstAllOrders(goal))
const long = minutes > 0 ? GOALS.flatMap((goal) => againstLongSearch(goal)) : []
const percent = (share: number): string => `${(share * 100).toFixed(2)} %`

if (values.json) {
  process.stdout.write(`${JSON.stringify({ schema: 'weft.bench/1', timed, small, minutes, long })}\n`)
} else {
  const [first] = cpus()
  const lines = [
    `${first?.model ?? 'unknown processor'} x ${cpus().length}, load ${loadavg()[0]!.toFixed(1)}, Node ${process.version}`,
    '',
    'A plan, median and longest over meshes:',
    ...timed.map(
      (row) =>
        `  ${row.goal.padEnd(12)} ${row.blocks} blocks x ${row.peers} peers: ${row.ms.toFixed(0)} ms, ${row.most.toFixed(0)} ms (${row.cpu.toFixed(0)} ms of processor)`,
    ),
    '',
    'Against the best of all subsets, orders and cuts, 2 to 7 peers:',
    ...small.map(
      (row) =>
        `  ${row.goal.padEnd(12)} ${row.instances} meshes: ${row.over1} over 1 %, the worst ${percent(row.worst)}; ${row.better} better (a peer twice)`,
    ),
    '',
    `Against ${minutes} minutes of annealing, 80 blocks x 64 peers:`,
    ...long.map(
      (row) =>
        `  ${row.goal.padEnd(12)} mesh ${row.seed}: ${row.plan.toFixed(2)} against ${row.search.toFixed(2)} ms, ${percent(row.gap)}`,
    ),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}
