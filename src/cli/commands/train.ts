/** weft train PLAN: a plan in, a folder with a model out. */
import { basename, resolve } from 'node:path'
import type { TrainOutcome, TrainResult } from '../../training/index.ts'
import type { Command } from '../context.ts'
import { plural } from '../format.ts'
import { createProgress } from '../progress.ts'
import { loadFunction } from '../rooms.ts'
import { printable, table } from '../text.ts'

export const command: Command = async (context) => {
  const { flags, io, out, signal } = context
  const plan = flags.required(0)
  const folder = resolve(flags.text('out') ?? basename(plan).replace(/\.json$/, ''))
  const [trainPlan, createOrtEngine] = [
    await loadFunction('training', 'trainPlan'),
    await loadFunction('onnx', 'createOrtEngine'),
  ]
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const request = {
    plan,
    out: folder,
    resume: flags.flag('resume'),
    seed: flags.number('seed'),
    threads: flags.number('threads'),
  }
  const needs = { clock: io.clock, engine: createOrtEngine() }
  const { result, resumed } = (await trainPlan(needs, request, progress.sink, signal)) as TrainOutcome
  progress.end()
  if (resumed !== null) out.note(`went on from step ${resumed}`)
  if (out.structured) {
    out.document({ ...result, folder })
    return
  }
  out.lines(linesOf(result))
  out.note(`${printable(folder)} holds ${result.files.map((file) => printable(file)).join(', ')}`)
}

function linesOf(result: TrainResult): string[] {
  const { metrics, examples, parameters, epochs, steps, stopped, best_epoch: best } = result
  const names = Object.keys(metrics.train)
  const parts = (['train', 'validation', 'test'] as const).filter((part) => metrics[part] !== undefined)
  const rows = parts.map((part) => [
    part,
    String(examples[part]),
    ...names.map((name) => shownNumber(metrics[part]?.[name as keyof TrainResult['metrics']['train']])),
  ])
  const end = stopped ? `, stopped early, epoch ${best} kept` : ''
  return [
    `${plural(parameters, 'parameter')}, ${plural(epochs, 'epoch')}, ${plural(steps, 'step')}${end}`,
    ...table([{ head: 'PART' }, { head: 'EXAMPLES' }, ...names.map((name) => ({ head: name.toUpperCase() }))], rows),
  ]
}

function shownNumber(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(4)
}
