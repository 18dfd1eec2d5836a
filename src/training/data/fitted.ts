/** What a run has learnt of its columns, as it lies beside the model. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { TrainedModelError } from '../errors.ts'
import type { FittedFeature } from './preprocess.ts'

const schema = z.object({
  features: z.array(
    z.object({
      column: z.string(),
      kind: z.enum(['standard', 'raw', 'one-hot', 'id']),
      mean: z.number(),
      sd: z.number(),
      divisor: z.number(),
      values: z.array(z.number()),
      names: z.array(z.union([z.string(), z.number()])),
      count: z.number(),
    }),
  ),
})

/** Nothing where there is no such file: the data was no table. @throws TrainedModelError */
export async function readFitted(path: string): Promise<readonly FittedFeature[] | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch {
    return undefined
  }
  try {
    return schema.parse(JSON.parse(text)).features
  } catch {
    throw new TrainedModelError('its preprocessing.json is damaged')
  }
}
