/** weft fed simulate PLAN --data FILE…: a whole federation in this process. */
import { resolve } from 'node:path'
import { ATTACKS, readFedPlan, simulateFederation } from '../../../federated/index.ts'
import type { SimulationSpec } from '../../../federated/index.ts'
import { createOrtEngine } from '../../../onnx/index.ts'
import { EXIT } from '../../../errors.ts'
import type { Command } from '../../context.ts'
import { UsageError } from '../../errors.ts'
import { createProgress } from '../../progress.ts'
import { printable, table } from '../../text.ts'
import type { Flags } from '../../context.ts'
import { basesFor } from './bases.ts'

export const simulateCommand: Command = async (context) => {
  const { flags, io, out, signal } = context
  const path = flags.argument(1)
  const data = flags.texts('data')
  if (path === undefined || data.length === 0) {
    throw new UsageError(
      'weft fed simulate needs PLAN and --data',
      'usage: weft fed simulate PLAN --data FILE... --out DIR',
    )
  }
  const folder = resolve(flags.text('out') ?? 'simulation')
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const request = { plan: await readFedPlan(path), data, out: folder, spec: specOf(flags) }
  const needs = { clock: io.clock, engine: createOrtEngine(), base: await basesFor(context, request.plan) }
  const result = await simulateFederation(needs, request, progress.sink, signal)
  progress.end()
  // A script that looks at the status alone hears of it too.
  const { rounds } = request.plan
  const status = result.rounds.length < rounds ? EXIT.partial : undefined
  if (status !== undefined) out.note(`${result.rounds.length} of ${rounds} rounds: the others had too few sites`)
  if (out.structured) {
    out.document({ ...result, out: folder })
    return status
  }
  const last = result.rounds.at(-1)
  out.line(`${result.rounds.length} rounds, loss ${last?.loss?.toFixed(4) ?? '-'}`)
  const sites = Object.entries(result.metrics.sites)
  const names = Object.keys(sites[0]?.[1] ?? {})
  const rows = sites.map(([site, metrics]) => [
    printable(site),
    ...names.map((name) => (metrics[name] === undefined ? '-' : Number(metrics[name].toFixed(4)).toString())),
  ])
  out.lines(table([{ head: 'SITE' }, ...names.map((name) => ({ head: name.toUpperCase() }))], rows))
  out.note(`${printable(folder)} holds the model of each round, statistics.json, result.json, curve.svg and curve.png`)
  return status
}

function specOf(flags: Flags): SimulationSpec {
  const drops = new Map<number, Set<string>>()
  for (const text of flags.texts('drop')) {
    const match = /^(\d+):(.+)$/.exec(text)
    if (match === null) throw new UsageError(`--drop ${text} is not ROUND:SITE`, 'e.g. --drop 3:a')
    const round = Number(match[1])
    drops.set(round, (drops.get(round) ?? new Set()).add(match[2]!))
  }
  const attack = flags.text('attack')
  const masks = flags.text('masks')
  return {
    seed: flags.number('seed') ?? 0,
    clients: flags.number('clients'),
    threads: flags.number('threads'),
    skew: flags.number('skew'),
    fraction: flags.number('fraction'),
    dropouts: flags.number('dropouts'),
    stragglers: flags.number('stragglers'),
    attack: attack === undefined ? undefined : attackOf(attack),
    drops,
    masks: masks === undefined ? undefined : masks === 'on',
  }
}

function attackOf(text: string): NonNullable<SimulationSpec['attack']> {
  const [kind, share = '0.2'] = text.split(':')
  const found = ATTACKS.find((each) => each === kind)
  if (found === undefined || !(Number(share) >= 0 && Number(share) <= 1)) {
    throw new UsageError(`--attack ${text} is not KIND:SHARE`, `KIND is one of ${ATTACKS.join(', ')}`)
  }
  return { kind: found, share: Number(share) }
}
