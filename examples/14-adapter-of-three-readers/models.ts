/** What is held beside the federated adapter: one of each reader's text alone, and one of all texts in one place, by as many steps. */
import { LanguageTrainer, readFedData } from '../../src/federated/index.ts'
import type { BaseProvider, FedPlan } from '../../src/federated/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'

/** A text with what trains on it. */
export async function open(plan: FedPlan, data: string, folder: string, base: BaseProvider): Promise<LanguageTrainer> {
  const needs = { clock: systemClock(), engine: createOrtEngine(), folder, threads: 2, base }
  return LanguageTrainer.open(needs, plan, await readFedData(data))
}

/** The steps of a whole federation, by one optimizer. @param sites whose steps it takes */
export async function train(trainer: LanguageTrainer, { rounds, local }: FedPlan, sites = 1): Promise<Float32Array> {
  const steps = sites * rounds * (local.steps ?? 1)
  return (await trainer.train({ round: 0, start: trainer.initial, steps })).weights
}
