/** Where a command prints: data on stdout, everything else on stderr, in the form that was asked for. */
import { errorData } from '../errors.ts'
import type { WeftError } from '../errors.ts'
import type { CliIo } from './io.ts'
import { COLUMNS, painter, printable, wrap } from './text.ts'
import type { Paint } from './text.ts'

export interface OutputInit {
  readonly json: boolean
  readonly jsonl: boolean
  readonly quiet: boolean
  readonly verbose: boolean
  readonly noColor: boolean
}

export interface Output extends OutputInit {
  /** `--json` or `--jsonl`: stdout is for programs. */
  readonly structured: boolean
  readonly paint: Paint
  readonly paintNote: Paint
  /** Text as it is, without a line end. */
  write(text: string): void
  line(text?: string): void
  lines(texts: readonly string[]): void
  /** One JSON document on a line of its own. */
  document(value: unknown): void
  /** One line on stderr, unless `--quiet`. */
  note(text: string): void
  error(error: WeftError): void
}

export function createOutput(io: CliIo, init: OutputInit): Output {
  const line = (text = ''): void => void io.stdout.write(`${text}\n`)
  const paintNote = painter(io.stderr, io.env, init.noColor)
  return {
    ...init,
    structured: init.json || init.jsonl,
    paint: painter(io.stdout, io.env, init.noColor),
    paintNote,
    write: (text) => void io.stdout.write(text),
    line,
    lines: (texts) => {
      if (texts.length > 0) line(texts.join('\n'))
    },
    document: (value) => line(JSON.stringify(value)),
    note: (text) => {
      if (!init.quiet) io.stderr.write(`${text}\n`)
    },
    error: (error) => {
      if (init.json || init.jsonl) line(JSON.stringify({ schema: 'weft.error/1', error: errorData(error) }))
      else io.stderr.write(`${errorLines(error, paintNote).join('\n')}\n`)
      if (init.verbose && error.stack !== undefined) io.stderr.write(`${traceOf(error)}\n`)
    },
  }
}

/** One to four lines: what happened with its code, the evidence, the next step. */
export function errorLines(error: WeftError, paint: Paint): string[] {
  const message = printable(error.message)
  const code = error.code.padStart(Math.max(error.code.length + 2, COLUMNS - 'error: '.length - message.length))
  const lines = [`${paint('red', 'error:')} ${message}${paint('dim', code)}`]
  // Some say it in their first line already.
  if (error.why !== undefined && error.why !== '' && !error.message.includes(error.why))
    lines.push(`  why: ${printable(error.why)}`)
  if (error.hint !== '') lines.push(...wrap(`try: ${printable(error.hint)}`, COLUMNS * 2, '  ').slice(0, 2))
  return lines
}

function traceOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${traceOf(error.cause)}` : ''
  return `${error.stack ?? error.message}${cause}`
}
