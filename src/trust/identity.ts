/** Who a peer is: an Ed25519 key whose public half is the PeerId, and signatures by it (RFC 8032). */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify as verifySignature } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { DamagedKeyFileError, KeyFileExistsError } from './errors.ts'
import { createKeyFile, readKeyFile } from './key-file.ts'
import { isSealed, openKeyFile, sealedOwner } from './sealed-key.ts'
import type { Passphrase } from './sealed-key.ts'

/** `PrivateKey` protobuf of libp2p (the same in go and rust): 4 bytes of tags, 32 of seed, 32 of public key. */
export const IDENTITY_BYTES = 68
const PROTOBUF_HEAD = Uint8Array.of(0x08, 0x01, 0x12, 0x40)
/** DER of an Ed25519 key up to its 32 bytes (RFC 8410). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex')
const SIGNATURE_BYTES = 64

export interface Identity {
  /** PeerId in base58, `12D3KooW...`. */
  readonly id: string
  readonly privateKey: Ed25519PrivateKey
  /** 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array
}

/**
 * The identity in `identity.key` of a keys folder; made there when there is none.
 * @throws LooseKeyFileError, DamagedKeyFileError, KeyFileAccessError, KeyLockedError, WrongPassphraseError
 */
export async function loadOrCreateIdentity(init: {
  readonly directory: string
  readonly passphrase?: Passphrase | undefined
}): Promise<Identity> {
  const path = join(init.directory, 'identity.key')
  const content = await openKeyFile(path, init.passphrase)
  if (content !== undefined) {
    const opened = parseIdentity(content, path)
    if (opened.id !== (await identityOwner(init.directory)))
      throw new DamagedKeyFileError(path, 'it is sealed for another peer')
    return opened
  }
  try {
    const made = newIdentity()
    await createKeyFile(path, privateKeyToProtobuf(made.privateKey))
    return made
  } catch (error) {
    // another process of the same home was quicker: its identity is the one
    if (!(error instanceof KeyFileExistsError)) throw error
    return loadOrCreateIdentity(init)
  }
}

/** Whose identity a file holds, sealed or not; undefined: there is none. @throws LooseKeyFileError, DamagedKeyFileError */
export async function identityOwner(directory: string): Promise<string | undefined> {
  const path = join(directory, 'identity.key')
  const content = await readKeyFile(path)
  if (content === undefined) return undefined
  return isSealed(content) ? sealedOwner(content, path) : parseIdentity(content, path).id
}

/** The PeerId of an identity file's bytes, else what kind of key the file is named after: what a sealed key says of itself. */
export function keyOwner(file: string, content: Uint8Array): string {
  return file === 'identity.key' ? parseIdentity(content, file).id : file.replace(/\.key$/, '')
}

/** A fresh identity that no file holds. */
export function newIdentity(): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const seed = privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(PKCS8_HEAD.length)
  const open = publicKey.export({ type: 'spki', format: 'der' }).subarray(SPKI_HEAD.length)
  return parseIdentity(Buffer.concat([PROTOBUF_HEAD, seed, open]), 'a new identity')
}

/** The identity of a seed (32 bytes) that was kept apart. */
export function identityOfSeed(seed: Uint8Array): Identity {
  const open = createPublicKey(privateKeyObject(seed)).export({ type: 'spki', format: 'der' })
  return parseIdentity(Buffer.concat([PROTOBUF_HEAD, seed, open.subarray(SPKI_HEAD.length)]), 'a seed')
}

/** @throws DamagedKeyFileError when the bytes are no key, or its halves do not belong together */
function parseIdentity(bytes: Uint8Array, path: string): Identity {
  if (bytes.length !== IDENTITY_BYTES)
    throw new DamagedKeyFileError(path, `it has ${bytes.length} bytes, an identity has ${IDENTITY_BYTES}`)
  if (PROTOBUF_HEAD.some((byte, index) => bytes[index] !== byte))
    throw new DamagedKeyFileError(path, 'it does not start like an Ed25519 key')
  const key = privateKeyObject(bytes.subarray(4, 36))
  const derived = createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(SPKI_HEAD.length)
  if (!derived.equals(bytes.subarray(36))) throw new DamagedKeyFileError(path, 'its two halves do not belong together')
  const privateKey = privateKeyFromProtobuf(bytes) as Ed25519PrivateKey
  return {
    id: peerIdFromPrivateKey(privateKey).toString(),
    privateKey,
    sign: (message) => sign(null, message, key),
  }
}

function privateKeyObject(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' })
}

/** Whether the peer signed these bytes. False, never an error, for an id that is none or has another kind of key. */
export function verify(peer: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false
  const key = publicKeyOf(peer)
  return key !== undefined && verifySignature(null, bytes, key, signature)
}

/** The same in node's thread pool, for whoever has many to check. Never rejects. */
export function verifyAside(peer: string, bytes: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const key = signature.length === SIGNATURE_BYTES ? publicKeyOf(peer) : undefined
  if (key === undefined) return Promise.resolve(false)
  return new Promise((resolve) => {
    verifySignature(null, bytes, key, signature, (error, isGood) => resolve(error === null && isGood))
  })
}

/** Of authors whose signatures come again and again: to make a key takes as long as to use it. */
const MAX_KEYS = 1024
const keys = new Map<string, KeyObject>()

function publicKeyOf(peer: string): KeyObject | undefined {
  const known = keys.get(peer)
  if (known !== undefined) return known
  try {
    const id = peerIdFromString(peer)
    if (id.type !== 'Ed25519') return undefined
    const key = createPublicKey({ key: Buffer.concat([SPKI_HEAD, id.publicKey.raw]), format: 'der', type: 'spki' })
    keys.set(peer, key)
    const [oldest] = keys.keys()
    if (keys.size > MAX_KEYS && oldest !== undefined) keys.delete(oldest)
    return key
  } catch {
    return undefined
  }
}

/** The 32 bytes of the Ed25519 key that a PeerId is; undefined for an id of another kind. */
export function publicKeyBytes(peer: string): Uint8Array | undefined {
  try {
    const id = peerIdFromString(peer)
    return id.type === 'Ed25519' ? new Uint8Array(id.publicKey.raw) : undefined
  } catch {
    return undefined
  }
}

/** Whether a text is the PeerId of an Ed25519 identity, in its one canonical spelling. */
export function isPeerId(text: string): boolean {
  if (ids.has(text)) return true
  try {
    const id = peerIdFromString(text)
    if (id.type !== 'Ed25519' || id.toString() !== text) return false
    ids.add(text)
    const [oldest] = ids
    if (ids.size > MAX_IDS && oldest !== undefined) ids.delete(oldest)
    return true
  } catch {
    return false
  }
}

/** Good ones that have been seen: those of a log come again and again, and each costs as much as all the rest of its entry. */
const MAX_IDS = 4_096
const ids = new Set<string>()
