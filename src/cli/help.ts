/** Help, laid out from the table for 80 columns. */
import { COMMANDS } from './commands-table.ts'
import { formatSpan, plural } from './format.ts'
import type { CliIo } from './io.ts'
import type { CommandSpec, Group, OptionSpec } from './option-types.ts'
import { GLOBAL_OPTIONS } from './options.ts'
import { isLongList, usage } from './parse.ts'
import { COLUMNS, pad, printable, width, wrap } from './text.ts'
import type { Paint } from './text.ts'

const GROUPS: readonly (readonly [Group, string])[] = [
  ['everyday', 'Everyday'],
  ['models', 'Models'],
  ['peers', 'Peers and keys'],
  ['cluster', 'Private clusters'],
  ['diagnose', 'Diagnose'],
  ['self', 'Weft itself'],
]

const TITLE = 'weft: one computer out of the devices that you have'

/** Bare `weft`: the dozen verbs of every day. */
export function shortHelp(paint: Paint): string[] {
  const verbs = COMMANDS.filter((spec) => spec.everyday === true)
  return [
    paint('bold', TITLE),
    '',
    ...grouped(verbs, paint),
    '',
    'weft help shows all commands, weft help VERB one of them.',
  ]
}

export function fullHelp(paint: Paint): string[] {
  const verbs = COMMANDS.filter((spec) => spec.hidden !== true)
  return [
    paint('bold', TITLE),
    '',
    'usage: weft VERB [ARGUMENTS] [OPTIONS]',
    '',
    ...grouped(verbs, paint),
    '',
    paint('bold', 'Options of every command'),
    ...optionLines(GLOBAL_OPTIONS),
    '',
    ...wrap(
      'Exit status: 0 ok, 1 unexpected, 2 usage, 3 not running, 4 not found, 5 denied, 6 no placement or resources, ' +
        '7 unreachable, 8 integrity, 9 timed out, 10 partial, 130/143 signals.',
    ),
  ]
}

/** @param word the first argument: options and examples of others are left out */
export function commandHelp(of: CommandSpec, paint: Paint, word?: string): string[] {
  const spec = narrowed(of, word)
  const lines = [...wrap(`${spec.summary[0]?.toUpperCase() ?? ''}${spec.summary.slice(1)}.`), '']
  lines.push(...wrap(`usage: ${usage(spec)}${spec.options.length > 0 ? ' [OPTIONS]' : ''}`, COLUMNS))
  for (const one of spec.arguments.filter(isLongList))
    lines.push('', ...wrap(`${one.label}: ${(one.choices ?? []).join(', ')}`))
  for (const note of spec.notes ?? []) lines.push('', ...wrap(note))
  if (spec.options.length > 0) lines.push('', paint('bold', 'Options'), ...optionLines(spec.options))
  lines.push('', paint('bold', 'Options of every command'), ...optionLines(GLOBAL_OPTIONS))
  if (spec.examples !== undefined) {
    lines.push('', paint('bold', 'Examples'), ...spec.examples.map((example) => `  ${example}`))
  }
  return lines
}

function narrowed(spec: CommandSpec, word: string | undefined): CommandSpec {
  if (word === undefined || !(spec.arguments[0]?.choices ?? []).includes(word)) return spec
  const examples = spec.examples?.filter((example) => example.startsWith(`weft ${spec.verb} ${word}`)) ?? []
  const options = spec.options.filter(({ only }) => only?.includes(word) !== false)
  return { ...spec, options, ...(examples.length > 0 ? { examples } : {}) }
}

/** The same as data, for tools that generate documentation. */
export function helpDocument(spec?: CommandSpec): unknown {
  const shown = spec === undefined ? COMMANDS.filter((entry) => entry.hidden !== true) : [spec]
  return {
    schema: 'weft.help/1',
    commands: shown.map((entry) => ({ ...entry, usage: usage(entry) })),
    options: GLOBAL_OPTIONS,
  }
}

/** One line on how things stand, without a wait that anybody notices. */
export async function stateLine(io: CliIo, home: string, paint: Paint): Promise<string> {
  const { runningStatus } = await import('./peer-access.ts')
  try {
    const status = await runningStatus(io, home)
    if (status === null) return `${paint('yellow', 'not running')}: weft up starts this peer`
    const connected = status.peers.filter((peer) => peer.state === 'connected').length
    const name = printable(status.peer.name)
    return `${paint('green', 'UP')} ${formatSpan(status.peer.uptime_s * 1000)} as ${name}, ${plural(connected, 'other peer')}, ${plural(status.stages.length, 'stage')}`
  } catch {
    return `${paint('red', 'not answering')}: weft doctor looks for the reason`
  }
}

function grouped(verbs: readonly CommandSpec[], paint: Paint): string[] {
  const column = Math.max(...verbs.map((spec) => spec.verb.length)) + 4
  return GROUPS.flatMap(([group, title]) => {
    const members = verbs.filter((spec) => spec.group === group)
    if (members.length === 0) return []
    return [paint('bold', title), ...members.flatMap((spec) => twoColumns(`  ${spec.verb}`, spec.summary, column))]
  })
}

function optionLines(options: readonly OptionSpec[]): string[] {
  const left = options.map((option) => {
    const short = option.short === undefined ? '    ' : `-${option.short}, `
    return `  ${short}--${option.name}${option.value === undefined ? '' : ` ${option.value.label}`}`
  })
  const column = Math.min(34, Math.max(...left.map(width)) + 2)
  return options.flatMap((option, index) => {
    const again = option.repeat === true ? '; may be repeated' : ''
    return twoColumns(left[index] ?? '', option.help + again, column)
  })
}

function twoColumns(left: string, right: string, column: number): string[] {
  const lines = wrap(right, COLUMNS, ' '.repeat(column))
  if (width(left) >= column) return [left, ...lines]
  return [pad(left, column) + (lines[0] ?? '').slice(column), ...lines.slice(1)]
}
