/**
 * What a plan says a token takes, and what it takes: real peers on hosts with netlab's links, plans over several sets of peers and
 * memory, each deployed as it stands and measured. Promised: within 15 %, the median over ten placements.
 * `node bench/predicted.ts [MODEL.gguf] [--tokens 64] [--turns 3] [--terms]`. Needs root and Linux. Ends with status 1 beyond 15 %.
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/util/index.ts'
import { measuredTerms } from '../src/peer/index.ts'
import { isSameTerm } from '../src/placement/index.ts'
import type { PlanDocument } from '../src/placement/index.ts'
import { netlabFor } from '../test/integration/netlab.ts'
import { answer, greedy, joined, TINY, until } from '../test/integration/support.ts'
import type { RealPeer } from '../test/integration/support.ts'
import { createField } from './promises/field.ts'
import { percentile } from './support/cases.ts'

const clock = systemClock()
const NAMES = ['a', 'b', 'c', 'd'] as const
const WITHIN = 0.15
/** After a line has changed plans know of it: a pair's own ends within 10 s, all others with the next sign of life (docs/profiles.md). */
const KNOWN_MS = 45_000
/** Embedding and head alone, so that the layers are at others. */
const ENDS = 0.25

/** Round trip of each link (netlab adds half of both ends), and what the plan is told beside what is there. */
const SETTINGS: readonly { readonly rtt: readonly number[]; readonly changes: readonly string[] }[] = [
  { rtt: [2, 2, 2, 2], changes: [] },
  { rtt: [2, 2, 2, 2], changes: ['memory:b=HALF', 'memory:c=HALF', 'remove:d'] },
  { rtt: [2, 2, 2, 2], changes: ['memory:b=THIRD', 'memory:c=THIRD', 'memory:d=THIRD'] },
  { rtt: [10, 10, 10, 10], changes: ['remove:b'] },
  { rtt: [10, 10, 10, 10], changes: ['memory:c=HALF', 'memory:d=HALF', 'remove:b'] },
  { rtt: [10, 10, 10, 10], changes: ['memory:b=THIRD', 'memory:c=THIRD', 'memory:d=THIRD'] },
  { rtt: [4, 40, 4, 20], changes: ['remove:c', 'remove:d'] },
  { rtt: [4, 40, 4, 20], changes: ['memory:c=HALF', 'memory:d=HALF', 'remove:b'] },
  { rtt: [4, 40, 4, 20], changes: ['memory:b=HALF', 'memory:c=HALF', 'remove:d'] },
  { rtt: [40, 40, 40, 40], changes: ['memory:b=HALF', 'memory:c=HALF', 'memory:d=HALF'] },
]

interface Row {
  readonly rtt: string
  readonly stages: string
  readonly predicted: number
  readonly measured: number
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      tokens: { type: 'string', default: '64' },
      turns: { type: 'string', default: '3' },
      terms: { type: 'boolean', default: false },
    },
  })
  const source = positionals[0] ?? TINY
  const before = loadavg()[0]!
  const field = await createField(NAMES.length, ['--rtt', '2'])
  const rows: Row[] = []
  try {
    const peers = await Promise.all(NAMES.map((name, index) => field.start(name, index + 1)))
    await joined(peers)
    const [origin] = peers as [RealPeer, ...RealPeer[]]
    await origin.access.importModel({ source, name: 'bench' }, () => undefined)
    const { need_bytes: whole } = await origin.access.plan('bench', {})
    await warm(peers)
    let set = ''
    for (const { rtt, changes } of SETTINGS) {
      for (const [index, ms] of rtt.entries()) field.netlab('link', String(index + 1), '--rtt', String(ms))
      if (set !== String(rtt)) await clock.sleep(KNOWN_MS)
      set = String(rtt)
      const sizes = { HALF: 0.62, THIRD: 0.45 }
      const wanted = [`memory:a=${Math.round(whole * ENDS)}`, ...changes].map((change) =>
        change.replace(/HALF|THIRD/, (size) => String(Math.round(whole * sizes[size as keyof typeof sizes]))),
      )
      const plan = await origin.access.plan('bench', { whatIf: wanted, explain: true })
      if (plan.prediction === null) throw new Error(`no plan: ${plan.why.join('; ')}`)
      await origin.access.deploy('bench', { model: 'bench', stages: plan.stages }, () => undefined)
      const measured = await measure(origin, Number(values.tokens), Number(values.turns))
      const name = (id: string): string => NAMES[peers.findIndex((peer) => peer.id === id)] ?? 'origin'
      const stages = plan.stages.map(({ peer, from, to }) => `${name(peer)}:${from}-${to}`).join(' ')
      const row = { rtt: rtt.join('/'), stages, predicted: plan.prediction.ms_per_token, measured }
      rows.push(row)
      process.stdout.write(shown(row))
      if (values.terms) process.stdout.write(await termsOf(origin, plan.terms, name))
    }
  } finally {
    await field.stop()
  }
  const offs = rows.map(off)
  const middle = percentile(offs, 0.5)
  process.stdout.write(
    `${cpus()[0]!.model} x ${cpus().length}, load ${before.toFixed(1)} to ${loadavg()[0]!.toFixed(1)}: ${rows.length} placements, ` +
      `off by ${percent(middle)} (median), ${percent(Math.max(...offs))} at most; promised are ${percent(WITHIN)}\n`,
  )
  if (!(middle <= WITHIN)) process.exitCode = 1
}

/** Each holds the whole model once, and so has measured its blocks. */
async function warm(peers: readonly RealPeer[]): Promise<void> {
  const [origin] = peers as [RealPeer]
  for (const peer of peers) {
    const { error } = await answer(peer, greedy('bench', 32, { placement: 'local', deadline: 120_000 }))
    if (error !== undefined) throw error
  }
  await until('all have measured it', async () => {
    const { peers: known } = await origin.access.status()
    return known.filter(({ profile }) => (profile?.models ?? []).length > 0).length === peers.length - 1
  })
}

async function measure(origin: RealPeer, tokens: number, turns: number): Promise<number> {
  const times: number[] = []
  for (let turn = 0; turn < turns; turn++) {
    const { end, error } = await answer(origin, greedy('bench', tokens, { speculate: 'off', deadline: 120_000 }))
    if (end === undefined) throw error
    times.push(end.stats.ms_per_token_p50)
  }
  return percentile(times, 0.5)
}

/** As predicted, beside what the last answer was measured to take: means of its steps, on which late ones weigh. */
async function termsOf(
  { id, access }: RealPeer,
  terms: PlanDocument['terms'],
  name: (peer: string) => string,
): Promise<string> {
  const manifest = (await access.manifest('bench')) as Parameters<typeof measuredTerms>[2]
  const measured = measuredTerms(await access.trace(undefined), id, manifest)
  const lines = (terms ?? []).map((term) => {
    const { peer, to, blocks, predicted_ms: predicted } = term
    const same = measured.find((one) => isSameTerm(one, term))
    const what = to === undefined ? `${name(peer)} ${blocks?.join('-') ?? 'ends'}` : `${name(peer)} to ${name(to)}`
    return `  ${what.padEnd(10)} ${predicted.toFixed(2)} ms predicted, ${same?.ms.toFixed(2) ?? 'not'} measured\n`
  })
  return lines.join('')
}

const off = ({ predicted, measured }: Row): number => Math.abs(predicted / measured - 1)
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`
const shown = (row: Row): string =>
  `rtt ${row.rtt.padEnd(12)} ${row.predicted.toFixed(1)} ms predicted, ${row.measured.toFixed(1)} measured, ${percent(off(row))}: ${row.stages}\n`

const { why } = netlabFor('predicted')
if (why === undefined) await main()
else process.stdout.write(`not measured: ${why}\n`)
