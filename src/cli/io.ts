/** Everything that a command touches outside itself, handed in: streams, environment, signals, clock. */
import type { Readable, Writable } from 'node:stream'
import { systemClock, systemRandom } from '../util/index.ts'
import type { Clock, Environment, RandomSource } from '../util/index.ts'

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

export interface OutputStream extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
}

export interface InputStream extends Readable {
  readonly isTTY?: boolean
}

export interface CliIo {
  readonly stdin: InputStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Environment
  readonly clock: Clock
  readonly random: RandomSource
  /** Command and first arguments that start weft again, for `up --detach`, `service` and `capabilities --check`. */
  readonly self: readonly string[]
  /** Calls back at each signal until the returned function is called. */
  onSignal(listener: (signal: Signal) => void): () => void
  /** Ends the process at once: the second Ctrl-C. */
  abort(status: number): void
}

const SIGNALS: readonly Signal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

export function processIo(): CliIo {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    clock: systemClock(),
    random: systemRandom(),
    self: [process.execPath, process.argv[1] ?? 'weft'],
    onSignal(listener) {
      for (const signal of SIGNALS) process.on(signal, listener)
      return () => {
        for (const signal of SIGNALS) process.off(signal, listener)
      }
    },
    abort: (status) => process.exit(status),
  }
}
