/** The primitives of the handshake: what the reference computes, and without reading keys that were made here out of bytes. */
import { pureJsCrypto } from '@chainsafe/libp2p-noise'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, it } from 'vitest'
import { startNode } from '../../src/net/libp2p-node.ts'
import { noiseCrypto } from '../../src/net/noise-crypto.ts'
import { networkSecrets } from '../../src/net/secrets.ts'
import { newIdentity } from '../../src/trust/index.ts'

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

it('shows the same signature of its key in every handshake, and makes it once', async () => {
  const [one, other] = [newIdentity(), newIdentity()]
  let signed = 0
  const counted = new Proxy(one.privateKey, {
    get(of, name) {
      if (name === 'sign') signed++
      return Reflect.get(of, name, of) as unknown
    },
  })
  const node = (privateKey: typeof counted) =>
    startNode(
      {
        privateKey,
        secrets: networkSecrets('', new Uint8Array(32).fill(7)),
        instance: new Uint8Array(16),
        note: () => undefined,
        keepsOut: () => false,
        prepare: () => undefined,
      },
      ['/ip4/127.0.0.1/tcp/0'],
    )
  const [called, caller] = [await node(counted), await node(other.privateKey)]
  const [before, address] = [signed, multiaddr(`${called.listening[0]!}/p2p/${one.id}`)]
  for (let time = 0; time < 4; time++) {
    const connection = await caller.libp2p.dial(address, { force: true })
    expect(connection.remotePeer.toString()).toBe(one.id)
    await connection.close()
  }
  expect(signed - before).toBe(1)
  await Promise.all([called, caller].map(async ({ libp2p }) => libp2p.stop()))
})
