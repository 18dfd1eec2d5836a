/** The ONNX file with which a plan's model begins, as this site holds it. */
import { basename, resolve } from 'node:path'
import { modelFileDigest, openModelFile } from '../../training/index.ts'
import { BaseModelError } from '../plan/errors.ts'
import type { FedModelFile } from '../plan/model-file.ts'
import type { SiteData } from '../plan/read-plan.ts'
import type { TrainerNeeds } from './local-trainer.ts'

type HeldModel = Awaited<ReturnType<typeof openModelFile>>

/** Bytes of weights that lie in the file and are read into memory. */
const MEMORY = 2 ** 30

/** Opened in a guarded child first. @throws BaseModelError: this site has another file, or none; TrainedModelError, and the errors of models */
export async function heldFile(
  { clock, folder: work, threads }: TrainerNeeds,
  { digest }: FedModelFile,
  { data, folder }: SiteData,
  signal?: AbortSignal,
): Promise<HeldModel> {
  const wanted = 'model' in data ? data.model : undefined
  if (wanted === undefined) {
    throw new BaseModelError(data.site, { name: 'the model', digest }, 'its data file names none ("model": a path)')
  }
  const path = resolve(folder, wanted)
  const named = { name: basename(path), digest }
  let own: string
  try {
    own = await modelFileDigest(path, signal)
  } catch (error) {
    signal?.throwIfAborted()
    throw new BaseModelError(data.site, named, (error as Error).message, error)
  }
  if (own !== digest) throw new BaseModelError(data.site, named, `that file has ${own.slice(0, 16)}`)
  const options = { threads, optimization: 'basic' } as const
  return openModelFile({ clock, folder, work, memory: MEMORY, options }, path, signal)
}
