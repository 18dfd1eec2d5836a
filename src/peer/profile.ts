/** What this device is: processor, memory, and how fast its kernels are. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { writeFileAtomic } from '../store/index.ts'
import type { HardwareProfile } from './types.ts'

/** Share of the free memory that weft takes by itself; others need the rest. */
const MEMORY_SHARE = 0.6
const TRIAL_DEADLINE_MS = 20_000

export interface ProfileInit {
  /** Bytes that the user allows. */
  readonly memory?: number
}

/** @param speed multiply-adds a second and kernel id, once measured */
export function hardwareProfile(init: ProfileInit, trial: Trial | null): HardwareProfile {
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

export interface Trial {
  readonly speed: number
  readonly kernel: string
}

/** The quick kernel trial, in a process of its own; its result is kept in the mesh home for this processor. */
export async function kernelTrial(stateDirectory: string): Promise<Trial | null> {
  const path = join(stateDirectory, 'kernel-trial.json')
  const cpu = cpus()[0]?.model ?? 'unknown'
  const kept = await readFile(path, 'utf8')
    .then((text) => JSON.parse(text) as Trial & { cpu: string })
    .catch(() => null)
  if (kept?.cpu === cpu && kept.speed > 0) return { speed: kept.speed, kernel: kept.kernel }
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const program = fileURLToPath(new URL(`../pipeline/host/trial.${extension}`, import.meta.url))
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
      timeout: TRIAL_DEADLINE_MS,
    })
    const trial = JSON.parse(stdout) as Trial
    await writeFileAtomic(path, Buffer.from(JSON.stringify({ cpu, ...trial })))
    return trial
  } catch {
    return null
  }
}
