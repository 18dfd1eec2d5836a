/** The root key of a cluster as a file of its own: made once, best kept where no machine reads it. */
import { DamagedKeyFileError, MissingKeyFileError } from '../errors.ts'
import { identityOfSeed } from '../identity.ts'
import type { Identity } from '../identity.ts'
import { createKeyFile } from '../key-file.ts'
import { openKeyFile } from '../sealed-key.ts'
import type { Passphrase } from '../sealed-key.ts'
import { RootKeyError } from './errors.ts'

/** One line of text, so that it can be printed, and typed in when it is needed. */
const LINE = /^weft-cluster-root\/1 ([0-9a-f]{64})\r?\n?$/

export function rootKeyLine(seed: Uint8Array): string {
  return `weft-cluster-root/1 ${Buffer.from(seed).toString('hex')}`
}

/** @throws KeyFileExistsError, KeyFileAccessError */
export async function writeRootKey(path: string, seed: Uint8Array): Promise<void> {
  await createKeyFile(path, Buffer.from(`${rootKeyLine(seed)}\n`))
}

/** @throws MissingKeyFileError, LooseKeyFileError, RootKeyError, KeyLockedError, WrongPassphraseError */
export async function readRootKey(path: string, passphrase?: Passphrase): Promise<Identity> {
  const content = await openKeyFile(path, passphrase).catch((error: unknown) => {
    if (error instanceof DamagedKeyFileError) throw new RootKeyError(path, error.message)
    throw error
  })
  if (content === undefined) throw new MissingKeyFileError(path)
  const match = LINE.exec(Buffer.from(content).toString('latin1'))
  if (match === null) throw new RootKeyError(path, 'it is not one line of the form weft-cluster-root/1 and 64 digits')
  return identityOfSeed(Buffer.from(match[1]!, 'hex'))
}
