/** Structured logs with pino: one JSON object a line, prompts and keys redacted, control characters made visible. */
import { pino } from 'pino'
import type { Bindings, ChildLoggerOptions, DestinationStream, LevelWithSilent, Logger as PinoLogger } from 'pino'
import { cleanText, REDACTED, sanitize } from './redact.ts'
import type { LogDestination } from './rotating-file.ts'

export type Logger = PinoLogger
export type LogLevel = LevelWithSilent

export interface LoggerInit {
  readonly name: string
  /** @default 'info' */
  readonly level?: LogLevel
  /** @default stderr: stdout carries data only. */
  readonly destination?: LogDestination
}

/**
 * pino's own redaction, for what a serializer or a plug-in adds after our formatter. The formatter covers every depth;
 * these paths cover the two outer ones.
 */
const PATHS = ['prompt', 'messages', 'content', 'input', 'authorization', 'cookie', 'key', 'token', 'secret']

export function createLogger(init: LoggerInit): Logger {
  const destination: DestinationStream = init.destination ?? { write: (line) => void process.stderr.write(line) }
  const logger = pino(
    {
      name: init.name,
      level: init.level ?? 'info',
      // Process id and name; the host's name is nobody's business in a bug report.
      base: { pid: process.pid },
      serializers: { err: (error: unknown) => sanitize(error) },
      redact: { paths: PATHS.flatMap((path) => [path, `*.${path}`]), censor: censorText },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => sanitize(fields) as Record<string, unknown>,
        bindings: (fields) => sanitize(fields) as Record<string, unknown>,
      },
      hooks: {
        logMethod(fields, method) {
          Reflect.apply(method, this, withMessage(fields).map(cleanArgument))
        },
      },
    },
    destination,
  )
  return guardChildren(logger)
}

/** pino does not pass the bindings of children through the formatters of their parent. */
function guardChildren(logger: Logger): Logger {
  const child = logger.child.bind(logger)
  const setBindings = logger.setBindings.bind(logger)
  const guarded = (fields: Bindings, options?: ChildLoggerOptions): Logger =>
    guardChildren(child(sanitize(fields) as Bindings, options))
  logger.child = guarded as unknown as Logger['child']
  logger.setBindings = (fields) => setBindings(sanitize(fields) as Bindings)
  return logger
}

/** pino takes a missing message from the error, as it is: it is given here instead, so that it is cleaned too. */
function withMessage(fields: readonly unknown[]): readonly unknown[] {
  if (fields.length !== 1) return fields
  const [first] = fields
  const error = first instanceof Error ? first : (first as { err?: unknown } | null | undefined)?.err
  return error instanceof Error ? [first, error.message] : fields
}

function censorText(value: unknown): unknown {
  return typeof value === 'number' || typeof value === 'boolean' ? value : REDACTED
}

/** The message and its format arguments; objects are left to the formatter. */
function cleanArgument(argument: unknown, index: number): unknown {
  if (typeof argument === 'string') return cleanText(argument)
  return index === 0 ? argument : sanitize(argument)
}
