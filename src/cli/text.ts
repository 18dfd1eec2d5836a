/** Text for terminals: colours, widths, safe printing of what strangers sent. */
import type { OutputStream } from './io.ts'
import type { Environment } from '../util/index.ts'

/** Help and notes are laid out for this many columns, whatever the window. */
export const COLUMNS = 80

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

const CODES: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
}

export type Paint = (style: Style, text: string) => string

/** https://no-color.org: any value switches off; FORCE_COLOR goes before it, and 0 in it means no. */
export function painter(stream: OutputStream, env: Environment, noColor: boolean): Paint {
  const forced = env['FORCE_COLOR']
  const on = noColor
    ? false
    : forced !== undefined && forced !== ''
      ? forced !== '0' && forced !== 'false'
      : stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  if (!on) return (_style, text) => text
  return (style, text) => `\u001B[${CODES[style][0]}m${text}\u001B[${CODES[style][1]}m`
}

/**
 * Names, reasons and model text come from others: a control character in them could move the cursor, retitle the
 * window or forge a line. Line feeds and tabs stay where `lines` allows them.
 */
export function printable(text: string, lines = false): string {
  return lines ? text.replace(CONTROL_IN_LINES, '') : text.replace(CONTROL, '\u00B7')
}

// Bidirectional overrides are among them: they show a text in another order than it has (Trojan Source).
// oxlint-disable-next-line no-control-regex -- control characters are what it finds
const CONTROL = /[\u0000-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/g
// oxlint-disable-next-line no-control-regex -- the same, but for tab and line feed
const CONTROL_IN_LINES = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/g

// oxlint-disable-next-line no-control-regex -- colours are control sequences
const SEQUENCE = /\u001B\[[0-9;]*m/g
/** East Asian wide and emoji ranges take two columns (Unicode Standard Annex 11, abridged). */
const WIDE =
  /[\u1100-\u115F\u2E80-\u303E\u3041-\u33FF\u3400-\u4DBF\u4E00-\u9FFF\uA000-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1FAFF}\u{20000}-\u{3FFFD}]/u
const MARK = /\p{M}|\u200D|\uFE0F/u

/** Columns that a text takes in a terminal. */
export function width(text: string): number {
  let columns = 0
  for (const character of text.replace(SEQUENCE, '')) columns += MARK.test(character) ? 0 : WIDE.test(character) ? 2 : 1
  return columns
}

export function pad(text: string, columns: number, right = false): string {
  const blanks = ' '.repeat(Math.max(0, columns - width(text)))
  return right ? blanks + text : text + blanks
}

/** Breaks at blanks so that no line is longer than `columns`; a longer word stays whole. */
export function wrap(text: string, columns: number = COLUMNS, indent = ''): string[] {
  const lines: string[] = []
  let line = indent
  for (const word of text.split(' ')) {
    const glue = line === indent ? '' : ' '
    if (line !== indent && width(line) + width(glue) + width(word) > columns) {
      lines.push(line)
      line = indent + word
    } else line += glue + word
  }
  return [...lines, line]
}

export interface Column {
  readonly head: string
  readonly right?: boolean
}

/** No borders, two blanks between columns, upper-case heads. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map((column, index) =>
    Math.max(width(column.head), ...rows.map((row) => width(row[index] ?? ''))),
  )
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, index) => pad(cells[index] ?? '', widths[index] ?? 0, column.right))
      .join('  ')
      .trimEnd()
  return [line(columns.map((column) => column.head)), ...rows.map(line)]
}
