/** The device under a peer: what it tells of itself, and a trial of it. A need, so that a simulated peer has its own. */
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { kernelTrial } from '../pipeline/index.ts'
import type { KernelTrial } from '../pipeline/index.ts'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  /** Bytes: all there is, and what a process may get without hurting others. */
  readonly memory: () => { readonly total: number; readonly free: number }
  /** A second of one core. @throws when it could not be made */
  trial(signal: AbortSignal): Promise<KernelTrial>
  /** As /sys/class. */
  readonly system: string
  /** Processes that want to run, for each processor. @default as the system says */
  readonly load?: () => number
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory: () => ({ total: totalmem(), free: freeMemory() }),
    trial: (signal) => kernelTrial(signal),
    system: '/sys/class',
  }
}

/** A container's limit included. */
function freeMemory(): number {
  const available = process.availableMemory()
  return available > 0 ? Math.min(available, totalmem()) : freemem()
}
