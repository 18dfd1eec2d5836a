/**
 * Group keys, sealed to members: X25519 with an ephemeral key, HKDF-SHA-256 over both public keys, cluster, epoch and member,
 * ChaCha20-Poly1305 with a zero nonce (each key seals once). One ephemeral key serves a whole rotation.
 */
import { createCipheriv, createDecipheriv, createPublicKey, hkdfSync } from 'node:crypto'
import type { CipherGCMTypes, KeyObject } from 'node:crypto'
import type { RandomSource } from '../../util/index.ts'
import { SealError } from './errors.ts'
import type { Rotation, SealedKey } from './types.ts'
import { agree, openingKeyOf, sealingKeyOf, x25519PrivateKey, x25519PublicKey } from './x25519.ts'

export const GROUP_KEY_BYTES = 32
/** Characters of a box: 32 bytes and a tag, in base64. */
export const BOX_TEXT = 64
const CIPHER = 'chacha20-poly1305' as unknown as CipherGCMTypes
const TAG_BYTES = 16
const NONCE = Buffer.alloc(12)

interface Context {
  readonly salt: string
  readonly epoch: number
  readonly peer: string
}

function rawPublic(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(-32)
}

function boxKey(shared: Uint8Array, ephemeral: Uint8Array, { salt, epoch, peer }: Context): Uint8Array {
  const info = `weft/1 group key\n${epoch}\n${peer}\n${Buffer.from(ephemeral).toString('hex')}`
  return new Uint8Array(hkdfSync('sha256', shared, Buffer.from(salt), info, 32))
}

function seal(secret: KeyObject, ephemeral: Uint8Array, context: Context, groupKey: Uint8Array): string {
  const key = boxKey(agree(secret, sealingKeyOf(context.peer)), ephemeral, context)
  const cipher = createCipheriv(CIPHER, key, NONCE, { authTagLength: TAG_BYTES })
  return Buffer.concat([cipher.update(groupKey), cipher.final(), cipher.getAuthTag()]).toString('base64')
}

/** @param salt the random number of the first entry: known to all members before there is an id, and to nobody else */
export function sealRotation(
  random: RandomSource,
  init: { readonly salt: string; readonly epoch: number; readonly peers: readonly string[] },
  groupKey: Uint8Array,
): Rotation {
  const secret = x25519PrivateKey(random.bytes(32))
  const ephemeral = rawPublic(secret)
  const sorted = [...init.peers].sort()
  const boxes = sorted.map((peer) => seal(secret, ephemeral, { ...init, peer }, groupKey)).join('')
  return { epoch: init.epoch, ephemeral: ephemeral.toString('hex'), boxes }
}

export function sealKey(random: RandomSource, context: Context, groupKey: Uint8Array): SealedKey {
  const secret = x25519PrivateKey(random.bytes(32))
  const ephemeral = rawPublic(secret)
  return { ephemeral: ephemeral.toString('hex'), box: seal(secret, ephemeral, context, groupKey) }
}

/** @param seed of the identity that it was sealed to. @throws SealError */
export function openKey(seed: Uint8Array, context: Context, { ephemeral, box }: SealedKey): Uint8Array {
  const raw = Buffer.from(ephemeral, 'hex')
  const key = boxKey(agree(openingKeyOf(seed), x25519PublicKey(raw)), raw, context)
  const bytes = Buffer.from(box, 'base64')
  const decipher = createDecipheriv(CIPHER, key, NONCE, { authTagLength: TAG_BYTES })
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    return new Uint8Array(Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()]))
  } catch {
    throw new SealError('it was not sealed to the identity of this home')
  }
}
