/** Files of examples, told from changed ones: by size and time while a run goes on, by their bytes when it is resumed. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { needFile } from './need-file.ts'
import { DataChangedError, TableUnreadableError } from './table/errors.ts'

export interface Fingerprint {
  readonly path: string
  readonly bytes: number
  /** Milliseconds since 1970, with their fraction. */
  readonly modified: number
  /** Of the content, in hexadecimal. */
  readonly sha256: string
}

/** @throws TableUnreadableError */
export async function fingerprint(path: string, signal?: AbortSignal): Promise<Fingerprint> {
  try {
    const { size, mtimeMs } = await stat(path)
    return { path, bytes: size, modified: mtimeMs, sha256: await fileDigest([path], signal) }
  } catch (error) {
    signal?.throwIfAborted()
    throw error instanceof TableUnreadableError ? error : new TableUnreadableError(path, error)
  }
}

/** Of many files one after the other: a folder may have more than may be open at once. @throws TableUnreadableError */
export async function fingerprints(paths: readonly string[], signal?: AbortSignal): Promise<readonly Fingerprint[]> {
  const marks: Fingerprint[] = []
  for (const path of paths) marks.push(await fingerprint(path, signal))
  return marks
}

/** SHA-256 in hexadecimal of files, one after the other. @throws TableUnreadableError */
export async function fileDigest(paths: readonly string[], signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for (const path of paths) {
    await needFile(path)
    try {
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
        signal?.throwIfAborted()
        hash.update(chunk as Buffer)
      }
    } catch (error) {
      signal?.throwIfAborted()
      throw new TableUnreadableError(path, error)
    }
  }
  return hash.digest('hex')
}

/** @throws DataChangedError when the file is no longer as it was */
export async function checkUnchanged({ path, bytes, modified }: Fingerprint): Promise<void> {
  const now = await stat(path).catch(() => undefined)
  if (now === undefined) throw new DataChangedError(path, 'it is gone')
  if (now.size !== bytes) throw new DataChangedError(path, `it had ${bytes} bytes and has ${now.size}`)
  if (now.mtimeMs !== modified) throw new DataChangedError(path, 'it was written again')
}
