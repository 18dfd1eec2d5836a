/** weft logs: what the peer of this home wrote down. */
import { join } from 'node:path'
import type { Command, CommandContext } from '../context.ts'
import { FileUnreadableError } from '../errors.ts'
import { followLines, lastLines } from '../log-files.ts'
import { formatLogLine, isAtLeast } from '../log-lines.ts'
import type { Level, LogLine } from '../log-lines.ts'

const LINES = 200

export const command: Command = async (context) => {
  const { flags, home, io, out, signal } = context
  const floor = (flags.text('level') as Level | undefined) ?? 'trace'
  const passes = (line: LogLine): boolean => isAtLeast(line.level, floor)
  const lines = await readable(home, lastLines(home, flags.number('lines') ?? LINES, passes))
  const follow = flags.flag('follow')
  if (out.json && !follow) {
    out.document({ schema: 'weft.logs/1', lines: lines.map(asData) })
    return
  }
  if (lines.length === 0) out.note(`nothing is logged in ${join(home, 'logs')} yet`)
  for (const line of lines) show(context, line)
  if (!follow) return
  for await (const line of followLines(home, io.clock, signal)) if (passes(line)) show(context, line)
}

function show({ out }: CommandContext, line: LogLine): void {
  if (out.structured) out.document({ schema: 'weft.log/1', ...asData(line) })
  else out.line(formatLogLine(line, out.paint))
}

function asData(line: LogLine): Readonly<Record<string, unknown>> {
  const time = line.time === null ? null : new Date(line.time).toISOString()
  return { time, level: line.level, name: line.name, message: line.message, fields: line.fields }
}

async function readable<T>(home: string, lines: Promise<T>): Promise<T> {
  try {
    return await lines
  } catch (error) {
    throw new FileUnreadableError(join(home, 'logs'), error)
  }
}
