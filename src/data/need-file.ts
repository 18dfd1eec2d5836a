/** Files of examples: what is a pipe or a device has no end, or waits for somebody who writes. */
import { stat } from 'node:fs/promises'
import { TableUnreadableError } from './table/errors.ts'

/** @throws TableUnreadableError; a folder is left to whoever reads it */
export async function needFile(path: string): Promise<void> {
  const facts = await stat(path).catch((error: unknown) => {
    throw new TableUnreadableError(path, error)
  })
  if (!facts.isFile() && !facts.isDirectory())
    throw new TableUnreadableError(path, new Error('it is a pipe or a device, and no file'))
}
