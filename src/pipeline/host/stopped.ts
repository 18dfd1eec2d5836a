/** Whether a process is stopped: by SIGSTOP or its terminal, not by a debugger. Linux alone tells; of other systems it is not known. */
import { readFileSync } from 'node:fs'

/** @param pid of a child of this process: another one may have the number when it has ended and nobody has looked after it */
export function isStopped(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name before it is whatever its program says, brackets included (proc_pid_stat(5)).
    return text.charAt(text.lastIndexOf(')') + 2) === 'T'
  } catch {
    return false
  }
}
