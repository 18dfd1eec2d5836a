/** Answers about federations, for people. */
import type { JobResults, JobStatus } from '../../../federated/index.ts'
import type { FederatedCall } from '../../../peer/index.ts'
import type { Output } from '../../output.ts'
import { printable, table } from '../../text.ts'
import { showResults } from './results-view.ts'
import { showRollout } from './rollout.ts'

export function show(out: Output, { op }: FederatedCall, answer: object): void {
  if (op === 'create') {
    const { job, plan_hash: hash } = answer as { job: string; plan_hash: string }
    out.line(job)
    out.note(`plan ${hash}`)
    out.note(`at each site:  weft fed join ${job} --data FILE`)
    return
  }
  if (op === 'results') {
    showResults(out, answer as JobResults)
    return
  }
  if (op === 'rollout') {
    showRollout(out, answer)
    return
  }
  if (op === 'budget') {
    showBudget(out, answer as Parameters<typeof showBudget>[1])
    return
  }
  if (op === 'export') {
    const { out: folder, files } = answer as { out: string; files: readonly string[] }
    out.line(folder)
    out.note(`${files.length} files`)
    return
  }
  if (op === 'rounds' || op === 'log') {
    const list = (answer as { rounds?: Line[]; events?: Line[] }).rounds ?? (answer as { events: Line[] }).events
    out.lines(list.map(lineOf))
    return
  }
  const { jobs } = answer as { jobs?: readonly JobStatus[] }
  if (jobs === undefined) showJob(out, answer as JobStatus)
  else showJobs(out, jobs)
  // Of the peer, not of a job: each says the same.
  const { test_interface: on } = (jobs ?? [answer as JobStatus])[0] ?? { test_interface: [] }
  if (on.length > 0) out.note(`TEST INTERFACE on (${on.join(', ')}): until this peer ends, its rounds are no real ones`)
}

type Line = Readonly<Record<string, unknown>>

function lineOf({ at, event, ...facts }: Line): string {
  const rest = Object.entries(facts).map(([name, value]) => `${name}=${shown(value)}`)
  return printable([at, event, ...rest].map(String).join('  '))
}

function shown(value: unknown): string {
  if (typeof value === 'number' && !Number.isInteger(value)) return value.toPrecision(6)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function showJobs(out: Output, jobs: readonly JobStatus[]): void {
  if (jobs.length === 0) {
    out.note('no federations: weft fed create PLAN makes one')
    return
  }
  const heads = [{ head: 'JOB' }, { head: 'NAME' }, { head: 'STATE' }, { head: 'ROUND' }, { head: 'SITE' }]
  const rows = jobs.map(({ job, name, state, round, rounds, site }) => [
    job,
    printable(name),
    state,
    `${round}/${rounds}`,
    printable(site ?? '-'),
  ])
  out.lines(table(heads, rows))
}

function showJob(out: Output, status: JobStatus): void {
  const { job, name, state, round, rounds, plan_hash: hash, members, joined, waits, stage, aggregator, error } = status
  out.line(`${job}  ${printable(name)}  ${state}, round ${round} of ${rounds}`)
  out.line(`plan ${hash}${status.approved ? ', approved here' : ', not approved here'}`)
  if (stage !== null) out.line(`this site: ${stage}${aggregator === null ? '' : `, aggregator ${aggregator}`}`)
  const rows =
    members.length > 0
      ? members.map(({ site, name: peer, connected }) => [
          printable(site),
          printable(peer),
          connected ? 'connected' : 'away',
        ])
      : joined.map(({ site, peer }) => [printable(site), peer, 'joined'])
  if (rows.length > 0) out.lines(table([{ head: 'SITE' }, { head: 'PEER' }, { head: 'STATE' }], rows))
  if (waits !== null) {
    out.line(printable(`waits for ${waits.for.join(', ')}: ${waits.why} (${Math.round(waits.ms / 1000)} s)`))
  }
  if (error !== null) out.line(printable(`refused: ${error.message} (${error.code})`))
}

interface Entry {
  readonly data: string
  readonly unit: string
  readonly delta: number
  readonly epsilon: number
  readonly accountant: string
  readonly cap: number
  readonly events: readonly { readonly q: number; readonly sigma: number; readonly steps: number }[]
}

/** Unit, epsilon, delta, q, z and T together. */
function showBudget(out: Output, { entries }: { readonly entries: readonly Entry[] }): void {
  if (entries.length === 0) {
    out.note('no data of this site has a budget: joining a job with privacy sets one')
    return
  }
  const rows = entries.flatMap(({ data, unit, epsilon, accountant, cap, delta, events }) =>
    (events.length === 0 ? [undefined] : events).map((event) => [
      printable(data),
      unit,
      epsilon.toFixed(4),
      accountant,
      String(cap),
      String(delta),
      event === undefined ? '-' : String(event.q),
      event === undefined ? '-' : event.sigma.toFixed(4),
      event === undefined ? '0' : String(event.steps),
    ]),
  )
  const heads = ['DATA', 'UNIT', 'EPSILON', 'BY', 'CAP', 'DELTA', 'Q', 'Z', 'STEPS'].map((head) => ({ head }))
  out.lines(table(heads, rows))
}
