/** A check in a child process, as its parent sees it. */
import { fileURLToPath } from 'node:url'
import { UnexpectedError } from '../../errors.ts'
import { runGuarded } from '../../util/index.ts'
import type { Clock, GuardedEnd } from '../../util/index.ts'
import type { CheckResult, CheckTask } from './check-task.ts'

export interface CheckChildNeeds {
  readonly clock: Clock
  /** Folder in which Node keeps the child's compiled program; of this user alone. */
  readonly codeCache: string
  /** Bytes, mapped files not counted. @default 8 GiB */
  readonly memory?: number
  /** Milliseconds for which a child may be silent: a model that loads and runs its cases says nothing. @default 300,000 */
  readonly silence?: number
}

const MEMORY = 8 * 2 ** 30
const SILENCE_MS = 300_000

/** As `runCheck`. A child that ends has checked nothing, and the result says how it ended. @throws the signal's reason */
export async function checkInChild(
  needs: CheckChildNeeds,
  task: CheckTask,
  signal?: AbortSignal,
): Promise<CheckResult> {
  const outcome = await runGuarded(
    needs,
    {
      program: program(),
      input: task,
      memory: needs.memory ?? MEMORY,
      silence: needs.silence ?? SILENCE_MS,
      codeCache: needs.codeCache,
    },
    signal,
  )
  if (outcome.kind === 'result') return outcome.value as CheckResult
  if (outcome.kind === 'error') throw new UnexpectedError(outcome.error.message)
  // The optimizer ends the process over some graphs; what takes all memory, or all time, is what the graph computes.
  return { kind: 'unchecked', why: wordsFor(outcome.end), final: outcome.end.why !== 'died' }
}

function wordsFor({ why, signal, code, last }: GuardedEnd): string {
  if (why === 'memory') return 'the engine took more memory than a check may have'
  if (why === 'silence') return 'the engine did not come to an end'
  return `the engine ended its process (${signal ?? `status ${code}`})${last === '' ? '' : `: ${last}`}`
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function program(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./check-main.${extension}`, import.meta.url))
}
