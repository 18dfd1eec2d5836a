/** Processes as the system sees them. */
import { readFileSync } from 'node:fs'
import { systemClock } from '../../../src/util/index.ts'

/** Whether it runs; one that has ended and that nobody has asked about (a zombie) does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return process.platform !== 'linux'
  }
}

/** Waits until it has ended. */
export async function ended(pid: number): Promise<void> {
  while (isRunning(pid)) await systemClock().sleep(20)
}
