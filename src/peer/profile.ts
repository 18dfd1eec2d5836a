/** What this device is: processor, memory, and how fast its kernels are. */
import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { join } from 'node:path'
import { kernelTrial } from '../pipeline/index.ts'
import type { KernelTrial } from '../pipeline/index.ts'
import { writeFileAtomic } from '../store/index.ts'
import type { HardwareProfile } from './types.ts'

/** Share of the free memory that weft takes by itself; others need the rest. */
const MEMORY_SHARE = 0.6

export interface ProfileInit {
  /** Bytes that the user allows. */
  readonly memory?: number
}

/** @param speed multiply-adds a second and kernel id, once measured */
export function hardwareProfile(init: ProfileInit, trial: KernelTrial | null): HardwareProfile {
  const free = freeMemory()
  return {
    platform: process.platform,
    arch: process.arch,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory_total: totalmem(),
    memory_free: free,
    memory_quota: init.memory ?? Math.floor(free * MEMORY_SHARE),
    speed: trial?.speed ?? 0,
    kernel: trial?.kernel ?? '',
  }
}

/** Memory that a process may get without hurting others, a container's limit included. */
function freeMemory(): number {
  const available = process.availableMemory()
  return available > 0 ? Math.min(available, totalmem()) : freemem()
}

/** The quick kernel trial; its result is kept in the mesh home for this processor. Null when it could not be made. */
export async function knownTrial(stateDirectory: string): Promise<KernelTrial | null> {
  const path = join(stateDirectory, 'kernel-trial.json')
  const cpu = cpus()[0]?.model ?? 'unknown'
  const kept = await readFile(path, 'utf8')
    .then((text) => JSON.parse(text) as KernelTrial & { cpu: string })
    .catch(() => null)
  if (kept?.cpu === cpu && kept.speed > 0) return { speed: kept.speed, kernel: kept.kernel }
  try {
    const trial = await kernelTrial()
    await writeFileAtomic(path, Buffer.from(JSON.stringify({ cpu, ...trial })))
    return trial
  } catch {
    return null
  }
}
