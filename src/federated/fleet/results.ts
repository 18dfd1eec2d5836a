/** What an analysis found, as this site may see it: of all sites together, and its own distance from the others. */
import { AnalysisMath } from '../analysis/math.ts'
import { analysisResult } from '../analysis/result.ts'
import type { AnalysisResult } from '../analysis/result.ts'
import { JobStateError } from '../plan/errors.ts'
import type { RunningJob } from './running-job.ts'

export interface JobResults extends AnalysisResult {
  readonly job: string
  readonly plan: string
  /** Of this site alone, and never sent; null: this peer has no data in the job. */
  readonly own: { readonly site: string; readonly distances: Readonly<Record<string, number | null>> } | null
}

/** @throws JobStateError: nothing was asked, or its rounds are not over */
export async function resultsOf({ folder, view, standing, isOver, analysis }: RunningJob): Promise<JobResults> {
  const { math } = view
  if (!(math instanceof AnalysisMath)) {
    throw new JobStateError(folder.id, 'it trains a model: weft fed export writes what came of it')
  }
  if (!isOver) throw new JobStateError(folder.id, 'its rounds are not over: weft fed status says whom it waits for')
  const { state } = standing.current
  const { schema, name, ...found } = analysisResult(math, state)
  const distances = await analysis?.distances(state)
  const own =
    distances === undefined
      ? null
      : {
          site: folder.site.site ?? 'site',
          distances: Object.fromEntries([...distances].map(([index, value]) => [found.statistics[index]!.name, value])),
        }
  return { schema, job: folder.id, plan: folder.offer.plan_hash, name, ...found, own }
}
