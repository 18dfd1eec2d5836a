/** weft chat MODEL: a conversation. Ctrl-C stops an answer; at the prompt it leaves. */
import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import { toWeftError } from '../../errors.ts'
import type { ChatMessage, GenerateRequest } from '../../pipeline/index.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { ensureModel } from '../ensure-model.ts'
import { InterruptedError } from '../errors.ts'
import type { PeerAccess } from '../peer-access.ts'
import { namedPlacement } from '../named-placement.ts'
import { placementOption } from '../placement-file.ts'
import { noteRoute } from '../route-notes.ts'
import { auditOf, formatOf, samplingOf, speculateOf } from '../sampling-options.ts'
import { statsLines } from '../stats.ts'
import { textPrinter } from '../text-printer.ts'
import { namesOf } from '../views.ts'
import { waiting } from '../waiting.ts'

export const command: Command = async (context) => {
  const { flags, io, out } = context
  const model = flags.required(0)
  const given = await placementOption(flags.text('placement'), model)
  const format = await formatOf(flags)
  const access = await openFor(context, 'fallback')
  await ensureModel(context, access, model, context.signal)
  const placement = await namedPlacement(access, given, context.signal)
  const terminal = io.stdin.isTTY === true && io.stdout.isTTY === true
  const lines = createInterface({ input: io.stdin, output: terminal ? io.stdout : undefined, terminal, prompt: '>>> ' })
  context.defer(() => lines.close())
  const turns = interruptible(context, lines)
  const system = flags.text('system')
  const messages: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }]
  const opening = messages.length
  if (terminal) {
    out.note(`talking with ${model}: /exit leaves, /clear starts afresh, Ctrl-C stops an answer`)
    lines.prompt()
  }
  for await (const line of lines) {
    const text = line.trim()
    if (text === '/exit' || text === '/bye') break
    if (text === '/clear') messages.length = opening
    else if (text !== '') {
      messages.push({ role: 'user', content: text })
      const maxTokens = flags.number('max-tokens')
      const request: GenerateRequest = {
        model,
        input: { kind: 'chat', messages: [...messages] },
        sampling: samplingOf(context),
        ...format,
        ...(maxTokens === undefined ? {} : { maxTokens }),
        ...(placement === undefined ? {} : { placement }),
        ...auditOf(flags),
        ...speculateOf(flags),
      }
      messages.push({ role: 'assistant', content: await turn(context, access, request, turns.next()) })
    }
    if (turns.left()) break
    if (terminal) lines.prompt()
  }
  if (terminal) out.line()
  return turns.left() ? 130 : undefined
}

interface Turns {
  /** Aborted by a Ctrl-C while the answer is made. */
  next(): AbortSignal
  left(): boolean
}

/** The first Ctrl-C in an answer stops it; one at the prompt, or a second one in the same answer, leaves. */
function interruptible(context: CommandContext, lines: Interface): Turns {
  let answer: AbortController | undefined
  let left = false
  const press = (): void => {
    if (answer !== undefined && !answer.signal.aborted) {
      answer.abort(new InterruptedError('SIGINT'))
      return
    }
    left = true
    lines.close()
  }
  // In raw mode the terminal hands Ctrl-C to readline and sends no signal.
  lines.on('SIGINT', press)
  context.takeSignals((name) => {
    if (name === 'SIGINT') press()
    else context.io.abort(name === 'SIGTERM' ? 143 : 129)
  })
  return {
    next() {
      answer = new AbortController()
      return answer.signal
    },
    left: () => left,
  }
}

/** One answer; a failed or stopped one is told, and the conversation goes on. */
async function turn(
  context: CommandContext,
  access: PeerAccess,
  request: GenerateRequest,
  signal: AbortSignal,
): Promise<string> {
  const { flags, io, out } = context
  const printer = textPrinter(context)
  const wait = waiting(io, out, 'the first token')
  let text = ''
  try {
    for await (const event of access.generate(request, signal)) {
      if (event.type === 'token' || event.type === 'end') wait.end()
      noteRoute(out, event)
      if (event.type === 'token') {
        text += event.text
        if (!out.structured) printer.print(event.text)
      } else if (event.type === 'end') {
        text = event.text
        if (out.structured) out.document({ schema: 'weft.turn/1', text, ids: event.ids, finish: event.finish })
        else printer.finish(text)
        if (flags.flag('stats')) {
          const names = namesOf(await access.status())
          for (const line of statsLines(event.stats, [], names)) out.note(line)
        }
      }
    }
  } catch (error) {
    printer.endLine()
    if (signal.aborted) out.note('(stopped)')
    else out.error(toWeftError(error))
  } finally {
    wait.end()
  }
  return text
}
