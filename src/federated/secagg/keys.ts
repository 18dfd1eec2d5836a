/** Keys of one session, each from its own domain and for one purpose and direction. */
import { ascii, compareBytes, concat, u16 } from './bytes.ts'
import { WeakKeyError } from './errors.ts'
import type { KeyStream, Primitives } from './primitives.ts'

/** A secret with the public key that was advertised for it. */
export interface KeyPair {
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
}

/** The other side of a pair, by its position in the roster. */
export interface PeerKey {
  readonly position: number
  readonly publicKey: Uint8Array
}

const MASK_NONCE = concat(ascii('mask'), new Uint8Array(8))

function agree(crypto: Primitives, own: KeyPair, peer: PeerKey): Uint8Array {
  const shared = crypto.x25519(own.secret, peer.publicKey)
  if (shared === undefined) {
    throw new WeakKeyError(`a public key of member ${peer.position} is of small order`, { party: peer.position })
  }
  return shared
}

function inOrder(one: Uint8Array, other: Uint8Array): Uint8Array {
  return compareBytes(one, other) <= 0 ? concat(one, other) : concat(other, one)
}

/** The key of the mask between two members, the same from both sides. @throws WeakKeyError */
export function pairKey(crypto: Primitives, sid: Uint8Array, own: KeyPair, peer: PeerKey): Uint8Array {
  const info = concat(ascii('fl-secagg/1 pair'), inOrder(own.publicKey, peer.publicKey))
  return crypto.hkdf(agree(crypto, own, peer), sid, info)
}

/** The keys of both directions between two members. @throws WeakKeyError */
export function channelKeys(
  crypto: Primitives,
  sid: Uint8Array,
  own: KeyPair & { readonly position: number },
  peer: PeerKey,
): { readonly out: Uint8Array; readonly in: Uint8Array } {
  const shared = agree(crypto, own, peer)
  const key = (from: number, to: number): Uint8Array => {
    const domain = concat(ascii('fl-secagg/1 chan'), inOrder(own.publicKey, peer.publicKey), u16(from), u16(to))
    return crypto.hkdf(shared, sid, domain)
  }
  return { out: key(own.position, peer.position), in: key(peer.position, own.position) }
}

export function selfKey(crypto: Primitives, sid: Uint8Array, seed: Uint8Array): Uint8Array {
  return crypto.hkdf(seed, sid, ascii('fl-secagg/1 self'))
}

/** The words of a mask, low bits first: one little-endian uint32 a coordinate. */
export function maskStream(crypto: Primitives, key: Uint8Array): KeyStream {
  return crypto.chacha20(key, MASK_NONCE)
}

/** AAD of the shares that i seals for j. */
export function shareContext(sid: Uint8Array, from: number, to: number): Uint8Array {
  return concat(sid, u16(from), u16(to))
}
