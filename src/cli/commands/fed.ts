/** weft fed ACTION: federations, over the running peer; plans and simulations without one. */
import { resolve } from 'node:path'
import type { FederatedCall } from '../../peer/index.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { auditCommand } from './fed/audit.ts'
import { checkCommand } from './fed/check.ts'
import { rolloutCall } from './fed/rollout.ts'
import { newCommand } from './fed/new.ts'
import { readJobPlan } from '../../federated/index.ts'
import { simulateCommand } from './fed/simulate.ts'
import { show } from './fed/views.ts'

const ALONE: Readonly<Record<string, Command>> = {
  new: newCommand,
  audit: auditCommand,
  check: checkCommand,
  simulate: simulateCommand,
}

export const command: Command = async (context) => {
  const action = context.flags.required(0)
  const alone = ALONE[action]
  if (alone !== undefined) return alone(context)
  const call = await callOf(context, action)
  const access = await openFor(context, 'never')
  const answer = await access.federated(call, context.signal)
  if (context.out.structured) context.out.document(answer)
  else show(context.out, call, answer)
  return undefined
}

async function callOf({ flags }: CommandContext, action: string): Promise<FederatedCall> {
  const target = flags.argument(1)
  if (action === 'budget') return { op: 'budget' }
  if (action === 'status' && target === undefined) return { op: 'status' }
  if (target === undefined) {
    const what = action === 'create' ? 'PLAN' : 'JOB'
    throw new UsageError(`weft fed ${action} needs ${what}`, `usage: weft fed ${action} ${what}`)
  }
  const optional = (name: string, value: unknown): object => (value === undefined ? {} : { [name]: value })
  const record = flags.text('record')
  const recorded = optional('record', record === undefined ? undefined : resolve(record))
  switch (action) {
    case 'create':
      return { op: 'create', plan: await readJobPlan(target) }
    case 'join': {
      const [data, ...more] = flags.texts('data')
      if (data === undefined || more.length > 0) {
        throw new UsageError('weft fed join needs one --data FILE', 'usage: weft fed join JOB --data FILE')
      }
      return {
        op: 'join',
        job: target,
        data: resolve(data),
        ...optional('trainer', flags.text('trainer')),
        ...optional('hash', flags.text('hash')),
        ...optional('cap', flags.number('cap')),
        ...(flags.flag('unapproved') ? { unapproved: true } : {}),
        ...optional('hold', holdOf(flags.texts('hold'))),
        ...recorded,
      }
    }
    case 'approve':
      return { op: 'approve', job: target, ...optional('hash', flags.text('hash')) }
    case 'start':
      return { op: 'start', job: target, ...optional('filter', flags.text('filter')), ...recorded }
    case 'export':
      return { op: 'export', job: target, out: resolve(flags.text('out') ?? target) }
    case 'rollout':
      return rolloutCall(flags, target)
    case 'leave':
    case 'stop':
      return { op: action, job: target, ...optional('why', flags.text('why')) }
    default:
      return { op: action as 'status' | 'rounds' | 'log' | 'results', job: target }
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

/** `masked=5s` as milliseconds by stage. */
function holdOf(texts: readonly string[]): Record<string, number> | undefined {
  if (texts.length === 0) return undefined
  return Object.fromEntries(
    texts.map((text) => {
      const match = /^([a-z]+)=(\d+)(ms|s|m)$/.exec(text)
      if (match === null) throw new UsageError(`--hold ${text} is not STAGE=TIME`, 'e.g. --hold masked=5s')
      return [match[1]!, Number(match[2]) * UNITS[match[3]!]!]
    }),
  )
}
