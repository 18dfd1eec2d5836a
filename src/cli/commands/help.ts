/** weft help [VERB], weft help errors [CODE] */
import type { Command, CommandContext } from '../context.ts'
import { findCommand, COMMANDS } from '../commands-table.ts'
import { allErrorInfos, findErrorInfo } from '../error-tables.ts'
import { NotHereError, UnknownCommandError } from '../errors.ts'
import { commandHelp, fullHelp, helpDocument } from '../help.ts'
import { table, wrap } from '../text.ts'
import { nearest } from '../../util/index.ts'

export const command: Command = async (context) => {
  const { flags, out } = context
  const topic = flags.argument(0)
  if (topic === 'errors' || topic === 'error') return explainErrors(context, flags.argument(1))
  if (topic !== undefined && /^WEFT-/i.test(topic)) return explainErrors(context, topic)
  if (topic === undefined) {
    if (out.structured) out.document(helpDocument())
    else out.lines(fullHelp(out.paint))
    return
  }
  const spec = findCommand(topic)
  if (spec === undefined)
    throw new UnknownCommandError(
      topic,
      nearest(
        topic,
        COMMANDS.map((entry) => entry.verb),
      ),
    )
  if (out.structured) out.document(helpDocument(spec))
  else out.lines(commandHelp(spec, out.paint))
}

async function explainErrors({ out }: CommandContext, wanted: string | undefined): Promise<void> {
  if (wanted === undefined) {
    const infos = await allErrorInfos()
    if (out.structured) out.document({ schema: 'weft.errors/1', errors: infos })
    else
      out.lines(
        table(
          [{ head: 'CODE' }, { head: 'EXIT', right: true }, { head: 'TITLE' }],
          infos.map((info) => [info.code, String(info.exit), info.title]),
        ),
      )
    return
  }
  const code = wanted.toUpperCase()
  const info = await findErrorInfo(code)
  if (info === undefined) throw new NotHereError('error code', code, 'weft help errors lists all codes')
  if (out.structured) {
    out.document({ schema: 'weft.errors/1', errors: [info] })
    return
  }
  out.lines([
    `${out.paint('bold', info.code)}  ${info.title}`,
    '',
    'Meaning',
    ...wrap(info.meaning, 80, '  '),
    'What to do',
    ...wrap(info.remedy, 80, '  '),
    '',
    `Exit status ${info.exit}, HTTP status ${info.http}${info.retryable === true ? '; the same request may succeed elsewhere or later' : ''}.`,
  ])
}
