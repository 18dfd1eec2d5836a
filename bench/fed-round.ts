/**
 * A round of real sites on hosts of their own (network namespaces; root and Linux): with secure sums, and in the clear, job after job in turn
 * over the same peers. Seconds from one round's end to the next at the author's site, medians, and what security adds.
 * `node bench/fed-round.ts [sites] [--rounds N] [--pairs N] [--rtt MS] [--rate MBIT] [--hidden N] [--json]`.
 */
import { mkdirSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { JobStatus } from '../src/federated/index.ts'
import { hospitalRows, plan, writeSite } from '../test/federated/support/hospitals.ts'
import { joined, until } from '../test/integration/support.ts'
import type { RealPeer } from '../test/integration/support.ts'
import { createField } from './promises/field.ts'
import { median } from './support/median.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '6' },
    pairs: { type: 'string', default: '2' },
    rtt: { type: 'string', default: '40' },
    rate: { type: 'string', default: '20' },
    hidden: { type: 'string', default: '300' },
    json: { type: 'boolean', default: false },
  },
})
const sites = Number(positionals[0] ?? 10)
const [rounds, pairs, hidden] = [values.rounds, values.pairs, values.hidden].map(Number) as [number, number, number]
const WANTED = 1.25
/** Of a job; of ten processes on two cores. */
const LIMIT_MS = 300_000

type Side = 'secure' | 'plain'

interface Noted {
  readonly at: string
  readonly event: string
}

/** @returns seconds from the end of each round to that of the next */
async function job(peers: readonly RealPeer[], data: readonly string[], side: Side, turn: number): Promise<number[]> {
  const [author] = peers as [RealPeer]
  const changes = {
    name: `${side}-${turn}`,
    rounds,
    model: { kind: 'mlp', hidden: [hidden, hidden], activation: 'tanh' },
    local: { steps: 5, batch: 'full', optimizer: 'sgd', lr: 0.1 },
    minimum: { sites: peers.length, records: 64 },
    ...(side === 'plain' ? { secagg: 'off' } : {}),
  }
  const made = (await author.access.federated({ op: 'create', plan: plan(changes) })) as { readonly job: string }
  for (const [index, { access }] of peers.entries()) {
    await access.federated({ op: 'join', job: made.job, data: data[index]! })
  }
  const status = async ({ access }: RealPeer): Promise<JobStatus> =>
    (await access.federated({ op: 'status', job: made.job })) as JobStatus
  await until('all have joined', async () => (await status(author)).joined.length === peers.length, LIMIT_MS)
  await author.access.federated({ op: 'start', job: made.job })
  // Asked once a second: ten peers that are asked twenty times a second have work enough with that.
  const isOver = async (peer: RealPeer): Promise<boolean> => {
    await sleep(1_000)
    return (await status(peer)).state === 'finished'
  }
  for (const peer of peers) await until('a site is finished', () => isOver(peer), LIMIT_MS)
  const told = (await author.access.federated({ op: 'rounds', job: made.job })) as { readonly rounds: readonly Noted[] }
  const ends = told.rounds.filter(({ event }) => event === 'round').map(({ at }) => Date.parse(at) / 1000)
  return ends.slice(1).map((end, index) => end - ends[index]!)
}

const field = await createField(sites, ['--rtt', values.rtt, '--rate', values.rate])
try {
  const peers: RealPeer[] = []
  for (let site = 0; site < sites; site++) peers.push(await field.start(`s${site}`, site + 1))
  await joined(peers)
  const data = peers.map(({ home }, index) => {
    mkdirSync(join(home, 'site'))
    return writeSite(join(home, 'site'), `s${index}`, hospitalRows(index + 1, 80))
  })
  const taken: Record<Side, number[]> = { secure: [], plain: [] }
  const load = loadavg()[0]!
  for (let turn = 0; turn < pairs; turn++) {
    for (const side of ['secure', 'plain'] as const) taken[side].push(...(await job(peers, data, side, turn)))
  }
  const parameters = (7 + 1) * hidden + (hidden + 1) * hidden + hidden + 1
  const [secure, plain] = [median(taken.secure), median(taken.plain)]
  const result = {
    schema: 'weft.bench-fed-round/1',
    machine: { processor: cpus()[0]?.model ?? 'unknown', cores: cpus().length, load: [load, loadavg()[0]!] },
    link: { rtt_ms: Number(values.rtt), mbit: Number(values.rate) },
    sites,
    parameters,
    seconds: taken,
    ratio: secure / plain,
  }
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  else {
    const range = (side: Side): string =>
      `${Math.min(...taken[side]).toFixed(2)} to ${Math.max(...taken[side]).toFixed(2)}`
    const lines = [
      `${result.machine.processor} x ${result.machine.cores}, load ${result.machine.load.map((value) => value.toFixed(1)).join(' to ')}`,
      `${sites} sites, ${parameters} parameters, RTT ${values.rtt} ms, ${values.rate} Mbit, medians of ${taken.secure.length} and ${taken.plain.length} rounds`,
      `secure ${secure.toFixed(2)} s (${range('secure')}), in the clear ${plain.toFixed(2)} s (${range('plain')}): ${result.ratio.toFixed(2)} (at most ${WANTED} is wanted)`,
    ]
    process.stdout.write(`${lines.join('\n')}\n`)
  }
} finally {
  await field.stop()
}
