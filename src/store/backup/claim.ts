/**
 * A backup that a keeper has is asked for by whoever knows its passphrase: a key pair follows from the same scrypt as the
 * key that seals it, and its public half stands in the header of the folder. So the keeper has nothing more to guess by than
 * it had with the sealed files, and a guess costs it the same.
 *
 * What is signed names both peers, the folder and a fresh number of each side: it is good for one channel.
 */
import { createPrivateKey, createPublicKey, hkdfSync, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { deriveKey, SCRYPT } from '../derive-key.ts'
import type { ScryptCost } from '../derive-key.ts'
import { BackupDamagedError } from './errors.ts'

/** DER of an Ed25519 key up to its 32 bytes (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex')

export interface BackupClaim {
  /** PeerIds. */
  readonly keeper: string
  readonly claimant: string
  /** Id of the folder, hex. */
  readonly vault: string
  /** Hex, 32 bytes each. */
  readonly keeperNonce: string
  readonly claimantNonce: string
}

/** Seed of the key pair, from the key that scrypt gives. */
export function claimSeedOf(master: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', master, '', 'weft backup claim/1', 32))
}

/**
 * The same from the passphrase. A keeper names the cost and the salt, so a cost below ours is refused: a signature by a cheap
 * key would be a cheap way to guess. @param least of N, for tests. @throws BackupDamagedError
 */
export async function claimSeed(passphrase: string, kdf: ScryptCost, least: number = SCRYPT.N): Promise<Buffer> {
  if (kdf.N < least) throw new BackupDamagedError('its header', 'asks for a key that is cheap to guess')
  return claimSeedOf(await deriveKey(passphrase, kdf))
}

/** Hex, 32 bytes. */
export function claimPublicKey(seed: Uint8Array): string {
  const der = createPublicKey(privateKey(seed)).export({ type: 'spki', format: 'der' })
  return der.subarray(SPKI_HEAD.length).toString('hex')
}

/** 64 bytes. */
export function signClaim(seed: Uint8Array, claim: BackupClaim): Uint8Array {
  return sign(null, wordsOf(claim), privateKey(seed))
}

/** @param key hex. False for a key that is none. */
export function isClaimSigned(key: string, claim: BackupClaim, signature: Uint8Array): boolean {
  try {
    const der = Buffer.concat([SPKI_HEAD, Buffer.from(key, 'hex')])
    return verify(null, wordsOf(claim), createPublicKey({ key: der, format: 'der', type: 'spki' }), signature)
  } catch {
    return false
  }
}

function privateKey(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' })
}

function wordsOf({ keeper, claimant, vault, keeperNonce, claimantNonce }: BackupClaim): Buffer {
  return Buffer.from(['weft backup claim/1', keeper, claimant, vault, keeperNonce, claimantNonce, ''].join('\n'))
}
