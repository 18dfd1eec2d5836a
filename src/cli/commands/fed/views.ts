/** Answers about federations, for people. */
import type { JobResults, JobStatus } from '../../../federated/index.ts'
import type { FederatedCall } from '../../../peer/index.ts'
import type { Output } from '../../output.ts'
import { formatSpan, shortId } from '../../format.ts'
import { printable, table, wrap } from '../../text.ts'
import { eventLines, roundLines } from './life-view.ts'
import type { Line } from './life-view.ts'
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
    const { rounds, events = [] } = answer as { rounds?: readonly Line[]; events?: readonly Line[] }
    out.lines(rounds === undefined ? events.flatMap(eventLines) : roundLines(rounds))
    if (rounds?.length === 0) out.note('no round is over yet: weft fed status says where the job stands')
    return
  }
  const { jobs } = answer as { jobs?: readonly JobStatus[] }
  if (jobs === undefined) showJob(out, answer as JobStatus)
  else showJobs(out, jobs)
  // Of the peer, not of a job: each says the same.
  const { test_interface: on } = (jobs ?? [answer as JobStatus])[0] ?? { test_interface: [] }
  if (on.length > 0) out.note(`TEST INTERFACE on (${on.join(', ')}): until this peer ends, its rounds are no real ones`)
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
  out.line(`plan ${hash}`)
  const who = status.site === null ? 'this peer has no data in it' : `site ${printable(status.site)}`
  out.line(`${who}, ${status.approved ? 'approved here' : 'not approved here'}`)
  const aggregates = members.find(({ peer }) => peer === aggregator)
  const by = aggregates === undefined ? '' : `, ${printable(called(aggregates))} aggregates`
  if (stage !== null) out.line(`here: ${stage}${by}`)
  const rows =
    members.length > 0
      ? members.map((one) => [
          printable(one.site),
          printable(called(one)),
          one.left ? 'has left' : one.connected ? 'connected' : 'away',
        ])
      : joined.map((one) => [printable(one.site), printable(called(one)), 'joined'])
  if (rows.length > 0) out.lines(table([{ head: 'SITE' }, { head: 'PEER' }, { head: 'STATE' }], rows))
  const say = (text: string): void => out.lines(wrap(printable(text)))
  if (waits !== null) {
    const whom = waits.names.map((one, at) => called({ name: one, peer: waits.for[at] ?? '' })).join(', ')
    say(`waits${whom === '' ? '' : ` for ${whom}`}: ${waits.why} (${formatSpan(waits.ms)})`)
  }
  if (status.stopped !== null) {
    say(`stopped here: ${status.stopped}`)
    if (status.site !== null) say(`weft fed join ${job} --data FILE takes it up again`)
  }
  if (error !== null) say(`refused: ${error.message} (${error.code})`)
}

/** A peer whose name nobody has told is called by its id. */
function called({ name, peer }: { readonly name: string; readonly peer: string }): string {
  return name === peer ? shortId(peer) : name
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
