/** weft eval DIR|MODEL [--data FILE…]: metrics of a trained model. */
import type { Evaluation } from '../../training/index.ts'
import type { Command } from '../context.ts'
import { UsageError } from '../errors.ts'
import { plural } from '../format.ts'
import { loadFunction } from '../rooms.ts'

export const command: Command = async ({ flags, io, out, signal }) => {
  const data = flags.texts('data')
  if (data.length > 0 && flags.text('part') !== undefined) {
    throw new UsageError('--data and --part exclude each other', 'all rows of other files are evaluated')
  }
  const [evalModel, createOrtEngine] = [
    await loadFunction('training', 'evalModel'),
    await loadFunction('onnx', 'createOrtEngine'),
  ]
  const request = {
    model: flags.required(0),
    plan: flags.text('plan'),
    data: data.length === 0 ? undefined : data,
    part: flags.text('part'),
    threads: flags.number('threads'),
  }
  const evaluation = (await evalModel({ clock: io.clock, engine: createOrtEngine() }, request, signal)) as Evaluation
  if (out.structured) {
    out.document(evaluation)
    return
  }
  out.note(
    `${plural(evaluation.examples, 'example')}${evaluation.part === null ? '' : ` of the part ${evaluation.part}`}`,
  )
  out.lines(Object.entries(evaluation.metrics).map(([name, value]) => `${name} ${value.toFixed(4)}`))
}
