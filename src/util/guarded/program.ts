/** The child's side of a guarded program: the task comes in, events, then a result or an error go out. */
import { writeSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { errorData } from '../../errors.ts'
import { MESSAGES_FD } from './protocol.ts'
import type { GuardedLine, GuardianInit } from './protocol.ts'

export interface GuardedTask {
  /** From the parent: trusted in form. */
  readonly input: unknown
  /** Tells the parent, and returns when the kernel has it: it arrives even if the process is killed right after. */
  readonly emit: (value: unknown) => void
  /** Aborts when the parent is gone: what was begun is to be put away, quickly. */
  readonly signal: AbortSignal
}

/** The guardian is a timer and a socket. */
const GUARDIAN_HEAP_MB = 16

/** Runs `work` once and ends the process. The limit on memory is the program's first argument. */
export async function runGuardedProgram(work: (task: GuardedTask) => Promise<unknown>): Promise<never> {
  // Ctrl-C in a terminal reaches the whole process group; the parent decides when its children end.
  process.on('SIGINT', () => undefined)
  const gone = new AbortController()
  const guardian = guardProcess({ memory: Number(process.argv[2]) })
  guardian.once('message', (why: string) => gone.abort(new Error(why)))
  try {
    const input: unknown = JSON.parse(await text(process.stdin))
    const emit = (value: unknown): void => tell({ type: 'event', value })
    const value = await work({ input, emit, signal: gone.signal })
    tell({ type: 'result', value })
  } catch (error) {
    tell({ type: 'error', error: errorData(error) })
  }
  process.exit(0)
}

/**
 * Ends this process when it holds more than `memory`, and 2 s after its parent is gone, which is told as a message
 * before: the end of file descriptor 4 says so. For programs of other kinds than one task.
 */
export function guardProcess(init: GuardianInit): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const guardian = new Worker(fileURLToPath(new URL(`./guardian.${extension}`, import.meta.url)), {
    workerData: init,
    resourceLimits: { maxOldGenerationSizeMb: GUARDIAN_HEAP_MB },
  })
  guardian.unref()
  // Without its guardian the program must not go on.
  guardian.once('error', () => process.exit(1))
  return guardian
}

function tell(line: GuardedLine): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(MESSAGES_FD, bytes, at)
  } catch (error) {
    // The parent is gone: nobody reads, and what was begun is still put away.
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
  }
}
