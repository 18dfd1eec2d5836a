/**
 * The primitives of the noise handshake and stream on node:crypto. The cipher gets its key as a KeyObject made once:
 * with raw bytes the set-up of each call costs more than the cipher (2 KB round trip 259 -> 170 us on Node 24).
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
      const secret = sharedKey(privateKey.subarray(), publicKey.subarray())
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
  return {
    publicKey: pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(SPKI_HEAD.length),
    privateKey: pair.privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(PKCS8_HEAD.length),
  }
}

function generateX25519KeyPairFromSeed(seed: Uint8Array): KeyPair {
  const publicKey = createPublicKey(privateKeyObject(seed)).export({ type: 'spki', format: 'der' })
  return { publicKey: publicKey.subarray(SPKI_HEAD.length), privateKey: seed }
}

/** @throws Error for a public key of low order, like the reference implementation */
function sharedKey(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return diffieHellman({
    privateKey: privateKeyObject(privateKey),
    publicKey: createPublicKey({ key: Buffer.concat([SPKI_HEAD, publicKey]), format: 'der', type: 'spki' }),
  })
}

function privateKeyObject(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, raw]), format: 'der', type: 'pkcs8' })
}
