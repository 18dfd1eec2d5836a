/** weft eval DIR|MODEL [--data FILE…]: metrics of a trained model. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { EvalRequest, Evaluation, ReadPlan } from '../../training/index.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { ensureModel } from '../ensure-model.ts'
import { UsageError } from '../errors.ts'
import { plural } from '../format.ts'
import { loadFunction } from '../rooms.ts'

export const command: Command = async (context) => {
  const { flags, out } = context
  const data = flags.texts('data')
  if (data.length > 0 && flags.text('part') !== undefined) {
    throw new UsageError('--data and --part exclude each other', 'all rows of other files are evaluated')
  }
  const request: EvalRequest = {
    model: flags.required(0),
    plan: flags.text('plan'),
    data: data.length === 0 ? undefined : data,
    part: flags.text('part') as EvalRequest['part'],
    threads: flags.number('threads'),
  }
  const isAdapter = existsSync(join(request.model, 'adapter_config.json'))
  const evaluation = await (isAdapter ? ofAdapter(context, request) : ofModel(context, request))
  if (out.structured) {
    out.document(evaluation)
    return
  }
  out.note(
    `${plural(evaluation.examples, 'example')}${evaluation.part === null ? '' : ` of the part ${evaluation.part}`}`,
  )
  out.lines(Object.entries(evaluation.metrics).map(([name, value]) => `${name} ${value.toFixed(4)}`))
}

async function ofModel({ io, signal }: CommandContext, request: EvalRequest): Promise<Evaluation> {
  const [evalModel, createOrtEngine] = [
    await loadFunction('training', 'evalModel'),
    await loadFunction('onnx', 'createOrtEngine'),
  ]
  return (await evalModel({ clock: io.clock, engine: createOrtEngine() }, request, signal)) as Evaluation
}

/** Beside its base model: of this home, or fetched first where the catalogue knows it. */
async function ofAdapter(context: CommandContext, request: EvalRequest): Promise<Evaluation> {
  const { home, signal } = context
  const path = request.plan ?? join(resolve(request.model), 'plan.json')
  const { plan } = (await (await loadFunction('training', 'readPlan'))(path)) as ReadPlan
  if (plan.model.kind === 'base') {
    await ensureModel(context, await openFor(context, 'fallback'), plan.model.name, signal)
  }
  return (await (
    await loadFunction('peer', 'evalAdapterHere')
  )(home, request, signal)) as Evaluation
}
