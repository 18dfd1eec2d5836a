/** Turns argv into a command and its values, by the table. Pure: no I/O, no clock. */
import { COMMANDS, findCommand } from './commands-table.ts'
import { UnknownCommandError, UnknownOptionError, UsageError } from './errors.ts'
import type { ArgumentSpec, CommandSpec, OptionSpec, OptionValue, ParsedCommand } from './option-types.ts'
import { GLOBAL_OPTIONS } from './options.ts'
import { parseValue } from './values.ts'
import { nearest } from '../util/index.ts'

/** Old spellings and habits from other tools. */
const ALIASES: Readonly<Record<string, string>> = {
  list: 'ls',
  remove: 'rm',
  start: 'up',
  stop: 'down',
  pull: 'import',
  network: 'cluster',
}

/** The same for options; one of the verb that has such a name itself goes first. */
const OPTION_ALIASES: Readonly<Record<string, string>> = {
  'bind-peer': 'peer',
  file: 'out',
  mem: 'memory',
  ttl: 'expires',
}

interface Cursor {
  readonly tokens: readonly string[]
  at: number
}

export interface ParsedLine {
  /** Null stands for bare `weft`. */
  readonly command: ParsedCommand | null
  readonly help: boolean
  readonly values: ReadonlyMap<string, OptionValue>
}

/** @throws UnknownCommandError, UnknownOptionError, UsageError, BadValueError */
export function parseCommandLine(argv: readonly string[]): ParsedLine {
  const values = new Map<string, OptionValue>()
  const positional: string[] = []
  let spec: CommandSpec | undefined
  const cursor: Cursor = { tokens: argv, at: 0 }
  let onlyArguments = false
  while (cursor.at < argv.length) {
    const token = argv[cursor.at++] ?? ''
    if (token === '--' && !onlyArguments) onlyArguments = true
    else if (!onlyArguments && token.length > 1 && token.startsWith('-')) readOption(token, cursor, spec, values)
    else if (spec === undefined) spec = commandFor(token)
    else positional.push(token)
  }
  const help = values.get('help') === true
  if (spec === undefined) {
    if (values.get('version') === true) spec = commandFor('version')
    else return { command: null, help, values }
  }
  if (!help) {
    checkArguments(spec, positional)
    checkOptions(spec, positional[0], values)
  }
  return { command: { spec, positional, values }, help, values }
}

/** Whether an error must be printed as JSON, known even where parsing failed. */
export function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  const options = end === -1 ? argv : argv.slice(0, end)
  return options.includes('--json') || options.includes('--jsonl')
}

function commandFor(verb: string): CommandSpec {
  const spec = findCommand(ALIASES[verb] ?? verb)
  if (spec !== undefined) return spec
  const known = COMMANDS.filter((entry) => entry.hidden !== true).map((entry) => entry.verb)
  throw new UnknownCommandError(verb, nearest(verb, known))
}

function readOption(
  token: string,
  cursor: Cursor,
  spec: CommandSpec | undefined,
  values: Map<string, OptionValue>,
): void {
  const equals = token.startsWith('--') ? token.indexOf('=') : -1
  const name = equals === -1 ? token : token.slice(0, equals)
  const option = optionFor(name, spec)
  const inline = equals === -1 ? undefined : token.slice(equals + 1)
  if (option.value === undefined) {
    if (inline !== undefined) throw new UsageError(`--${option.name} takes no value`)
    values.set(option.name, true)
    return
  }
  const text = inline ?? nextValue(option, cursor)
  const value = parseValue(`--${option.name}`, text, option.value)
  const before = values.get(option.name)
  if (option.repeat === true) {
    values.set(option.name, [...(Array.isArray(before) ? (before as string[]) : []), value as string])
  } else {
    if (before !== undefined) throw new UsageError(`--${option.name} is given twice`)
    values.set(option.name, value)
  }
}

const VERSION_OPTION: OptionSpec = { name: 'version', help: 'print the version' }

function optionFor(name: string, spec: CommandSpec | undefined): OptionSpec {
  const options = [...(spec?.options ?? [VERSION_OPTION]), ...GLOBAL_OPTIONS]
  const called = (by: string): OptionSpec | undefined =>
    options.find((option) => by === `--${option.name}` || by === `-${option.short ?? ''}`)
  const found = called(name) ?? called(`--${OPTION_ALIASES[name.slice(2)] ?? ''}`)
  if (found !== undefined) return found
  // Options of a verb may not come before it: nobody knows yet what they take.
  throw new UnknownOptionError(
    name,
    spec?.verb,
    nearest(
      name.replace(/^-+/, ''),
      options.map((option) => option.name),
    ),
  )
}

function nextValue(option: OptionSpec, cursor: Cursor): string {
  const text = cursor.tokens[cursor.at]
  // A value may start with one dash (a negative number, a list item); two dashes are the next option.
  if (text === undefined || (text.startsWith('--') && option.value?.kind !== 'text') || isKnownSwitch(text)) {
    throw new UsageError(`--${option.name} needs a value: --${option.name} ${option.value?.label ?? 'VALUE'}`)
  }
  cursor.at++
  return text
}

function isKnownSwitch(text: string): boolean {
  return GLOBAL_OPTIONS.some((option) => text === `--${option.name}`)
}

function checkArguments(spec: CommandSpec, positional: readonly string[]): void {
  const rest = spec.arguments.at(-1)?.rest === true
  if (!rest && positional.length > spec.arguments.length) {
    const extra = positional[spec.arguments.length] ?? ''
    throw new UsageError(
      `weft ${spec.verb} does not know what to do with "${extra}"`,
      `usage: ${usage(spec)} (quote what has blanks in it)`,
      { extra },
    )
  }
  for (const [index, argument] of spec.arguments.entries()) {
    const value = positional[index]
    if (value === undefined) {
      if (argument.required === true)
        throw new UsageError(`weft ${spec.verb} needs ${argument.label}`, `usage: ${usage(spec)}`)
    } else if (argument.choices !== undefined) {
      parseValue(argument.label, value, { label: argument.label, kind: 'text', choices: argument.choices })
    }
  }
}

/** An option that does nothing here was meant to do something. @throws UsageError */
function checkOptions(spec: CommandSpec, word: string | undefined, values: ReadonlyMap<string, OptionValue>): void {
  for (const { name, only } of spec.options) {
    if (only === undefined || !values.has(name) || (word !== undefined && only.includes(word))) continue
    const of = `weft ${spec.verb} ${only.join(', ')}`
    throw new UsageError(
      `--${name} is an option of ${of}, and not of ${word ?? 'this'}`,
      `weft ${spec.verb} ${word ?? ''} --help`,
    )
  }
}

const LONGEST_CHOICES = 60

export function usage(spec: CommandSpec): string {
  return ['weft', spec.verb, ...spec.arguments.map(argumentLabel)].join(' ')
}

/** Too many to stand in a usage line: they are named below it. */
export function isLongList({ choices = [] }: ArgumentSpec): boolean {
  return choices.join('|').length > LONGEST_CHOICES
}

function argumentLabel(argument: ArgumentSpec): string {
  const label = argument.choices === undefined || isLongList(argument) ? argument.label : argument.choices.join('|')
  const shown = argument.rest === true ? `${label}…` : label
  return argument.required === true ? shown : `[${shown}]`
}
