/** What a job carries out: training, or an analysis. Both are offered, approved, charged and summed in one way. */
import type { AnalysisPlan } from './analysis-schema.ts'
import { analysisRounds, checkAnalysisPlan } from './read-analysis.ts'
import { sumsOf } from './cohort.ts'
import { checkFedPlan, readJson } from './read-plan.ts'
import type { FedPlan } from './schema.ts'

export type JobPlan = FedPlan | AnalysisPlan

export function isAnalysis(plan: JobPlan): plan is AnalysisPlan {
  return plan.schema === 'weft.fed-analysis/1'
}

/** @param where for messages. @throws FedPlanError, and what checking a plan of training throws */
export function checkJobPlan(value: unknown, where: string): JobPlan {
  const { schema } = (value ?? {}) as { readonly schema?: unknown }
  return schema === 'weft.fed-analysis/1' ? checkAnalysisPlan(value, where) : checkFedPlan(value, where)
}

/** @throws the same */
export async function readJobPlan(path: string): Promise<JobPlan> {
  return checkJobPlan(await readJson(path), path)
}

/** Rounds that the plan names, and secure sums of each (the one of the columns of training is left out). */
export function extentOf(plan: JobPlan): { readonly rounds: number; readonly sumsOfEach: number } {
  if (isAnalysis(plan)) return { rounds: analysisRounds(plan), sumsOfEach: 1 }
  return { rounds: plan.rounds, sumsOfEach: sumsOf(plan) / plan.rounds }
}
