/** The model of a job as its members stand for it, for what serves it. */
import { join } from 'node:path'
import { readNpz } from '../../data/index.ts'
import { sumsOf } from '../plan/cohort.ts'
import { isAnalysis } from '../plan/job-plan.ts'
import type { FedPlan } from '../plan/schema.ts'
import type { LocalTrainer } from '../site/local-trainer.ts'
import { flatOf } from '../site/parameters.ts'
import type { RunningJob } from './running-job.ts'

export interface StandingModel {
  readonly job: string
  readonly plan: FedPlan
  /** From 1. */
  readonly round: number
  readonly isOver: boolean
  readonly trainer: LocalTrainer
  readonly weights: Float32Array
  /** Those of an earlier round; undefined: they are not kept here. */
  weightsOf(round: number): Promise<Float32Array | undefined>
}

/** Undefined: the job has none, no round is over, one is half made, too few members stand for it, or this peer has no data in the job. */
export async function standingModel(running: RunningJob): Promise<StandingModel | undefined> {
  const { folder, standing, isOver } = running
  const { plan } = folder.offer
  if (isAnalysis(plan)) return undefined
  const { done } = standing.current.state
  const per = sumsOf(plan) / plan.rounds
  if (!standing.isCertified || done === 0 || done % per !== 0) return undefined
  const held = await running.weights()
  if (held === undefined) return undefined
  const { trainer } = held.site
  const weightsOf = async (round: number): Promise<Float32Array | undefined> => {
    const arrays = await readNpz(join(folder.path, 'rounds', roundFile(round))).catch(() => undefined)
    const shapes = trainer.shapes()
    if (arrays === undefined || shapes.some(({ name }) => arrays.get(name)?.type !== 'float32')) return undefined
    return flatOf(shapes, Object.fromEntries(arrays) as Parameters<typeof flatOf>[1])
  }
  return { job: folder.id, plan, round: done / per, isOver, trainer, weights: held.weights, weightsOf }
}

export function roundFile(round: number): string {
  return `round-${String(round).padStart(4, '0')}.npz`
}
