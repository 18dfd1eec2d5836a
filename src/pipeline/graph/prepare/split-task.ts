/** Cutting a file, as a task that is JSON-safe: the check is in a child of its own. */
import { checkInChild, splitOnnx } from '../../../onnx/index.ts'
import type { MemoryLimit, Optimization, SplitPlan, Wire } from '../../../onnx/index.ts'
import { systemClock } from '../../../util/index.ts'

export interface SplitTask {
  readonly path: string
  /** A folder that is there and empty. */
  readonly out: string
  readonly parts?: number | undefined
  readonly cuts?: readonly number[] | undefined
  /** Weights and live values of a part. */
  readonly memory?: MemoryLimit | undefined
  /** How fast each part will run, against each other. */
  readonly paces?: readonly number[] | undefined
  /** As what float32 crosses. @default 'f32' */
  readonly wire?: Wire | undefined
  /** Null: the highest that is proven. */
  readonly optimization: Optimization | null
  readonly check: boolean
  /** For parts that run side by side on this machine. */
  readonly measured?: boolean | undefined
  readonly codeCache: string
}

/** Far below the silence after which a parent ends a program. */
const BEAT_MS = 10_000

/** @param emit the step that has begun; null while a check is at work, which says nothing */
export function splitTask(task: SplitTask, emit: (step: unknown) => void, signal: AbortSignal): Promise<SplitPlan> {
  const { path, out, parts, cuts, memory, paces, wire, check, measured } = task
  const needs = { clock: systemClock(), codeCache: task.codeCache }
  return splitOnnx(
    {
      check: (job, checkSignal) => checkInChild(needs, job, checkSignal).finally(beating(emit)),
      progress: emit,
      clock: needs.clock,
    },
    path,
    { out, parts, cuts, memoryLimit: memory, paces, wire, check, measured, optimization: task.optimization ?? 'auto' },
    signal,
  )
}

function beating(emit: (step: unknown) => void): () => void {
  const clock = systemClock()
  let cancel = clock.after(BEAT_MS, beat)
  function beat(): void {
    emit(null)
    cancel = clock.after(BEAT_MS, beat)
  }
  return () => cancel()
}
