/** A site's data under a plan, looked at before anything is promised. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Engine } from '../../onnx/index.ts'
import type { Clock } from '../../util/index.ts'
import { readFedData } from '../plan/read-plan.ts'
import type { FedPlan } from '../plan/schema.ts'
import { SiteTrainer } from '../site/trainer.ts'
import type { ColumnMoments } from '../site/statistics.ts'

export interface CheckedData {
  readonly site: string
  readonly dataset: string
  /** Rows for training and for testing. */
  readonly records: number
  readonly test: number
  readonly columns: readonly ColumnMoments[]
}

/** @throws what reading the data throws: a column that is not there, a cell that is no number, too few rows */
export async function checkData(
  needs: { readonly clock: Clock; readonly engine: Engine },
  root: string,
  plan: FedPlan,
  path: string,
  signal?: AbortSignal,
): Promise<CheckedData> {
  await mkdir(root, { recursive: true, mode: 0o700 })
  const folder = await mkdtemp(join(root, 'check-'))
  try {
    const data = await readFedData(path)
    const trainer = await SiteTrainer.open({ ...needs, folder, threads: 1 }, plan, data, signal)
    const { site, dataset = site } = data.data
    const checked = {
      site,
      dataset,
      records: trainer.records,
      test: trainer.testRecords,
      columns: trainer.moments(),
    }
    await trainer.close()
    return checked
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
