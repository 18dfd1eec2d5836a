/** Virtual clients: parts of one table, each a site of its own, that share its rows and its graphs. */
import { join } from 'node:path'
import { createSeeded } from '../../data/index.ts'
import { makeFolders } from '../../store/index.ts'
import { FedPlanError } from '../plan/errors.ts'
import { readFedData } from '../plan/read-plan.ts'
import type { FedPlan } from '../plan/schema.ts'
import type { TrainerNeeds } from '../site/local-trainer.ts'
import { openTrainer } from '../site/open-trainer.ts'
import { SiteTrainer } from '../site/trainer.ts'
import { partition } from './partition.ts'
import type { SimulationSpec } from './spec.ts'

export interface VirtualInit {
  readonly plan: FedPlan
  /** Data file that all of them stand on. */
  readonly path: string
  /** For graphs and rows, of this share alone. */
  readonly folder: string
  readonly spec: Pick<SimulationSpec, 'seed' | 'skew'> & { readonly clients: number }
  /** Of the clients: from this one up to, and without, that one. */
  readonly from: number
  readonly to: number
}

export interface VirtualClients {
  readonly list: readonly SiteTrainer[]
  /** Holds the rows: to be closed after the clients. */
  readonly whole: SiteTrainer
}

/** Who has which rows follows from the seed alone: shares of one federation fit together. @throws as `openTrainer`, FedPlanError */
export async function openVirtualClients(
  needs: Pick<TrainerNeeds, 'base' | 'clock' | 'engine'>,
  { plan, path, folder, spec, from, to }: VirtualInit,
  signal?: AbortSignal,
): Promise<VirtualClients> {
  const own = join(folder, `clients-${from}`)
  await makeFolders(own)
  const whole = await openTrainer({ ...needs, folder: own, threads: 1 }, plan, await readFedData(path), signal)
  if (!(whole instanceof SiteTrainer)) {
    await whole.close()
    throw new FedPlanError(plan.name, 'task', 'has no virtual clients: they stand on the rows of a table')
  }
  const parts = partition(await whole.labels(), spec.clients, spec.skew, createSeeded(spec.seed, 'partition'))
  const list: SiteTrainer[] = []
  for (let index = from; index < to; index++) list.push(await whole.virtual(`client-${index}`, parts[index]!))
  return { list, whole }
}
