/** weft fed rollout JOB [STEP]: rounds on their way to who asks. */
import type { FederatedCall, RolloutRecord } from '../../../peer/index.ts'
import type { Flags } from '../../context.ts'
import { UsageError } from '../../errors.ts'
import type { Output } from '../../output.ts'
import { printable, table } from '../../text.ts'

type RolloutCall = Extract<FederatedCall, { op: 'rollout' }>

const STEPS: readonly RolloutCall['do'][] = ['begin', 'status', 'promote', 'back', 'end']

export function rolloutCall(flags: Flags, job: string): RolloutCall {
  const wanted = flags.argument(2) ?? 'status'
  const step = STEPS.find((each) => each === wanted)
  if (step === undefined) {
    throw new UsageError(`weft fed rollout JOB ${wanted}: no such step`, `one of ${STEPS.join(', ')}`)
  }
  if (step !== 'begin') return { op: 'rollout', job, do: step }
  const numbers = ['canary', 'requests', 'every', 'margin', 'tolerance'] as const
  const given = numbers.flatMap((name) => {
    const value = flags.number(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  const alias = flags.text('name')
  return { op: 'rollout', job, do: step, ...(alias === undefined ? {} : { alias }), ...Object.fromEntries(given) }
}

export function showRollout(out: Output, answer: object): void {
  const record = answer as RolloutRecord & { readonly as: string }
  const { as, live, candidate, ended, spec, steps } = record
  const loss = (value: number | null): string => (value === null ? '-' : value.toFixed(4))
  out.line(
    `${printable(as)}  ${live === null ? (record.model === '' ? 'no round yet' : 'the model as it was') : `round ${live.round}`}${ended ? ', ended' : ''}`,
  )
  if (candidate !== null) {
    const { round, tried, beside } = candidate
    out.line(
      `trying round ${round} on ${Math.round(100 * spec.canary)} % of the requests: ${tried.served} of ${spec.requests} have ended, ` +
        `${tried.failed} failed (beside it ${beside.failed} of ${beside.served})`,
    )
  }
  const rows = [['live', live] as const, ['before', record.previous] as const, ['tried', candidate] as const]
  const lines = rows.flatMap(([what, one]) =>
    one === null ? [] : [[what, String(one.round), loss(one.loss), one.name, one.at]],
  )
  if (lines.length > 0) {
    const heads = ['', 'ROUND', 'LOSS', 'NAME', 'SINCE'].map((head) => ({ head }))
    out.lines(
      table(
        heads,
        lines.map((line) => line.map((cell) => printable(cell))),
      ),
    )
  }
  for (const { at, step, round, why } of steps.slice(-10)) {
    out.line(printable(`${at}  ${step}${round === null ? '' : ` ${round}`}: ${why}`))
  }
}
