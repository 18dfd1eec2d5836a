/** Language models of this home, for plans that train an adapter of one; loaded for those alone. */
import { isAnalysis, isLanguage } from '../../../federated/index.ts'
import type { BaseProvider, JobPlan } from '../../../federated/index.ts'
import type { CommandContext } from '../../context.ts'
import { loadFunction } from '../../rooms.ts'

export async function basesFor({ home }: CommandContext, plan: JobPlan): Promise<BaseProvider | undefined> {
  if (isAnalysis(plan) || !isLanguage(plan)) return undefined
  return (await loadFunction('peer', 'homeFederationBase'))(home) as BaseProvider
}
