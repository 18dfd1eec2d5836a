/** weft trace [REQUEST]: where the time of an answer of the running peer went. */
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { BadValueError } from '../errors.ts'
import { plural } from '../format.ts'
import { traceLines, tracesTable } from '../trace-view.ts'
import { namesOf } from '../views.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const access = await openFor(context, 'never')
  if (flags.flag('list')) {
    const traces = await access.traces(signal)
    if (out.structured) out.document({ schema: 'weft.traces/1', traces })
    else if (traces.length === 0) out.note('no answer has been traced yet: weft run MODEL PROMPT')
    else out.lines(tracesTable(traces))
    return
  }
  const trace = await access.trace(flags.argument(0), signal)
  const step = flags.number('step')
  if (step !== undefined && step >= trace.steps.length)
    throw new BadValueError('--step', String(step), `one of the ${plural(trace.steps.length, 'step')}, from 0`)
  if (out.structured) out.document(step === undefined ? trace : { ...trace, steps: [trace.steps[step]] })
  else out.lines(traceLines(trace, namesOf(await access.status(signal)), step))
}
