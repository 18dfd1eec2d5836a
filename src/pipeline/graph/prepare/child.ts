/** The children that open model files, as their parent sees them. */
import { fileURLToPath } from 'node:url'
import { ForwardedError, UnexpectedError } from '../../../errors.ts'
import { CUT_ERRORS, ONNX_ERRORS } from '../../../onnx/index.ts'
import type { SplitPlan } from '../../../onnx/index.ts'
import { STORE_ERRORS } from '../../../store/index.ts'
import { runGuarded } from '../../../util/index.ts'
import type { Clock } from '../../../util/index.ts'
import { GraphPreparationError } from '../errors.ts'
import type { SplitTask } from './split-task.ts'

export interface FileChildNeeds {
  readonly clock: Clock
  readonly codeCache: string
  progress?(step: string): void
}

/** Names, nodes and the weights of one part at a time: a graph of 100,000 nodes takes some 500 MB. */
const MEMORY = 4 * 2 ** 30
const SILENCE_MS = 300_000

const KNOWN = new Map([...ONNX_ERRORS, ...CUT_ERRORS, ...STORE_ERRORS].map((info) => [info.code, info]))

/** @throws what reading, cutting and writing throw, GraphPreparationError, the signal's reason */
export async function runOnFile(
  needs: FileChildNeeds,
  program: 'prepare-main' | 'split-main' | 'stage-main',
  task: { readonly path: string },
  signal?: AbortSignal,
): Promise<unknown> {
  const outcome = await runGuarded(
    needs,
    {
      program: file(program),
      input: task,
      memory: MEMORY,
      silence: SILENCE_MS,
      codeCache: needs.codeCache,
      onEvent: (step) => (typeof step === 'string' ? needs.progress?.(step) : undefined),
    },
    signal,
  )
  if (outcome.kind === 'result') return outcome.value
  if (outcome.kind === 'ended') {
    const { why, last } = outcome.end
    const words = {
      memory: 'it took too much memory',
      silence: 'it made no progress',
      died: last || 'its process died',
    }
    throw new GraphPreparationError(task.path, words[why], { ...outcome.end })
  }
  const info = KNOWN.get(outcome.error.code)
  throw info === undefined ? new UnexpectedError(outcome.error.message) : new ForwardedError(info, outcome.error)
}

/** Cuts a model file in a child process. @throws as `runOnFile` */
export async function splitFile(
  needs: FileChildNeeds,
  task: Omit<SplitTask, 'codeCache'>,
  signal?: AbortSignal,
): Promise<SplitPlan> {
  return (await runOnFile(
    needs,
    'split-main',
    { ...task, codeCache: needs.codeCache } as SplitTask,
    signal,
  )) as SplitPlan
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function file(program: string): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./${program}.${extension}`, import.meta.url))
}
