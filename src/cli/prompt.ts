/** Where the prompt of `weft run` comes from: an argument, standard input, or ids. */
import type { PromptInput } from '../pipeline/index.ts'
import type { CommandContext } from './context.ts'
import { PromptError, UsageError } from './errors.ts'
import { waiting } from './waiting.ts'

/** Far beyond the context of any model here; a mistaken file must not fill the memory. */
const INPUT_MAX = 16 * 2 ** 20

/** @throws UsageError, PromptError */
export async function promptOf(context: CommandContext): Promise<PromptInput> {
  const { flags } = context
  const [ids, system] = [flags.numbers('ids'), flags.text('system')]
  const raw = flags.flag('raw') || flags.flag('special')
  if (ids !== undefined) {
    if (flags.argument(1) !== undefined) throw new UsageError('--ids stands in place of a prompt, and one is given')
    if (system !== undefined) throw new UsageError('--system needs the chat template, which --ids leaves out')
    return { kind: 'ids', ids }
  }
  if (raw && system !== undefined) throw new UsageError('--system needs the chat template, which --raw leaves out')
  const text = await textOf(context)
  if (raw) return { kind: 'text', text, special: flags.flag('special') }
  const user = { role: 'user', content: text }
  return { kind: 'chat', messages: system === undefined ? [user] : [{ role: 'system', content: system }, user] }
}

async function textOf(context: CommandContext): Promise<string> {
  const { flags, io } = context
  const argument = flags.argument(1)
  if (argument !== undefined && argument !== '-') {
    if (argument === '') throw new PromptError('the prompt is empty')
    return argument
  }
  if (argument === undefined && io.stdin.isTTY === true) {
    const model = flags.required(0)
    throw new PromptError('there is no prompt', `weft run ${model} "your text", or weft chat ${model} to talk`)
  }
  const text = await readInput(context)
  if (text === '') throw new PromptError('the prompt is empty: nothing came on standard input')
  return text
}

/** One line end at the end belongs to `echo` or to the editor, not to the prompt. */
export async function readInput({ io, out, signal }: CommandContext): Promise<string> {
  const wait = waiting(io, out, 'the prompt on standard input')
  const parts: Buffer[] = []
  let size = 0
  const stop = (): void => void io.stdin.destroy(signal.reason as Error)
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const part of io.stdin as AsyncIterable<Buffer | string>) {
      const bytes = Buffer.from(part)
      size += bytes.length
      if (size > INPUT_MAX) throw new PromptError(`the prompt is larger than ${INPUT_MAX} bytes`)
      parts.push(bytes)
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts)).replace(/\r?\n$/, '')
  } catch (error) {
    if (error instanceof TypeError) throw new PromptError('the prompt is not UTF-8')
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
    wait.end()
  }
}
