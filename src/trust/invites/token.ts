/**
 * Invites as text: `weft1-` and base64url without padding of
 *
 *   0 u8 version 1   1 u8[32] cluster (hash of its first entry)   33 u8[8] invite   41 u8[16] secret
 *   57 u8 number of addresses
 *   then for each: u16 length (big-endian), text   at the end u8[8]: first bytes of SHA-256 over all before
 *
 * The cluster pins everything, the root key too: who redeems it believes nobody who does not stand in a log that begins
 * with that entry.
 */
import { createHash } from 'node:crypto'
import { parseAddress } from '../../net/index.ts'
import { isPeerId } from '../identity.ts'
import { InviteAddressError, TokenFormError } from './errors.ts'

export const TOKEN_PREFIX = 'weft1-'
export const SECRET_BYTES = 16
export const INVITE_ID_BYTES = 8
const MAX_TOKEN = 4_096
const MAX_ADDRESSES = 8
const MAX_ADDRESS = 256
const CHECK_BYTES = 8
const HEAD_BYTES = 58

export interface InviteToken {
  /** Hex. */
  readonly cluster: string
  /** Hex. */
  readonly invite: string
  readonly secret: Uint8Array
  /** Multiaddrs that end in the id of the peer that made it. */
  readonly addresses: readonly string[]
}

/** @throws InviteAddressError */
export function encodeToken({ cluster, invite, secret, addresses }: InviteToken): string {
  const why = refusedAddresses(addresses)
  if (why !== undefined) throw new InviteAddressError(why)
  const parts: Uint8Array[] = [Uint8Array.of(1), Buffer.from(cluster, 'hex')]
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
  if (!/^[\w-]*$/.test(encoded)) throw new TokenFormError('it has characters that no invite has')
  if (isCutOff(bytes)) throw new TokenFormError('it is cut off: its end is missing')
  const body = bytes.subarray(0, -CHECK_BYTES)
  // one spelling: spare bits are somebody's damage
  if (bytes.toString('base64url') !== encoded || !checkOf(body).equals(bytes.subarray(-CHECK_BYTES)))
    throw new TokenFormError('a part of it is wrong or missing')
  if (body[0] !== 1) throw new TokenFormError(`it is of version ${body[0]}; this weft reads version 1`)
  return {
    cluster: body.subarray(1, 33).toString('hex'),
    invite: body.subarray(33, 41).toString('hex'),
    secret: new Uint8Array(body.subarray(41, 57)),
    addresses: addressesOf(body),
  }
}

/** By what it says itself of its addresses: a wrong length among them looks the same, and the remedy is the same too. */
function isCutOff(bytes: Buffer): boolean {
  let at = HEAD_BYTES
  const count = bytes[HEAD_BYTES - 1] ?? 0
  for (let index = 0; index < count && at + 2 <= bytes.length; index++) at += 2 + bytes.readUInt16BE(at)
  return bytes.length < at + CHECK_BYTES
}

function checkOf(body: Uint8Array): Buffer {
  return createHash('sha256').update('weft invite 1\n').update(body).digest().subarray(0, CHECK_BYTES)
}

/** Why these are no addresses for an invite: each is dialled by whoever redeems it, before anybody has proven anything. */
export function refusedAddresses(addresses: readonly string[]): string | undefined {
  if (addresses.length < 1 || addresses.length > MAX_ADDRESSES) return `it has ${addresses.length} addresses`
  const peers = new Set(addresses.map(peerOf))
  if (peers.has(undefined)) return 'an address in it is none'
  return peers.size > 1 ? 'its addresses lead to several peers' : undefined
}

function peerOf(address: string): string | undefined {
  const peer = address.length > MAX_ADDRESS ? undefined : parseAddress(address)?.peer
  return typeof peer === 'string' && isPeerId(peer) ? peer : undefined
}

function addressesOf(body: Buffer): string[] {
  const count = body[HEAD_BYTES - 1]!
  const addresses: string[] = []
  let at = HEAD_BYTES
  for (let index = 0; index < count; index++) {
    const length = at + 2 <= body.length ? body.readUInt16BE(at) : 0
    if (length < 1 || length > MAX_ADDRESS || at + 2 + length > body.length) throw new TokenFormError('it is cut off')
    addresses.push(body.subarray(at + 2, at + 2 + length).toString('utf8'))
    at += 2 + length
  }
  if (at !== body.length) throw new TokenFormError('there is more behind its end')
  const why = refusedAddresses(addresses)
  if (why !== undefined) throw new TokenFormError(why)
  return addresses
}
