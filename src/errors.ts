/**
 * The base of every error that weft throws on purpose. One class a cause, each in the `errors.ts` of its room, with a
 * stable code. The message says what happened, `why` gives the evidence, `hint` the next thing to do.
 */

/** Exit statuses of the command line (interface.md, section 1). */
export const EXIT = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  notRunning: 3,
  notFound: 4,
  denied: 5,
  noResources: 6,
  unreachable: 7,
  integrity: 8,
  timedOut: 9,
  partial: 10,
} as const

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT]

/** What `weft help errors CODE` explains; one a class. */
export interface ErrorInfo {
  /** `WEFT-<AREA>-<NNN>`: never reused, never changed. */
  readonly code: string
  readonly title: string
  /** When this is thrown. */
  readonly meaning: string
  /** What the reader can do about it. */
  readonly remedy: string
  readonly exit: ExitStatus
  /** Status of the HTTP answer that carries this error. */
  readonly http: number
  /** The same request may succeed elsewhere or later: fail-over and retries look at this and at nothing else. */
  readonly retryable?: boolean
}

export interface ErrorFacts {
  /** Evidence: what was seen. */
  readonly why?: string
  /** The next command or change; defaults to the remedy of the class. */
  readonly hint?: string
  /** Facts as fields, JSON-safe. */
  readonly details?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

export class WeftError extends Error {
  readonly info: ErrorInfo
  readonly why: string | undefined
  readonly hint: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(info: ErrorInfo, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.name = new.target.name
    this.info = info
    this.why = facts.why
    this.hint = facts.hint ?? info.remedy
    this.details = facts.details ?? {}
  }

  get code(): string {
    return this.info.code
  }

  get retryable(): boolean {
    return this.info.retryable === true
  }
}

/** An error of weft's as data: how it crosses a socket, and the `error` of `weft.error/1`. */
export interface ErrorData {
  readonly code: string
  readonly message: string
  readonly why: string | null
  readonly hint: string | null
  readonly details: Readonly<Record<string, unknown>>
}

const INTERNAL_INFO: ErrorInfo = {
  code: 'WEFT-INT-001',
  title: 'Unexpected error',
  meaning: 'Something failed that weft did not foresee.',
  remedy: 'Run the command again with --verbose, and send the output of weft bugreport.',
  exit: EXIT.unexpected,
  http: 500,
}

/** Wraps what was not foreseen, so that it too has a code. */
export class UnexpectedError extends WeftError {
  static readonly info: ErrorInfo = INTERNAL_INFO

  constructor(cause: unknown) {
    super(INTERNAL_INFO, cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/** An error that came from another process: its facts, under its own code. */
export class ForwardedError extends WeftError {
  constructor(info: ErrorInfo, data: ErrorData) {
    super(info, data.message, {
      details: data.details,
      ...(data.why === null ? {} : { why: data.why }),
      ...(data.hint === null ? {} : { hint: data.hint }),
    })
  }
}

export function toWeftError(error: unknown): WeftError {
  return error instanceof WeftError ? error : new UnexpectedError(error)
}

export function errorData(error: unknown): ErrorData {
  const known = toWeftError(error)
  return { code: known.code, message: known.message, why: known.why ?? null, hint: known.hint, details: known.details }
}
