/** llama.cpp's own benchmark, where it is on the PATH. */
import { spawnSync } from 'node:child_process'
import type { Speed } from './answer-stats.ts'

export const LLAMA_BENCH = 'llama-bench'

export function hasLlamaBench(): boolean {
  return spawnSync(LLAMA_BENCH, ['--help'], { stdio: 'ignore' }).status === 0
}

/** @param json what `-o json` prints. -Infinity where it did not decode, or had no prompt */
export function llamaSpeeds(json: string): Speed {
  const tests = JSON.parse(json) as readonly { n_gen: number; samples_ts: readonly number[] }[]
  const speed = (generated: boolean): number =>
    Math.max(...tests.filter((test) => test.n_gen > 0 === generated).flatMap((test) => test.samples_ts))
  return { decode: speed(true), prefill: speed(false) }
}

/** One repetition. Null where it does not run. */
export function runLlamaBench(args: readonly (string | number)[]): Speed | null {
  const { status, stdout } = spawnSync(LLAMA_BENCH, [...args.map(String), '-r', '1', '-o', 'json'], {
    encoding: 'utf8',
  })
  return status === 0 ? llamaSpeeds(stdout) : null
}
