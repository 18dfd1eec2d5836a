/**
 * The primitives of the noise handshake and stream on node:crypto. The cipher gets its key as a KeyObject made once:
 * with raw bytes the set-up of each call costs more than the cipher (2 KB round trip 259 -> 170 us on Node 24). Private keys
 * are kept as they were made, and public ones come in as a JWK: to read DER again costs more than what is computed with it, three
 * times a handshake, in which nobody else is answered (1.5 -> 0.9 ms of the processor on Node 24).
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
} from 'node:crypto'
import type { CipherGCM, CipherGCMTypes, DecipherGCM, KeyObject } from 'node:crypto'
import { pureJsCrypto } from '@chainsafe/libp2p-noise'
import type { ICryptoInterface, KeyPair } from '@chainsafe/libp2p-noise'
import { Uint8ArrayList } from 'uint8arraylist'
import { hmac } from './secrets.ts'

/** Its list is of an older uint8arraylist; both know each other's instances by a symbol. */
type Bytes = Parameters<ICryptoInterface['hashSHA256']>[0]

/** node:crypto types authenticated ciphers by their GCM names. */
const CIPHER = 'chacha20-poly1305' as unknown as CipherGCMTypes
const TAG_BYTES = 16
const TAG = { authTagLength: TAG_BYTES }
/** Up to here one update of joined bytes is quicker than an update a part. */
const JOIN_BYTES = 16_384
/** By the array that noise has of it. */
const KEPT = new WeakMap<Uint8Array, KeyObject>()
/** DER of an X25519 key up to its 32 bytes (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex')
const SPKI_HEAD = Buffer.from('302a300506032b656e032100', 'hex')

/** @param handshakeKey mixed into every shared secret: without it not even the responder's identity can be read */
export function noiseCrypto(handshakeKey: Uint8Array | undefined): ICryptoInterface {
  // noise keeps one key array a direction, for the life of the connection
  const keys = new WeakMap<Uint8Array, KeyObject>()
  const keyOf = (raw: Uint8Array): KeyObject => {
    let key = keys.get(raw)
    if (key === undefined) keys.set(raw, (key = createSecretKey(raw)))
    return key
  }
  return {
    ...pureJsCrypto,
    hashSHA256: (data) => createHash('sha256').update(data.subarray()).digest(),
    generateX25519KeyPair,
    generateX25519KeyPairFromSeed,
    generateX25519SharedKey: (privateKey, publicKey) => {
      const secret = sharedKey(keyObjectOf(privateKey), publicKey.subarray())
      return handshakeKey === undefined ? secret : hmac(handshakeKey, secret)
    },
    chaCha20Poly1305Encrypt: (plain, nonce, ad, key) => seal(createCipheriv(CIPHER, keyOf(key), nonce, TAG), plain, ad),
    chaCha20Poly1305Decrypt: (sealed, nonce, ad, key) =>
      unseal(createDecipheriv(CIPHER, keyOf(key), nonce, TAG), sealed, ad),
  }
}

function seal(cipher: CipherGCM, plain: Bytes, ad: Uint8Array): Bytes {
  if (ad.byteLength > 0) cipher.setAAD(ad)
  const out = new Uint8ArrayList()
  for (const part of parts(plain)) out.append(cipher.update(part))
  cipher.final()
  out.append(cipher.getAuthTag())
  return out as unknown as Bytes
}

/** @throws Error when the tag does not fit: noise then ends the connection */
function unseal(decipher: DecipherGCM, sealed: Bytes, ad: Uint8Array): Bytes {
  const length = sealed.byteLength - TAG_BYTES
  decipher.setAuthTag(sealed.subarray(length))
  if (ad.byteLength > 0) decipher.setAAD(ad)
  const out = new Uint8ArrayList()
  const body = sealed instanceof Uint8Array ? sealed.subarray(0, length) : sealed.sublist(0, length)
  for (const part of parts(body)) out.append(decipher.update(part))
  decipher.final()
  return out as unknown as Bytes
}

function parts(bytes: Bytes): Iterable<Uint8Array> {
  return bytes instanceof Uint8Array || bytes.byteLength <= JOIN_BYTES ? [bytes.subarray()] : bytes
}

function generateX25519KeyPair(): KeyPair {
  const pair = generateKeyPairSync('x25519')
  const privateKey = pair.privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(PKCS8_HEAD.length)
  KEPT.set(privateKey, pair.privateKey)
  return { publicKey: rawPublic(pair.publicKey), privateKey }
}

function generateX25519KeyPairFromSeed(seed: Uint8Array): KeyPair {
  return { publicKey: rawPublic(createPublicKey(privateKeyObject(seed))), privateKey: seed }
}

function rawPublic(key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' }).subarray(SPKI_HEAD.length)
}

/** Noise hands back the very array that it was given. */
function keyObjectOf(privateKey: Bytes): KeyObject {
  const kept = privateKey instanceof Uint8Array ? KEPT.get(privateKey) : undefined
  return kept ?? privateKeyObject(privateKey.subarray())
}

/** @throws Error for a public key of low order, like the reference implementation */
function sharedKey(privateKey: KeyObject, publicKey: Uint8Array): Uint8Array {
  const jwk = { kty: 'OKP', crv: 'X25519', x: Buffer.from(publicKey).toString('base64url') }
  return diffieHellman({ privateKey, publicKey: createPublicKey({ key: jwk, format: 'jwk' }) })
}

function privateKeyObject(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, raw]), format: 'der', type: 'pkcs8' })
}
