/** The same primitives by the noble packages: what a peer without node:crypto would run. */
import { chacha20, chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import type { Primitives } from '../../../src/federated/index.ts'

const NONCE = new Uint8Array(12)
const BLOCK = 64

function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

export const noblePrimitives: Primitives = {
  hash() {
    const hash = sha256.create()
    return { update: (bytes) => void hash.update(plain(bytes)), digest: () => hash.digest() }
  },
  sha256: (...parts) => sha256(plain(Buffer.concat(parts))),
  hkdf: (secret, salt, info) => hkdf(sha256, plain(secret), plain(salt), plain(info), 32),
  x25519Public: (secret) => x25519.getPublicKey(plain(secret)),
  x25519(secret, publicKey) {
    try {
      return x25519.getSharedSecret(plain(secret), plain(publicKey))
    } catch {
      return undefined
    }
  },
  ed25519Public: (seed) => ed25519.getPublicKey(plain(seed)),
  sign: (seed, message) => ed25519.sign(plain(message), plain(seed)),
  verify(publicKey, message, signature) {
    try {
      return ed25519.verify(plain(signature), plain(message), plain(publicKey))
    } catch {
      return false
    }
  },
  seal: (key, text, additional) => chacha20poly1305(plain(key), NONCE, plain(additional)).encrypt(plain(text)),
  open(key, sealed, additional) {
    try {
      return chacha20poly1305(plain(key), NONCE, plain(additional)).decrypt(plain(sealed))
    } catch {
      return undefined
    }
  },
  chacha20(key, nonce) {
    let at = 0
    return {
      next(length) {
        const block = Math.floor(at / BLOCK)
        const skip = at - block * BLOCK
        const bytes = chacha20(plain(key), plain(nonce), new Uint8Array(skip + length), undefined, block)
        at += length
        return bytes.slice(skip)
      },
    }
  },
}
