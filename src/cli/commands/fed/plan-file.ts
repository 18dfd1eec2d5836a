/** A plan as it stands in its file; whoever carries it out checks it. */
import { readFile } from 'node:fs/promises'
import { parseJsonText } from '../../../util/index.ts'
import { UsageError } from '../../errors.ts'

export async function readPlanFile(path: string): Promise<unknown> {
  try {
    return parseJsonText(await readFile(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`${path} is no plan: ${(error as Error).message.slice(0, 200)}`, 'docs/federated.md has one')
  }
}
