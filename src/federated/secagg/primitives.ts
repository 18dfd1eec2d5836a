/**
 * The primitives of `fl-secagg/1` behind one interface: node:crypto here, and whatever else computes the same (a
 * browser's, say). All keys are raw bytes; all are used once or for one session.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  sign,
  verify,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/** A stream of pseudo-random bytes. */
export interface KeyStream {
  /** The next `length` bytes, a multiple of 4; valid until the next call. */
  next(length: number): Uint8Array
}

export interface Hash {
  update(bytes: Uint8Array): void
  digest(): Uint8Array
}

export interface Primitives {
  /** SHA-256 of what comes in pieces. */
  hash(): Hash
  sha256(...parts: readonly Uint8Array[]): Uint8Array
  /** 32 bytes of HKDF-SHA256 (RFC 5869). */
  hkdf(secret: Uint8Array, salt: Uint8Array, info: Uint8Array): Uint8Array
  x25519Public(secret: Uint8Array): Uint8Array
  /** Undefined where the result would be all zero: the public key is of small order. */
  x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined
  ed25519Public(seed: Uint8Array): Uint8Array
  sign(seed: Uint8Array, message: Uint8Array): Uint8Array
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
  /** ChaCha20-Poly1305 with a zero nonce: a key seals one message. The tag is appended. */
  seal(key: Uint8Array, plain: Uint8Array, additional: Uint8Array): Uint8Array
  /** Undefined when the tag is not right. */
  open(key: Uint8Array, sealed: Uint8Array, additional: Uint8Array): Uint8Array | undefined
  /** ChaCha20 (RFC 8439) from counter 0 with a nonce of 12 bytes. */
  chacha20(key: Uint8Array, nonce: Uint8Array): KeyStream
}

/** DER of raw keys up to their 32 bytes (RFC 8410). */
const DER = {
  x25519: { secret: '302e020100300506032b656e04220420', open: '302a300506032b656e032100' },
  ed25519: { secret: '302e020100300506032b657004220420', open: '302a300506032b6570032100' },
} as const
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
const TAG_BYTES = 16
const TAG = { authTagLength: TAG_BYTES }
const NONCE = new Uint8Array(12)
const AEAD = 'chacha20-poly1305'

type Curve = keyof typeof DER

function secretKey(curve: Curve, raw: Uint8Array): KeyObject {
  const key = Buffer.concat([Buffer.from(DER[curve].secret, 'hex'), raw])
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
}

function openKey(curve: Curve, raw: Uint8Array): KeyObject {
  const key = Buffer.concat([Buffer.from(DER[curve].open, 'hex'), raw])
  return createPublicKey({ key, format: 'der', type: 'spki' })
}

function publicOf(curve: Curve, secret: Uint8Array): Uint8Array {
  return createPublicKey(secretKey(curve, secret)).export({ type: 'spki', format: 'der' }).subarray(-KEY_BYTES)
}

export const nodePrimitives: Primitives = {
  hash() {
    const hash = createHash('sha256')
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest() }
  },
  sha256: (...parts) => {
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    return hash.digest()
  },
  hkdf: (secret, salt, info) => new Uint8Array(hkdfSync('sha256', secret, salt, info, KEY_BYTES)),
  x25519Public: (secret) => publicOf('x25519', secret),
  x25519(secret, publicKey) {
    const keys = { privateKey: secretKey('x25519', secret), publicKey: openKey('x25519', publicKey) }
    try {
      const shared = diffieHellman(keys)
      return shared.every((byte) => byte === 0) ? undefined : shared
    } catch {
      // OpenSSL refuses to hand out an all-zero secret
      return undefined
    }
  },
  ed25519Public: (seed) => publicOf('ed25519', seed),
  sign: (seed, message) => sign(null, message, secretKey('ed25519', seed)),
  verify(publicKey, message, signature) {
    if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false
    try {
      return verify(null, message, openKey('ed25519', publicKey), signature)
    } catch {
      return false
    }
  },
  seal(key, plain, additional) {
    const cipher = createCipheriv(AEAD, key, NONCE, TAG)
    cipher.setAAD(additional, { plaintextLength: plain.length })
    return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  },
  open(key, sealed, additional) {
    if (sealed.length < TAG_BYTES) return undefined
    const decipher = createDecipheriv(AEAD, key, NONCE, TAG)
    decipher.setAAD(additional, { plaintextLength: sealed.length - TAG_BYTES })
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()])
    } catch {
      return undefined
    }
  },
  chacha20(key, nonce) {
    // node's IV is the counter, 4 bytes from the low end, and the nonce.
    const cipher = createCipheriv('chacha20', key, Buffer.concat([Buffer.alloc(4), nonce]))
    let last: Buffer | undefined
    return {
      next(length) {
        if (last !== undefined) free(last)
        return (last = cipher.update(zeros(length)))
      },
    }
  },
}

/**
 * Each update makes a buffer of its own; waiting for the collector, 32 members' masks would take ten vectors. Taking its
 * memory away at once keeps them at a few pieces, which stay in the processor's cache.
 */
function free({ buffer, length }: Buffer): void {
  if (buffer.byteLength === length && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0)
}

let zeroBytes = new Uint8Array(1 << 16)

function zeros(length: number): Uint8Array {
  if (zeroBytes.length < length) zeroBytes = new Uint8Array(length)
  return zeroBytes.subarray(0, length)
}
