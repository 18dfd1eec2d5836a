import { rename, writeFile } from 'node:fs/promises'

/** Not synced: what a power cut may leave of it is noticed by whoever reads it. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, content, { mode: 0o600 })
  await rename(temporary, path)
}
