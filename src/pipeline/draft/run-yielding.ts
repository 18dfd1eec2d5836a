/** A host whose work nobody waits for: on its machine it takes what all others leave. */
import { constants, setPriority } from 'node:os'
import { startHostProcess } from '../host/host-process.ts'
import type { RunHostProcess } from '../host/host-process.ts'

export const runYielding: RunHostProcess = (needs, program) => {
  const host = startHostProcess(needs, program)
  try {
    setPriority(host.pid, constants.priority.PRIORITY_LOW)
  } catch {
    // Some systems do not let it: then it is as any other.
  }
  return host
}
