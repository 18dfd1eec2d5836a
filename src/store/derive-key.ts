/** From a passphrase to a key: scrypt (RFC 7914), with what it costs stated beside what it protects. */
import { scrypt } from 'node:crypto'

/** 128 MiB and near half a second on a small machine, for each guess (OWASP's first choice for scrypt). */
export const SCRYPT = { N: 1 << 17, r: 8, p: 1 } as const
/** A file must not be able to ask for more memory than a device has, nor for so little that guessing is cheap. */
export const SCRYPT_BOUNDS = { least: 1 << 10, most: 1 << 18 } as const

export interface ScryptCost {
  readonly N: number
  readonly r: number
  readonly p: number
  /** Hex. */
  readonly salt: string
}

/** 32 bytes. */
export function deriveKey(passphrase: string, { N, r, p, salt }: ScryptCost): Promise<Buffer> {
  const options = { N, r, p, maxmem: 256 * N * r }
  return new Promise((resolve, reject) =>
    scrypt(passphrase.normalize('NFC'), Buffer.from(salt, 'hex'), 32, options, (error, key) =>
      error === null ? resolve(key) : reject(error),
    ),
  )
}
