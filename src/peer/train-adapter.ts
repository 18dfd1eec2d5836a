/** `weft train` and `weft eval` on a language model of this home, in this process: no peer need run. */
import { createOrtEngine } from '../onnx/index.ts'
import { evalAdapter, trainAdapter } from '../training/index.ts'
import type { EvalRequest, Evaluation, TrainOutcome, TrainProgress, TrainRequest } from '../training/index.ts'
import { systemClock } from '../util/index.ts'
import { homeBases } from './base-models.ts'

/** @throws ModelUnknownError, ModelKindError, and what training throws */
export async function trainAdapterHere(
  home: string,
  request: TrainRequest,
  progress: (progress: TrainProgress) => void,
  signal?: AbortSignal,
): Promise<TrainOutcome> {
  const needs = { clock: systemClock(), engine: createOrtEngine(), base: homeBases(home) }
  return trainAdapter(needs, request, progress, signal)
}

/** @throws ModelUnknownError, ModelKindError, and what evaluating throws */
export async function evalAdapterHere(home: string, request: EvalRequest, signal?: AbortSignal): Promise<Evaluation> {
  const needs = { clock: systemClock(), engine: createOrtEngine(), base: homeBases(home) }
  return evalAdapter(needs, request, signal)
}
