/** Lines of a log as data and as text. Most are pino's JSON; what a child process prints is plain. */
import { printable } from './text.ts'
import type { Paint, Style } from './text.ts'

export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

export type Level = (typeof LEVELS)[number]

export interface LogLine {
  readonly raw: string
  /** Milliseconds since 1970; null for plain lines. */
  readonly time: number | null
  readonly level: Level
  readonly name: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export function parseLogLine(raw: string): LogLine {
  const plain: LogLine = { raw, time: null, level: 'info', name: '', message: raw, fields: {} }
  if (!raw.startsWith('{')) return plain
  try {
    const { time, level, name, msg, pid: _pid, hostname: _host, ...fields } = JSON.parse(raw) as Record<string, unknown>
    return {
      raw,
      time: typeof time === 'number' ? time : typeof time === 'string' ? Date.parse(time) : null,
      level: levelOf(level),
      name: typeof name === 'string' ? name : '',
      message: typeof msg === 'string' ? msg : '',
      fields,
    }
  } catch {
    return plain
  }
}

/** pino writes its numbers (10 is trace, 60 fatal) or, as weft sets it, the names. */
function levelOf(level: unknown): Level {
  if (typeof level === 'number') return LEVELS[Math.min(5, Math.max(0, Math.floor(level / 10) - 1))] ?? 'info'
  return LEVELS.find((name) => name === level) ?? 'info'
}

export function isAtLeast(level: Level, floor: Level): boolean {
  return LEVELS.indexOf(level) >= LEVELS.indexOf(floor)
}

const STYLES: Readonly<Record<Level, Style>> = {
  trace: 'dim',
  debug: 'dim',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
}

export function formatLogLine(line: LogLine, paint: Paint): string {
  if (line.time === null) return printable(line.raw)
  const time = new Date(line.time).toISOString().slice(11, 23)
  const fields = Object.entries(line.fields).map(([name, value]) => `${name}=${fieldText(value)}`)
  const name = line.name === '' ? '' : `${line.name}: `
  const text = printable([name + line.message, ...fields].join(' '))
  return `${paint('dim', time)} ${paint(STYLES[line.level], line.level.toUpperCase().padEnd(5))} ${text}`
}

function fieldText(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
  return JSON.stringify(value) ?? 'undefined'
}
