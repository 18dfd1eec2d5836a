/** A plan as it stands in its file; whoever carries it out checks it. */
import { readFile } from 'node:fs/promises'
import { UsageError } from '../../errors.ts'

export async function readPlanFile(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`${path} is no plan: ${(error as Error).message.slice(0, 200)}`, 'docs/federated.md has one')
  }
}
