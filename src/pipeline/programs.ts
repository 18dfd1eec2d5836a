/** The programs of this room that run in processes of their own for others, who need not know where they lie. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** It takes a second; a machine on which it takes so long is wedged. */
const TRIAL_DEADLINE_MS = 20_000

export interface KernelTrial {
  /** Multiply-adds a second of one thread. */
  readonly speed: number
  readonly kernel: string
  /** Bytes a second that all threads together read from memory; 0 where that could not be measured. */
  readonly bandwidth: number
}

/**
 * The quick trial of kernel and memory, in a process of its own: it computes, and its caller is to stay awake.
 * @throws what starting a process does, and when the trial fails or takes too long
 */
export async function kernelTrial(signal?: AbortSignal): Promise<KernelTrial> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program('trial')],
    { timeout: TRIAL_DEADLINE_MS, ...(signal === undefined ? {} : { signal }) },
  )
  return JSON.parse(stdout) as KernelTrial
}

/** File of the guarded program that measures the range of a model's residual (host/range.ts says what it takes). */
export function rangeProgram(): string {
  return program('range')
}

/** File of the guarded program that measures weight formats (host/quality.ts says what it takes). */
export function qualityProgram(): string {
  return program('quality')
}

/** In a checkout the TypeScript file, in the package the JavaScript one. */
function program(name: 'trial' | 'range' | 'quality'): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./host/${name}.${extension}`, import.meta.url))
}
