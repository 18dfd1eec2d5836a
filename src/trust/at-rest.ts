/**
 * Texts that lie on the disk of a peer and are for it alone: sealed by a key that follows from its identity. So they are as open as
 * that is: with a passphrase, whoever has the disk reads none of them; without one they are as readable as the identity beside them.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import type { RandomSource } from '../util/index.ts'
import type { Identity } from './identity.ts'

const CIPHER = 'aes-256-gcm'
const [NONCE_BYTES, TAG_BYTES, SEED_BYTES] = [12, 16, 32]

/** By which sealed bytes, and sealed texts, are longer than they were. */
export const SEAL_BYTES: number = NONCE_BYTES + TAG_BYTES

export interface AtRest {
  /** @param place where it lies: moved elsewhere it does not open */
  seal(place: string, bytes: Uint8Array): Buffer
  /** Undefined: sealed by another identity, for another place, or changed since. */
  open(place: string, sealed: Uint8Array): Buffer | undefined
}

export function createAtRest(identity: Pick<Identity, 'privateKey'>, random: RandomSource): AtRest {
  const seed = identity.privateKey.raw.subarray(0, SEED_BYTES)
  const key = Buffer.from(hkdfSync('sha256', seed, new Uint8Array(0), 'weft/at-rest/1', 32))
  return {
    seal(place, bytes) {
      const nonce = random.bytes(NONCE_BYTES)
      const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(place))
      const sealed = Buffer.concat([cipher.update(bytes), cipher.final()])
      return Buffer.concat([nonce, sealed, cipher.getAuthTag()])
    },
    open(place, sealed) {
      const to = sealed.length - TAG_BYTES
      if (to < NONCE_BYTES) return undefined
      const cipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(place))
      cipher.setAuthTag(sealed.subarray(to))
      try {
        return Buffer.concat([cipher.update(sealed.subarray(NONCE_BYTES, to)), cipher.final()])
      } catch {
        return undefined
      }
    },
  }
}
