/**
 * Invites as text: `weft1-` and base64url without padding of
 *
 *   0 u8 version 1   1 u8[32] cluster (hash of its first entry)   33 u8[32] root key
 *   65 u8[8] invite  73 u8[16] secret   89 u8 number of addresses
 *   then for each: u16 length (big-endian), text   at the end u8[8]: first bytes of SHA-256 over all before
 *
 * The cluster pins everything: who redeems it believes nobody who does not stand in a log that begins with that entry.
 */
import { createHash } from 'node:crypto'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey, peerIdFromString } from '@libp2p/peer-id'
import { isPeerId } from '../identity.ts'
import { TokenFormError } from './errors.ts'

export const TOKEN_PREFIX = 'weft1-'
export const SECRET_BYTES = 16
export const INVITE_ID_BYTES = 8
const MAX_TOKEN = 4_096
const MAX_ADDRESSES = 8
const MAX_ADDRESS = 256
const CHECK_BYTES = 8
const HEAD_BYTES = 90

export interface InviteToken {
  /** Hex. */
  readonly cluster: string
  /** PeerId of the root key. */
  readonly root: string
  /** Hex. */
  readonly invite: string
  readonly secret: Uint8Array
  /** Multiaddrs that end in the id of the peer that made it. */
  readonly addresses: readonly string[]
}

export function encodeToken({ cluster, root, invite, secret, addresses }: InviteToken): string {
  const id = peerIdFromString(root)
  if (id.type !== 'Ed25519') throw new TokenFormError('the root key is of another kind')
  const parts: Uint8Array[] = [Uint8Array.of(1), Buffer.from(cluster, 'hex'), id.publicKey.raw]
  parts.push(Buffer.from(invite, 'hex'), secret, Uint8Array.of(addresses.length))
  for (const address of addresses) {
    const bytes = Buffer.from(address)
    parts.push(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes)
  }
  const body = Buffer.concat(parts)
  return TOKEN_PREFIX + Buffer.concat([body, checkOf(body)]).toString('base64url')
}

/** White space around it is let be. @throws TokenFormError, before anything is done with it */
export function decodeToken(text: string): InviteToken {
  if (text.length > MAX_TOKEN) throw new TokenFormError(`it has ${text.length} characters`)
  const trimmed = text.trim()
  if (trimmed === '') throw new TokenFormError('it is empty')
  if (!trimmed.startsWith(TOKEN_PREFIX)) throw new TokenFormError(`it does not begin with ${TOKEN_PREFIX}`)
  const encoded = trimmed.slice(TOKEN_PREFIX.length)
  const bytes = Buffer.from(encoded, 'base64url')
  // one spelling: padding, other alphabets and spare bits are somebody's damage
  if (bytes.toString('base64url') !== encoded) throw new TokenFormError('it has characters that no invite has')
  const body = bytes.subarray(0, -CHECK_BYTES)
  if (bytes.length < HEAD_BYTES + CHECK_BYTES || !checkOf(body).equals(bytes.subarray(-CHECK_BYTES)))
    throw new TokenFormError('a part of it is wrong or missing')
  if (body[0] !== 1) throw new TokenFormError(`it is of version ${body[0]}; this weft reads version 1`)
  return {
    cluster: body.subarray(1, 33).toString('hex'),
    root: rootOf(body.subarray(33, 65)),
    invite: body.subarray(65, 73).toString('hex'),
    secret: new Uint8Array(body.subarray(73, 89)),
    addresses: addressesOf(body),
  }
}

function checkOf(body: Uint8Array): Buffer {
  return createHash('sha256').update('weft invite 1\n').update(body).digest().subarray(0, CHECK_BYTES)
}

function rootOf(raw: Uint8Array): string {
  try {
    return peerIdFromPublicKey(publicKeyFromRaw(new Uint8Array(raw))).toString()
  } catch {
    throw new TokenFormError('its root key is none')
  }
}

function addressesOf(body: Buffer): string[] {
  const count = body[HEAD_BYTES - 1]!
  if (count < 1 || count > MAX_ADDRESSES) throw new TokenFormError(`it has ${count} addresses`)
  const addresses: string[] = []
  let at = HEAD_BYTES
  for (let index = 0; index < count; index++) {
    const length = at + 2 <= body.length ? body.readUInt16BE(at) : 0
    if (length < 1 || length > MAX_ADDRESS || at + 2 + length > body.length) throw new TokenFormError('it is cut off')
    const address = body.subarray(at + 2, at + 2 + length).toString('utf8')
    const peer = /^(?:\/[\w.:-]+)+\/p2p\/(\w+)$/.exec(address)?.[1]
    if (peer === undefined || !isPeerId(peer)) throw new TokenFormError('an address in it is none')
    addresses.push(address)
    at += 2 + length
  }
  if (at !== body.length) throw new TokenFormError('there is more behind its end')
  return addresses
}
