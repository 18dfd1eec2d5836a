/**
 * Signatures of a simulation: a hash over the public key and what is signed, in a hundredth of the time of Ed25519, which was
 * a quarter of a run. Who checks what, when, and what is refused is the product's; nobody here forges but by wrong bytes.
 */
import * as real from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export * from 'node:crypto'

const SPKI_HEAD_BYTES = 12
const publicKeys = new WeakMap<KeyObject, Uint8Array>()

/** As `sign` of node:crypto, for the one way in which the product calls it. */
export function sign(_algorithm: null, message: Uint8Array, key: KeyObject): Buffer {
  return seal(message, publicKeyOf(key))
}

type Told = (error: Error | null, isGood: boolean) => void

export function verify(_algorithm: null, message: Uint8Array, key: KeyObject, signature: Uint8Array): boolean
export function verify(_algorithm: null, message: Uint8Array, key: KeyObject, signature: Uint8Array, told: Told): void
export function verify(
  _algorithm: null,
  message: Uint8Array,
  key: KeyObject,
  signature: Uint8Array,
  told?: Told,
): boolean | void {
  const isGood = seal(message, publicKeyOf(key)).equals(signature)
  if (told === undefined) return isGood
  queueMicrotask(() => told(null, isGood))
}

/** SHA-512: as long as a signature of Ed25519. */
function seal(message: Uint8Array, publicKey: Uint8Array): Buffer {
  return real.hash('sha512', Buffer.concat([publicKey, message]), 'buffer')
}

function publicKeyOf(key: KeyObject): Uint8Array {
  const known = publicKeys.get(key)
  if (known !== undefined) return known
  const open = key.type === 'private' ? real.createPublicKey(key) : key
  const bytes = new Uint8Array(open.export({ type: 'spki', format: 'der' }).subarray(SPKI_HEAD_BYTES))
  publicKeys.set(key, bytes)
  return bytes
}
