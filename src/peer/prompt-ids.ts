/** The ids of a prompt, made so that a long one keeps nobody else waiting. */
import type { Tokenizer } from '../models/index.ts'
import type { GenerateRequest } from '../pipeline/index.ts'
import type { Clock } from '../util/index.ts'

export interface PromptTurns {
  readonly clock: Pick<Clock, 'sleep'>
  /** Of a longer prompt so many ids are enough, and one more. @default all */
  readonly most?: number
  readonly signal?: AbortSignal | undefined
}

/** Long texts take several turns of the event loop: a megabyte is most of a second of work, and others wait. */
export async function promptOf(
  tokenizer: Tokenizer,
  { input }: Pick<GenerateRequest, 'input'>,
  { clock, most = Infinity, signal }: PromptTurns,
): Promise<number[]> {
  if (input.kind === 'ids') return [...input.ids]
  if (input.kind === 'text') {
    return await inTurns(tokenizer.encodePieces(input.text, { special: input.special === true, most }))
  }
  const { messages, tools = [] } = input
  return (await inTurns(tokenizer.encodeChatPieces(messages, { tools, most }))).ids

  async function inTurns<Result>(work: Generator<undefined, Result, undefined>): Promise<Result> {
    for (;;) {
      const step = work.next()
      if (step.done === true) return step.value
      await clock.sleep(0, signal)
    }
  }
}
