/** The trainer that a plan asks for. */
import type { SiteData } from '../plan/read-plan.ts'
import { isLanguage } from '../plan/language.ts'
import type { FedPlan } from '../plan/schema.ts'
import { LanguageTrainer } from './language-trainer.ts'
import type { LocalTrainer, TrainerNeeds } from './local-trainer.ts'
import { SiteTrainer } from './trainer.ts'

/** @throws what reading data throws, SiteRecordsError, BaseModelError */
export function openTrainer(
  needs: TrainerNeeds,
  plan: FedPlan,
  data: SiteData,
  signal?: AbortSignal,
): Promise<LocalTrainer> {
  return isLanguage(plan)
    ? LanguageTrainer.open(needs, plan, data, signal)
    : SiteTrainer.open(needs, plan, data, signal)
}
