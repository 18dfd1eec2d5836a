/** Hashes of entries, what is signed of a chain, and its anchor: a small file that says how far the chain was. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { parsedJson, replaceDurably } from '../durable.ts'
import { EMPTY_CHAIN } from './types.ts'
import type { ChainHead, ChainKind, ChainLink, ChainPlaces, ChainSigner } from './types.ts'

/** A head and its signature are some 250 bytes. */
const MAX_ANCHOR_BYTES = 4096

export function chainHash(domain: string, body: string): string {
  return createHash('sha256').update(domain).update(body).digest('hex')
}

/** What the site signs. */
export function headBytes(domain: string, { seq, hash }: ChainHead): Uint8Array {
  return Buffer.from(`${domain}${seq} ${hash}`)
}

export function headOf(hashes: readonly string[]): ChainHead {
  return hashes.length === 0 ? EMPTY_CHAIN : { seq: hashes.length, hash: hashes.at(-1)! }
}

/** @throws the error of the kind for a damaged chain; `needed`: an anchor must be there */
export function readAnchor<Entry extends ChainLink>(
  kind: ChainKind<Entry>,
  { anchor, path }: ChainPlaces,
  signer: ChainSigner,
  needed: boolean,
): ChainHead {
  if (!existsSync(anchor)) {
    if (!needed) return EMPTY_CHAIN
    throw kind.error('damaged', `the anchor ${anchor} of the ${kind.noun} ${path} is gone`, {})
  }
  const value = statSync(anchor).size > MAX_ANCHOR_BYTES ? undefined : parsedJson(readFileSync(anchor, 'utf8'))
  const { seq, hash, signature } = (value ?? {}) as Record<string, unknown>
  if (typeof seq === 'number' && typeof hash === 'string' && typeof signature === 'string') {
    const head = { seq, hash }
    const bytes = new Uint8Array(Buffer.from(signature, 'hex'))
    if (signer.verify(headBytes(kind.headDomain, head), bytes)) return head
  }
  throw kind.error('damaged', `the anchor ${anchor} is not one that this site signed`, {})
}

export function writeAnchor(domain: string, { anchor }: ChainPlaces, signer: ChainSigner, head: ChainHead): void {
  const signature = Buffer.from(signer.sign(headBytes(domain, head))).toString('hex')
  replaceDurably(anchor, `${JSON.stringify({ ...head, signature })}\n`)
}
