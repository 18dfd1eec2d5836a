/** A passphrase out of a file: its first line, or all of a file that is no text. Held in memory alone. */
import { open } from 'node:fs/promises'
import { PassphraseError } from './key-errors.ts'
import { checkPassphrase } from './sealed-key.ts'
import type { Passphrase } from './sealed-key.ts'

const MAX_FILE_BYTES = 4_096

/** A plain file must be for its owner alone; a pipe (`/dev/fd/3`) is whoever opened it. @throws PassphraseError */
export async function readPassphraseFile(path: string): Promise<Passphrase> {
  let bytes: Buffer
  try {
    const handle = await open(path, 'r')
    try {
      const stats = await handle.stat()
      // Credentials of systemd are read-only and of the service's own user: 0400.
      if (process.platform !== 'win32' && stats.isFile() && (stats.mode & 0o077) !== 0)
        throw new PassphraseError(`others may read ${path}: chmod 600 it`)
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_FILE_BYTES + 1), 0, MAX_FILE_BYTES + 1)
      if (bytesRead > MAX_FILE_BYTES) throw new PassphraseError(`${path} has more than ${MAX_FILE_BYTES} bytes`)
      bytes = buffer.subarray(0, bytesRead)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof PassphraseError) throw error
    throw new PassphraseError(`${path} cannot be read: ${(error as Error).message}`, error)
  }
  const passphrase = textOf(bytes)
  checkPassphrase(passphrase)
  return passphrase
}

/** Random bytes are as good as words: their hexadecimal form stands for them. */
function textOf(bytes: Buffer): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (!text.includes('\0')) return text.split(/\r?\n/, 1)[0] ?? ''
  } catch {
    // Said by what follows.
  }
  return bytes.toString('hex')
}
