/** A plan for people: a table of stages, what is predicted, why, and with `--explain` what it is made of. */
import type { PlanDocument } from '../placement/index.ts'
import { formatBytes, formatMs, formatRate, plural, shortId } from './format.ts'
import { COLUMNS, printable, table, width, wrap } from './text.ts'

type Named = (id: string) => string

const VERDICTS = {
  split: 'split',
  'do-not-split': 'do not split',
  'no-fit': 'does not fit',
} as const

/** A name longer than this would push the table over the edge. */
const MAX_NAME = 24

export function planLines(plan: PlanDocument): string[] {
  const name = namer(plan)
  const asked =
    plan.unit === 'run'
      ? plural(plan.concurrency, 'run') + ' at a time'
      : `${plural(plan.concurrency, 'session')}, context ${plan.context}`
  const head = `${printable(plan.model)}: ${VERDICTS[plan.verdict]} (${plan.objective}, ${asked})`
  return [
    head,
    '',
    ...(plan.prediction === null ? [] : [...stagesTable(plan, name), '', ...predictionLines(plan, name), '']),
    ...plan.why.flatMap((reason) => bullet(named(plan, reason, name))),
    ...replicaLines(plan, name),
    ...explainLines(plan, name),
  ]
}

/** Names of a mesh are beside its ids; in a fleet they are one. */
function namer(plan: PlanDocument): Named {
  const names = new Map(Object.entries(plan.names))
  return (id) => {
    const text = printable(names.get(id) ?? id)
    return width(text) <= MAX_NAME ? text : shortId(text)
  }
}

/** A sentence with ids in it, with names in their place. */
function named(plan: PlanDocument, text: string, name: Named): string {
  const clean = printable(text)
  return Object.keys(plan.names).reduce((line, id) => line.replaceAll(id, name(id)), clean)
}

function stagesTable(plan: PlanDocument, name: Named): string[] {
  const bytes = new Map(plan.peers.map((peer) => [peer.peer, peer]))
  const seen = new Set<string>()
  return table(
    [
      { head: 'PEER' },
      { head: 'BLOCKS', right: true },
      { head: 'COUNT', right: true },
      { head: 'WEIGHTS', right: true },
      { head: 'KV', right: true },
      { head: 'LEFT FREE', right: true },
    ],
    plan.stages.map(({ peer, from, to }) => {
      const id = peer === 'origin' ? plan.origin : peer
      const share = bytes.get(id)
      const first = !seen.has(id)
      seen.add(id)
      const cells =
        share === undefined || !first
          ? ['"', '"', '"']
          : [formatBytes(share.bytes), formatBytes(share.kv_bytes), formatBytes(Math.max(0, share.free_bytes))]
      const label = peer === 'origin' ? `${name(id)} (origin)` : name(id)
      return [label, `${from}:${to}`, String(to - from), ...cells]
    }),
  )
}

function predictionLines({ prediction, unit }: PlanDocument, name: Named): string[] {
  if (prediction === null) return []
  const { ms_per_token: ms, tokens_per_second: rate, first_token_ms: first, prompt_tokens: prompt } = prediction
  const { throughput } = prediction
  const { kind, peer = '', to = '' } = throughput.bottleneck
  const waits =
    kind === 'ring'
      ? 'sessions wait for the way round the ring'
      : kind === 'peer'
        ? `${name(peer)} is busy longest`
        : `the line from ${name(peer)} to ${name(to)} is busy longest`
  const together = `${formatRate(throughput.tokens_per_second)}, ${plural(throughput.batch_rows, 'row')} at once`
  const all =
    throughput.sessions === 1
      ? []
      : [
          ['all sessions', together],
          ['', waits],
        ]
  const rows = [
    ...(unit === 'run'
      ? [
          ['a run', `${formatMs(ms)}, of nominal sizes`],
          ...(throughput.sessions === 1
            ? []
            : [
                ['many runs', `${throughput.tokens_per_second.toFixed(1)} a second`],
                ['', waits],
              ]),
        ]
      : [
          ['a token', `${formatMs(ms)}, ${formatRate(rate)} of one session`],
          ['first token', `${formatMs(first)} after a prompt of ${prompt} tokens`],
          ...all,
        ]),
    ...(prediction.measured ? [] : [['measured', 'not all: peers without a measured speed count as average']]),
  ]
  return table([{ head: 'PREDICTED' }, { head: '' }], rows)
}

function bullet(text: string): string[] {
  const [first = '', ...rest] = wrap(text, COLUMNS, '  ')
  return [`- ${first.slice(2)}`, ...rest]
}

function replicaLines({ replicas }: PlanDocument, name: Named): string[] {
  if (replicas.length === 0) return []
  const parts = replicas.map(({ peer, from, to }) => `${name(peer)} [${from}:${to}]`)
  return bullet(`memory is left for further holders: ${parts.join(', ')}`)
}

function explainLines(plan: PlanDocument, name: Named): string[] {
  const { terms, bounds = [], advice = [], runners_up: runners } = plan
  if (terms === undefined) return []
  const made = table(
    [{ head: 'TERM' }, { head: 'PREDICTED', right: true }, { head: 'MEASURED', right: true }, { head: 'BOUND BY' }],
    terms.map((term) => {
      const what = term.kind === 'hop' ? `${name(term.peer)} to ${name(term.to ?? '')}` : computeLabel(term, name)
      return [
        what,
        formatMs(term.predicted_ms),
        formatMs(term.measured_ms),
        term.bound + (term.measured ? '' : ' (assumed)'),
      ]
    }),
  )
  const shares = bounds.map(({ bound, share }) => `${Math.round(share * 100)} % ${bound}`)
  return [
    '',
    ...made,
    '',
    ...batchLines(plan, name),
    ...speculationLine(plan),
    ...(shares.length === 0 ? [] : bullet(`a ${plan.unit ?? 'token'} is ${shares.join(', ')}`)),
    '',
    'What would help most:',
    ...(advice.length === 0 ? bullet('nothing that was tried makes it 1.05 times better') : []),
    ...advice.flatMap(({ change, factor }) =>
      bullet(`${named(plan, change, name)}: ${factor.toFixed(factor < 1.2 ? 2 : 1)}x`),
    ),
    '',
    'Runners-up:',
    ...(runners.length === 0 ? bullet('none: no other set of peers can hold the model') : []),
    ...runners.flatMap((runner) => bullet(runnerText(plan, runner, name))),
  ]
}

function speculationLine({ objective, unit, speculation = null }: PlanDocument): string[] {
  if (objective !== 'latency' || unit === 'run') return []
  if (speculation === null) return bullet('speculation: 1 token a step (nothing measured)')
  const { tokens_per_step: tokens, rows_per_step: rows } = speculation
  return bullet(`speculation: ${tokens.toFixed(1)} tokens a step of ${rows.toFixed(1)} rows (measured)`)
}

/** How much longer than one row those of several sessions take at once. */
function batchLines({ batches = [] }: PlanDocument, name: Named): string[] {
  const [first] = batches
  if (first === undefined) return []
  const columns = [
    { head: `${first.rows} ROWS AT ONCE` },
    { head: 'USUAL', right: true },
    { head: 'MEASURED', right: true },
  ]
  const rows = batches.map(({ peer, predicted_factor: usual, measured_factor: measured }) => [
    name(peer),
    `${usual.toFixed(2)}x`,
    measured === null ? '-' : `${measured.toFixed(2)}x`,
  ])
  return [...table(columns, rows), '']
}

function computeLabel(term: NonNullable<PlanDocument['terms']>[number], name: Named): string {
  if (term.blocks === undefined) return `${name(term.peer)}, embedding and head`
  return `${name(term.peer)} [${term.blocks[0]}:${term.blocks[1]}]`
}

function runnerText(plan: PlanDocument, runner: PlanDocument['runners_up'][number], name: Named): string {
  const isRun = plan.unit === 'run'
  const figure =
    plan.objective === 'throughput'
      ? isRun
        ? `${runner.tokens_per_second.toFixed(1)} runs a second`
        : formatRate(runner.tokens_per_second)
      : plan.objective === 'first-token'
        ? `${formatMs(runner.first_token_ms)} to the first token`
        : `${formatMs(runner.ms_per_token)} a ${plan.unit ?? 'token'}`
  return `${runner.peers.map(name).join(', ')}: ${figure} (${runner.factor.toFixed(2)}x); ${named(plan, runner.why_not, name)}`
}
