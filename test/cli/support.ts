/** Runs weft as people do, and a home whose socket answers: the real control API over the API tests' stand-in peer. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { main } from '../../src/cli/index.ts'
import type { CliIo, Signal } from '../../src/cli/index.ts'
import { socketPath, systemClock, systemRandom } from '../../src/util/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { buildApi } from '../api/support.ts'
import type { FakePeer } from '../api/fake-peer.ts'

export const BIN: string = fileURLToPath(new URL('../../bin/weft', import.meta.url))

export interface Outcome {
  readonly status: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  /** Called with the process, to send it signals. */
  readonly started?: (child: ChildProcess) => void
  readonly command?: readonly string[]
}

/** A real `bin/weft` process with nothing on its standard input, unless told otherwise. */
export function weft(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const [file = '', ...first] = options.command ?? [process.execPath, BIN]
  const env = { ...process.env, WEFT_HOME: '/nonexistent/weft-test', NO_COLOR: '', FORCE_COLOR: '', ...options.env }
  return new Promise((resolve, reject) => {
    const child = spawn(file, [...first, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', reject)
    child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr }))
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
    options.started?.(child)
  })
}

export interface InProcess extends Outcome {
  readonly aborted: number | null
}

export interface InProcessOptions {
  readonly input?: string
  /** At a terminal: a line as the answer to each question. */
  readonly typed?: readonly string[]
  /** Called when something is asked for at that terminal, with whether it is in raw mode by then. */
  readonly asked?: (raw: boolean) => void
  readonly env?: Readonly<Record<string, string>>
  /** @default the system's */
  readonly clock?: Clock
  /** Told what stdout has so far, at each write; sends signals. */
  readonly onOutput?: (text: string, send: (signal: Signal) => void) => void
}

/** `main` in this process, over streams of its own. */
export async function call(argv: readonly string[], options: InProcessOptions = {}): Promise<InProcess> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const listeners = new Set<(signal: Signal) => void>()
  const send = (signal: Signal): void => listeners.forEach((listener) => listener(signal))
  let [out, err] = ['', '']
  let aborted: number | null = null
  stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    options.onOutput?.(out, send)
  })
  stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const io: CliIo = {
    stdin,
    stdout,
    stderr,
    env: options.env ?? {},
    clock: options.clock ?? systemClock(),
    random: systemRandom(),
    self: [process.execPath, BIN],
    onSignal: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    abort: (status) => void (aborted = status),
  }
  if (options.typed === undefined) stdin.end(options.input ?? '')
  else {
    const typed = [...options.typed]
    let raw = false
    Object.assign(stdin, { isTTY: true, setRawMode: (on: boolean) => void (raw = on) })
    // As it is written: whoever types ahead is faster than an event.
    const write = stderr.write.bind(stderr)
    stderr.write = (text: unknown) => {
      if (String(text).endsWith(': ')) options.asked?.(raw)
      return write(text)
    }
    stderr.on('data', (text: string) => {
      if (text.endsWith(': ')) stdin.write(`${typed.shift() ?? '\u0003'}\r`)
    })
  }
  const status = await main(argv, io)
  await new Promise((resolve) => setImmediate(resolve))
  return { status, signal: null, stdout: out, stderr: err, aborted }
}

export interface TestHome extends AsyncDisposable {
  readonly home: string
  readonly peer: FakePeer
}

export async function emptyHome(): Promise<{ home: string } & AsyncDisposable> {
  const home = await mkdtemp(join(tmpdir(), 'weft-cli-'))
  return { home, [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }) }
}

/** A home in which "a peer runs": the control API on its socket. */
export async function runningHome(): Promise<TestHome> {
  const { home } = await emptyHome()
  await mkdir(home, { recursive: true })
  const built = buildApi()
  await built.api.listenSocket(socketPath(home, {}))
  return {
    home,
    peer: built.peer,
    async [Symbol.asyncDispose]() {
      await built.api.close()
      await rm(home, { recursive: true, force: true })
    },
  }
}

export function json(text: string): Record<string, unknown> {
  return JSON.parse(text) as Record<string, unknown>
}

export function jsonLines(text: string): Record<string, unknown>[] {
  return text.trimEnd().split('\n').map(json)
}
