/** The network key: 32 random bytes that all peers of a private mesh share. An open mesh has none. */
import { randomBytes } from 'node:crypto'
import { DamagedKeyFileError, MissingKeyFileError } from './errors.ts'
import { createKeyFile } from './key-file.ts'
import { openKeyFile } from './sealed-key.ts'
import type { Passphrase } from './sealed-key.ts'

export const NETWORK_KEY_BYTES = 32
/** One line of text, so that it can be pasted; the number names the format. */
const LINE = /^weft-network-key\/1 ([0-9a-f]{64})\r?\n?$/

/** @throws MissingKeyFileError, LooseKeyFileError, DamagedKeyFileError, KeyFileAccessError, KeyLockedError, WrongPassphraseError */
export async function loadNetworkKey(path: string, passphrase?: Passphrase): Promise<Uint8Array> {
  const content = await openKeyFile(path, passphrase)
  if (content === undefined) throw new MissingKeyFileError(path)
  const match = LINE.exec(Buffer.from(content).toString('latin1'))
  if (match === null) throw new DamagedKeyFileError(path, "it is not one line 'weft-network-key/1 ' and 64 hex digits")
  return new Uint8Array(Buffer.from(match[1]!, 'hex'))
}

/**
 * Makes a key in a new file of mode 0600.
 * @throws KeyFileExistsError, KeyFileAccessError
 */
export async function createNetworkKey(path: string): Promise<Uint8Array> {
  const key = randomBytes(NETWORK_KEY_BYTES)
  await createKeyFile(path, Buffer.from(`weft-network-key/1 ${key.toString('hex')}\n`))
  return new Uint8Array(key)
}
