/** Files of clusters: secrets are written for their owner alone, and never over another file. */
import { readFile } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { CannotWriteError, FileUnreadableError } from '../errors.ts'
import { reasonOf } from '../errors.ts'

/** @throws CannotWriteError */
export async function writeSecret(file: string, text: string): Promise<void> {
  const path = resolve(file)
  try {
    const handle = await open(path, 'wx', 0o600)
    try {
      await handle.chmod(0o600)
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw new CannotWriteError(path, reasonOf(error))
  }
}

/** @throws FileUnreadableError */
export async function readText(file: string, most: number): Promise<string> {
  const path = resolve(file)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new FileUnreadableError(path, reasonOf(error))
  })
  if (text.length > most) throw new FileUnreadableError(path, `it has ${text.length} characters`)
  return text
}
