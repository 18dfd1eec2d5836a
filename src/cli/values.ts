/** Reads what people type as values: durations, sizes, numbers, lists. */
import { BadValueError } from './errors.ts'
import type { OptionValue, ValueSpec } from './option-types.ts'
import { foldSeed, nearest } from '../util/index.ts'

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const SIZE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

/** Ids of tokens and blocks on one command line; the kernel bounds the line itself at about 2 MB. */
const LIST_MAX = 1_000_000

/** Milliseconds, or undefined. A bare number is seconds. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text)
  if (match === null) return undefined
  return Math.round(Number(match[1]) * (DURATION_UNITS[match[2] ?? 's'] ?? 1))
}

/** Bytes, or undefined. GB is 10^9, GiB 2^30; a bare number is bytes. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgt]?i?b)?$/i.exec(text)
  if (match === null) return undefined
  const unit = SIZE_UNITS[(match[2] ?? 'b').toLowerCase()]
  const bytes = unit === undefined ? Number.NaN : Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

export function parseList(text: string): number[] | undefined {
  const parts = text.split(/[,\s]+/).filter((part) => part !== '')
  if (parts.length === 0 || parts.length > LIST_MAX || !parts.every((part) => /^\d{1,15}$/.test(part))) return undefined
  return parts.map(Number)
}

interface NumberReader {
  readonly expected: string
  readonly read: (text: string) => number | undefined
}

const NUMBERS: Readonly<Record<'whole' | 'number' | 'seed' | 'duration' | 'size' | 'rate', NumberReader>> = {
  whole: { expected: 'a whole number', read: (text) => (/^[+-]?\d{1,16}$/.test(text) ? Number(text) : undefined) },
  number: {
    expected: 'a number',
    read: (text) => (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined),
  },
  seed: {
    expected: 'a whole number of 64 bits',
    read: (text) => (/^[+-]?\d{1,20}$/.test(text) ? foldSeed(Number(text)) : undefined),
  },
  duration: { expected: 'a time such as 30s, 5m or 1h', read: parseDuration },
  size: { expected: 'a size such as 2GB or 512MiB', read: parseSize },
  rate: { expected: 'a rate such as 10MB/s', read: (text) => parseSize(text.replace(/\/s$/i, '')) },
}

/** @throws BadValueError naming the option, what it takes and what it was given. */
export function parseValue(option: string, text: string, spec: ValueSpec): OptionValue {
  if (spec.choices !== undefined) return choose(option, text, spec.choices)
  if (spec.kind === 'text') return text
  if (spec.kind === 'file') {
    if (text === '') throw new BadValueError(option, text, 'a path')
    return text
  }
  if (spec.kind === 'list') {
    const list = parseList(text)
    if (list === undefined) throw new BadValueError(option, text, 'numbers separated by commas')
    return list
  }
  const { expected, read } = NUMBERS[spec.kind]
  return bounded(option, text, read(text), spec, expected)
}

function choose(option: string, text: string, choices: readonly string[]): string {
  if (choices.includes(text)) return text
  const near = nearest(text, choices)
  const hint = near === undefined ? undefined : `did you mean ${near}?`
  throw new BadValueError(option, text, `one of ${choices.join(', ')}`, hint)
}

function bounded(option: string, text: string, value: number | undefined, spec: ValueSpec, expected: string): number {
  if (value === undefined || !Number.isFinite(value)) throw new BadValueError(option, text, expected)
  const low = spec.min !== undefined && value < spec.min
  const high = spec.max !== undefined && value > spec.max
  if (low || high) throw new BadValueError(option, text, `${expected}, ${range(spec, low)}`)
  return value
}

function range(spec: ValueSpec, low: boolean): string {
  const bound = (low ? spec.min : spec.max) ?? 0
  const units = { duration: ' ms', size: ' bytes', rate: ' bytes a second' } as const
  const shown = `${bound}${spec.kind in units ? units[spec.kind as keyof typeof units] : ''}`
  return `${low ? 'at least' : 'at most'} ${shown}`
}
