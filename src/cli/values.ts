/** Reads what people type as values: durations, sizes, numbers, lists. */
import { BadValueError } from './errors.ts'
import type { OptionValue, ValueSpec } from './option-types.ts'
import { nearest } from './suggest.ts'

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

/** @throws BadValueError naming the option, what it takes and what it was given. */
export function parseValue(option: string, text: string, spec: ValueSpec): OptionValue {
  if (spec.choices !== undefined) return choose(option, text, spec.choices)
  switch (spec.kind) {
    case 'text':
      return text
    case 'file':
      if (text === '') throw new BadValueError(option, text, 'a path')
      return text
    case 'whole':
      return bounded(option, text, /^[+-]?\d{1,16}$/.test(text) ? Number(text) : undefined, spec, 'a whole number')
    case 'number':
      return bounded(
        option,
        text,
        /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined,
        spec,
        'a number',
      )
    case 'duration':
      return bounded(option, text, parseDuration(text), spec, 'a time such as 30s, 5m or 1h')
    case 'size':
      return bounded(option, text, parseSize(text), spec, 'a size such as 2GB or 512MiB')
    case 'list': {
      const list = parseList(text)
      if (list === undefined) throw new BadValueError(option, text, 'numbers separated by commas')
      return list
    }
  }
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
  const shown = spec.kind === 'duration' ? `${bound} ms` : spec.kind === 'size' ? `${bound} bytes` : String(bound)
  return `${low ? 'at least' : 'at most'} ${shown}`
}
