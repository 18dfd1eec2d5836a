/** A host whose work nobody waits for: on its machine it takes what all others leave. */
import { constants, setPriority } from 'node:os'
import { startHostProcess } from '../host/host-process.ts'
import type { RunHostProcess } from '../host/host-process.ts'

/** Not allowed on this system, or it has ended already. What a draft then takes from stages counts as its loss, and turns it off. */
const PASSING: ReadonlySet<unknown> = new Set(['EACCES', 'EPERM', 'ESRCH'])

export const runYielding: RunHostProcess = (needs, program) => {
  const host = startHostProcess(needs, program)
  // One that could not be started has none, and 0 means whoever asks: the peer would yield to all for good.
  if (host.pid > 0) yieldTo(host.pid)
  return host
}

function yieldTo(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW)
  } catch (error) {
    const { info } = error as { readonly info?: { readonly code?: string } }
    if (!PASSING.has(info?.code)) throw error
  }
}
