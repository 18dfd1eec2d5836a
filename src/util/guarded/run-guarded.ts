/**
 * The parent's side of a guarded program: hostile work in a child process that is limited in memory, ended when it makes
 * no progress or its caller gives up, and ends by itself when this process is gone (DESIGN decision 5).
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { ErrorData } from '../../errors.ts'
import type { Clock } from '../needs.ts'
import { codeCacheEnv } from '../code-cache.ts'
import { LIFELINE_FD, MESSAGES_FD, OVER_MEMORY } from './protocol.ts'
import type { GuardedLine } from './protocol.ts'

export interface GuardedInit {
  /** File of the program, which calls `runGuardedProgram`. */
  readonly program: string
  /** JSON-safe. */
  readonly input: unknown
  /** Bytes that the process may hold: watched from inside, since no limit of the system fits (see guardian.ts). */
  readonly memory: number
  /** Milliseconds without an event after which it counts as wedged; the whole may take as long as it likes. */
  readonly silence: number
  /** Folder in which Node keeps the program compiled. Of this user alone, since what lies there is run. */
  readonly codeCache: string
  /** An event of the program. */
  readonly onEvent?: (value: unknown) => void
  /** It has been started, as this process. */
  readonly onStart?: (pid: number) => void
}

/** Why a program ended without a word of its own. */
export interface GuardedEnd {
  readonly why: 'memory' | 'silence' | 'died'
  readonly pid: number
  readonly code: number | null
  readonly signal: string | null
  /** The last line that it, or the system for it, left behind. */
  readonly last: string
}

export type GuardedOutcome =
  | { readonly kind: 'result'; readonly value: unknown }
  | { readonly kind: 'error'; readonly error: ErrorData }
  | { readonly kind: 'ended'; readonly end: GuardedEnd }

/**
 * V8's own limit stands below the watched one, so that garbage is collected before it counts as held. Objects on the heap
 * are at most this part of the memory; the rest is for buffers, which V8 does not count.
 */
const HEAP_SHARE = 0.75
/** A manifest has at most 4 MiB, and escaping adds little. */
const MAX_LINE_BYTES = 1 << 23
/** Of what a dying process prints: V8's reason, and the stack that follows it. */
const STDERR_BYTES = 16_384
/** A killed process that hangs in the kernel (a dead network disk) is not waited for any longer. */
const KILL_MS = 5_000

/**
 * Runs the program to its end. When it resolves or rejects, the process is gone.
 * @throws the signal's reason, or what the listener of events threw
 */
export async function runGuarded(
  needs: { readonly clock: Clock },
  init: GuardedInit,
  signal?: AbortSignal,
): Promise<GuardedOutcome> {
  signal?.throwIfAborted()
  const child = start(init)
  const run = new GuardedRun(needs.clock, child, init)
  const abort = (): void => run.kill('abort')
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const outcome = await run.outcome
    if (run.killed === 'abort') signal?.throwIfAborted()
    if (run.killed === 'listener') throw run.thrown
    return outcome
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

function start(init: GuardedInit): ChildProcess {
  const heap = Math.floor((init.memory * HEAP_SHARE) / 2 ** 20)
  const options = ['--disable-warning=ExperimentalWarning', `--max-old-space-size=${heap}`]
  const child = spawn(process.execPath, [...options, init.program, String(init.memory)], {
    stdio: ['pipe', 'ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...codeCacheEnv(init.codeCache) },
  })
  if (child.pid !== undefined) init.onStart?.(child.pid)
  // Whatever breaks on the way to it, its end tells.
  for (const stream of child.stdio) stream?.on('error', () => undefined)
  child.stdin?.end(JSON.stringify(init.input))
  return child
}

class GuardedRun {
  readonly outcome: Promise<GuardedOutcome>
  killed: 'abort' | 'silence' | 'nonsense' | 'listener' | undefined
  /** By the listener of events. */
  thrown: unknown
  readonly #clock: Clock
  readonly #child: ChildProcess
  readonly #init: GuardedInit
  #said: GuardedOutcome | undefined
  #stderr = ''
  #cancelSilence = (): void => {}
  #cancelGiveUp = (): void => {}
  #giveUp = (): void => {}

  constructor(clock: Clock, child: ChildProcess, init: GuardedInit) {
    this.#clock = clock
    this.#child = child
    this.#init = init
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString('latin1')).slice(-STDERR_BYTES)
    })
    readLines(child.stdio[MESSAGES_FD] as Readable | null, (line) => this.#hear(line))
    this.#waitForEvent()
    this.outcome = this.#end()
  }

  kill(why: NonNullable<GuardedRun['killed']>): void {
    this.killed ??= why
    this.#child.kill('SIGKILL')
    this.#cancelGiveUp()
    this.#cancelGiveUp = this.#clock.after(KILL_MS, () => this.#giveUp())
  }

  #end(): Promise<GuardedOutcome> {
    return new Promise((resolve) => {
      const done = (code: number | null, signal: string | null, fallback = ''): void => {
        this.#cancelSilence()
        this.#cancelGiveUp()
        this.#child.stdio[LIFELINE_FD]?.destroy()
        resolve(this.#said ?? { kind: 'ended', end: this.#describe(code, signal, fallback) })
      }
      this.#giveUp = () => done(null, 'SIGKILL')
      // `close` comes after `exit`, when all that it said has been read.
      this.#child.once('close', (code, signal) => done(code, signal))
      this.#child.once('error', (error) => done(null, null, error.message))
    })
  }

  #describe(code: number | null, signal: string | null, fallback: string): GuardedEnd {
    const memory = this.#stderr.includes(OVER_MEMORY) || this.#stderr.includes('JavaScript heap out of memory')
    const why = memory ? 'memory' : this.killed === 'silence' ? 'silence' : 'died'
    const last = this.killed === 'nonsense' ? 'it said what is no message' : lastLine(this.#stderr)
    return { why, pid: this.#child.pid ?? 0, code, signal, last: last === '' ? fallback : last }
  }

  /** What it said before it was killed counts as well: the caller may have to take something back for it. */
  #hear(line: string | undefined): void {
    if (this.#said !== undefined || this.killed === 'nonsense') return
    const message = line === undefined ? undefined : parse(line)
    if (message === undefined) this.kill('nonsense')
    else if (message.type === 'event') {
      this.#waitForEvent()
      this.#pass(message.value)
    } else {
      this.#waitForEvent()
      this.#said =
        message.type === 'result' ? { kind: 'result', value: message.value } : { kind: 'error', error: message.error }
    }
  }

  #pass(value: unknown): void {
    try {
      this.#init.onEvent?.(value)
    } catch (error) {
      if (this.killed === 'listener') return
      this.thrown = error
      this.kill('listener')
    }
  }

  #waitForEvent(): void {
    this.#cancelSilence()
    if (this.killed !== undefined) return
    this.#cancelSilence = this.#clock.after(this.#init.silence, () => this.kill('silence'))
  }
}

/** Calls back for each line, and once with nothing for one that is too long. */
function readLines(stream: Readable | null, onLine: (line: string | undefined) => void): void {
  let parts: Buffer[] = []
  let length = 0
  stream?.on('data', (chunk: Buffer) => {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      onLine(Buffer.concat([...parts, chunk.subarray(from, end)]).toString('utf8'))
      parts = []
      length = 0
      from = end + 1
    }
    parts.push(chunk.subarray(from))
    length += chunk.length - from
    if (length <= MAX_LINE_BYTES) return
    parts = []
    length = 0
    onLine(undefined)
  })
}

function parse(line: string): GuardedLine | undefined {
  try {
    const message = JSON.parse(line) as GuardedLine | null
    const known = message?.type === 'event' || message?.type === 'result'
    return known || (message?.type === 'error' && typeof message.error?.code === 'string') ? message : undefined
  } catch {
    return undefined
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)!.trim().slice(0, 300)
}
