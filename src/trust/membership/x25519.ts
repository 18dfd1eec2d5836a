/**
 * The X25519 keys that belong to an Ed25519 identity (RFC 7748, section 4.1: the same curve in two forms), so that a group
 * key can be sealed to a member of whom nothing but its PeerId is known.
 */
import { createHash, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { peerIdFromString } from '@libp2p/peer-id'
import { SealError } from './errors.ts'

const P = 2n ** 255n - 19n
const PKCS8_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex')
const SPKI_HEAD = Buffer.from('302a300506032b656e032100', 'hex')

function modulo(value: bigint): bigint {
  const rest = value % P
  return rest < 0n ? rest + P : rest
}

/** By Fermat: p is prime. */
function inverse(value: bigint): bigint {
  let [result, base, exponent] = [1n, modulo(value), P - 2n]
  while (exponent > 0n) {
    if ((exponent & 1n) === 1n) result = modulo(result * base)
    base = modulo(base * base)
    exponent >>= 1n
  }
  return result
}

/** u = (1 + y) / (1 - y). 32 bytes each, little-endian. @throws SealError for the one point that has no such form */
export function montgomeryOf(edwards: Uint8Array): Uint8Array {
  const bytes = Buffer.from(edwards).reverse()
  bytes[0]! &= 0x7f
  const y = BigInt(`0x${bytes.toString('hex')}`)
  if (modulo(1n - y) === 0n) throw new SealError('a member has no key that can be sealed to')
  const u = modulo((1n + y) * inverse(1n - y))
  return new Uint8Array(Buffer.from(u.toString(16).padStart(64, '0'), 'hex').reverse())
}

export function x25519PublicKey(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: 'der', type: 'spki' })
}

export function x25519PrivateKey(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, raw]), format: 'der', type: 'pkcs8' })
}

/** Of members whose boxes are made again at each rotation: the form of a key costs more than its use. */
const MAX_KEYS = 8_192
const keys = new Map<string, KeyObject>()

/** @throws SealError */
export function sealingKeyOf(peer: string): KeyObject {
  const known = keys.get(peer)
  if (known !== undefined) return known
  const id = peerIdFromString(peer)
  if (id.type !== 'Ed25519') throw new SealError('a member has another kind of key')
  const key = x25519PublicKey(montgomeryOf(id.publicKey.raw))
  keys.set(peer, key)
  const [oldest] = keys.keys()
  if (keys.size > MAX_KEYS && oldest !== undefined) keys.delete(oldest)
  return key
}

/** @param seed the first 32 bytes of the Ed25519 private key */
export function openingKeyOf(seed: Uint8Array): KeyObject {
  return x25519PrivateKey(createHash('sha512').update(seed).digest().subarray(0, 32))
}

/** Refuses an all-zero result (a key of small order): node does so itself, with an error of its own. @throws SealError */
export function agree(privateKey: KeyObject, publicKey: KeyObject): Uint8Array {
  try {
    return diffieHellman({ privateKey, publicKey })
  } catch {
    throw new SealError('the two keys agree on nothing')
  }
}
