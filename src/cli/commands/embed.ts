/** weft embed MODEL [TEXT…|-]: a vector for each text, one JSON line each. */
import type { Embeddings } from '../../peer/index.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { deadlineSignal } from '../deadline.ts'
import { ensureModel } from '../ensure-model.ts'
import { PromptError } from '../errors.ts'
import { formatMs, plural, shortId } from '../format.ts'
import { readInput } from '../prompt.ts'

/** Texts that are asked for at once, so that the first lines come soon. */
const AT_ONCE = 256

export const command: Command = async (context) => {
  const { flags, out } = context
  const model = flags.required(0)
  const texts = await textsOf(context)
  const dimensions = flags.number('dimensions')
  const signal = deadlineSignal(context, 'the vectors')
  const access = await openFor(context, 'fallback')
  await ensureModel(context, access, model, signal)
  const options = dimensions === undefined ? {} : { dimensions }
  const all: Embeddings[] = []
  for (let at = 0; at < texts.length; at += AT_ONCE) {
    const made = await access.embed(model, texts.slice(at, at + AT_ONCE), options, signal)
    all.push(made)
    if (out.json) continue
    for (const [index, vector] of made.vectors.entries()) {
      out.document({ index: at + index, embedding: Array.from(vector) })
    }
  }
  const tokens = all.reduce((sum, made) => sum + made.tokens, 0)
  const last = all.at(-1)!
  if (out.json) {
    const vectors = all.flatMap((made) => made.vectors.map((vector) => Array.from(vector)))
    out.document({ schema: 'weft.embeddings/1', model, vectors, tokens, route: last.route, stats: last.stats })
  }
  if (flags.flag('stats')) {
    const where = last.route.map(({ peer, pid, from, to }) => `${shortId(peer)} process ${pid}[${from}:${to}]`)
    const took = all.reduce((sum, { stats }) => sum + stats.load_ms + stats.run_ms, 0)
    out.note(`${plural(texts.length, 'text')}, ${plural(tokens, 'token')} in ${formatMs(took)}; ${where.join(' -> ')}`)
  }
}

/** Arguments, each a text; or standard input, each line one. @throws PromptError */
async function textsOf(context: CommandContext): Promise<readonly string[]> {
  const { flags, io } = context
  const given = flags.rest(1)
  if (given.length > 0 && !(given.length === 1 && given[0] === '-')) return given
  if (given.length === 0 && io.stdin.isTTY === true) {
    throw new PromptError(
      'there is no text',
      `weft embed ${flags.required(0)} "your text", or - for lines of standard input`,
    )
  }
  const lines = (await readInput(context)).split(/\r?\n/)
  if (lines.every((line) => line === '')) throw new PromptError('no text came on standard input')
  return lines
}
