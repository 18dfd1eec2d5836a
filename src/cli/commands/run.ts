/** weft run MODEL [PROMPT|-]: one answer, its text on stdout as it is made. */
import type { GenerateRequest } from '../../pipeline/index.ts'
import { collectAnswer } from '../completion-document.ts'
import type { AnswerCollector } from '../completion-document.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { deadlineSignal } from '../deadline.ts'
import { ensureModel } from '../ensure-model.ts'
import { BadValueError, PeerSilentError } from '../errors.ts'
import type { PeerAccess } from '../peer-access.ts'
import { namedPlacement } from '../named-placement.ts'
import { placementOption } from '../placement-file.ts'
import { promptOf } from '../prompt.ts'
import { noteRoute } from '../route-notes.ts'
import { auditOf, formatOf, laneOf, samplingOf, speculateOf } from '../sampling-options.ts'
import { statsLines } from '../stats.ts'
import { printable } from '../text.ts'
import { textPrinter } from '../text-printer.ts'
import { namesOf } from '../views.ts'
import { waiting } from '../waiting.ts'

export const command: Command = async (context) => {
  const { flags, out } = context
  const model = adapted(flags.required(0), flags.text('adapter'))
  const [maxTokens, stop, logprobs] = [flags.number('max-tokens'), flags.texts('stop'), flags.number('logprobs')]
  if (stop.includes('')) throw new BadValueError('--stop', '', 'a text that is not empty')
  const placement = await placementOption(flags.text('placement'), flags.required(0))
  const input = await promptOf(context)
  const timeout = flags.number('timeout')
  const request: GenerateRequest = {
    model,
    input,
    sampling: samplingOf(context),
    ...(await formatOf(flags)),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(stop.length === 0 ? {} : { stop }),
    ...(logprobs === undefined ? {} : { logprobs }),
    ...(timeout === undefined ? {} : { deadline: timeout }),
    ...auditOf(flags),
    ...speculateOf(flags),
    ...laneOf(flags),
  }
  const signal = deadlineSignal(context, 'the answer')
  const access = await openFor(context, 'fallback')
  await ensureModel(context, access, model, signal)
  const answer = collectAnswer(model, logprobs !== undefined)
  const named = placement === undefined ? {} : { placement: await namedPlacement(access, placement, signal) }
  await stream(context, access, { ...request, ...named }, answer, signal)
  const document = answer.document()
  if (document === undefined) throw new PeerSilentError('with a whole answer', 'it ended early')
  if (out.structured) out.document(document)
  if (flags.flag('stats')) {
    const names = namesOf(await access.status(context.signal))
    for (const line of statsLines(document.stats, document.route, names)) out.note(line)
  }
}

/** As requests name a model with an adapter. */
function adapted(model: string, adapter: string | undefined): string {
  return adapter === undefined ? model : `${model}:${adapter}`
}

/** Text that was made before a failure is on stdout before the failure is told, and its line is ended. */
async function stream(
  context: CommandContext,
  access: PeerAccess,
  request: GenerateRequest,
  answer: AnswerCollector,
  signal: AbortSignal,
): Promise<void> {
  const { io, out } = context
  const wait = waiting(io, out, `the first token of ${printable(request.model)}`, request.deadline)
  const printer = textPrinter(context)
  try {
    for await (const event of access.generate(request, signal)) {
      answer.add(event)
      if (event.type === 'token' || event.type === 'end') wait.end()
      if (out.jsonl && event.type === 'token') out.document({ id: event.id, text: event.text })
      if (!out.structured && event.type === 'token') printer.print(event.text)
      if (!out.structured && event.type === 'end') printer.finish(event.text)
      noteRoute(out, event)
    }
  } finally {
    wait.end()
    printer.endLine()
  }
}
