/** The primitives of the handshake: what the reference computes, and without reading keys that were made here out of bytes. */
import { pureJsCrypto } from '@chainsafe/libp2p-noise'
import { expect, it } from 'vitest'
import { noiseCrypto } from '../../src/net/noise-crypto.ts'

const crypto = noiseCrypto(undefined)

it('shares the secrets of the reference, whoever made the keys', () => {
  const seed = Uint8Array.from({ length: 32 }, (_, n) => n * 7)
  const makers = [
    () => crypto.generateX25519KeyPair(),
    () => crypto.generateX25519KeyPairFromSeed(seed),
    () => pureJsCrypto.generateX25519KeyPair(),
  ]
  for (const make of makers) {
    const [own, other] = [make(), pureJsCrypto.generateX25519KeyPair()]
    const secret = crypto.generateX25519SharedKey(own.privateKey, other.publicKey)
    expect(Buffer.from(secret)).toEqual(
      Buffer.from(pureJsCrypto.generateX25519SharedKey(own.privateKey, other.publicKey)),
    )
    expect(Buffer.from(secret)).toEqual(Buffer.from(crypto.generateX25519SharedKey(other.privateKey, own.publicKey)))
  }
  const { publicKey } = crypto.generateX25519KeyPairFromSeed(seed)
  expect(Buffer.from(publicKey)).toEqual(Buffer.from(pureJsCrypto.generateX25519KeyPairFromSeed(seed).publicKey))
})

it('keeps a key as it was made: its bytes are not read again', () => {
  const [own, other] = [crypto.generateX25519KeyPair(), crypto.generateX25519KeyPair()]
  const secret = crypto.generateX25519SharedKey(own.privateKey, other.publicKey)
  // bytes that were read would give another secret by now
  own.privateKey.fill(1)
  expect(crypto.generateX25519SharedKey(own.privateKey, other.publicKey)).toEqual(secret)
  const copy = own.privateKey.slice()
  expect(crypto.generateX25519SharedKey(copy, other.publicKey)).not.toEqual(secret)
})

it('refuses a public key of low order, and one of another length', () => {
  const { privateKey } = crypto.generateX25519KeyPair()
  expect(() => crypto.generateX25519SharedKey(privateKey, new Uint8Array(32))).toThrow()
  expect(() => crypto.generateX25519SharedKey(privateKey, new Uint8Array(31).fill(9))).toThrow()
})
