/** Runs a command of weft as a user does, and reads what it says. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const WEFT = fileURLToPath(new URL('../bin/weft', import.meta.url))

/** The JSON document of a command; its notes go to the terminal. Ends the program where the command fails. */
export function weft(...args: readonly string[]): unknown {
  const { status, stdout } = spawnSync(process.execPath, [WEFT, ...args, '--json'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
  })
  if (status === 0) return JSON.parse(stdout)
  process.stdout.write(stdout)
  return process.exit(status ?? 1)
}

/** Of `weft train` and `weft eval`, as far as the examples read it. */
export interface Trained {
  readonly parameters: number
  readonly epochs: number
  readonly examples: { readonly train: number; readonly test: number }
  readonly metrics: Readonly<Record<'train' | 'test', Readonly<Record<string, number>>>>
}

export interface Evaluated {
  readonly examples: number
  readonly metrics: Readonly<Record<string, number>>
}
