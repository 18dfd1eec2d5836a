/**
 * One entry, in bytes. It is the canonical JSON (RFC 8785) of `{body, signatures}`; its hash, which the next one names, is
 * the SHA-256 of the canonical body alone, so that a further signature makes no other entry of it. Signed is the body
 * behind a domain of its own: a signature for this log stands for nothing else, and the other way round.
 */
import { hash } from 'node:crypto'
import { canonicalJson, isCanonicalJson } from '../../util/index.ts'
import { EntryFormError } from './errors.ts'
import { LOG_LIMITS } from './limits.ts'
import { entrySchema } from './schema.ts'
import { SIGNING_DOMAIN } from './signatures.ts'
import type { Entry, EntryBody, Signature } from './types.ts'

/** Whoever signs: an identity, or the root key. */
export interface EntrySigner {
  readonly id: string
  sign(bytes: Uint8Array): Uint8Array
}

function hashOf(text: string): string {
  return hash('sha256', text, 'hex')
}

export function signBody(body: EntryBody, signer: EntrySigner): Signature {
  const sig = signer.sign(Buffer.from(SIGNING_DOMAIN + canonicalJson(body)))
  return { by: signer.id, sig: Buffer.from(sig).toString('hex') }
}

/** @throws EntryFormError where a field is out of bounds */
export function makeEntry(body: EntryBody, signatures: readonly Signature[]): Entry {
  const sorted = signatures.toSorted((a, b) => (a.by < b.by ? -1 : 1))
  return decodeEntry(Buffer.from(canonicalJson({ body, signatures: sorted })))
}

export function sealEntry(body: EntryBody, ...signers: readonly EntrySigner[]): Entry {
  return makeEntry(
    body,
    signers.map((signer) => signBody(body, signer)),
  )
}

/** Reads strictly; whether the signatures hold is not asked here. @throws EntryFormError */
export function decodeEntry(bytes: Uint8Array): Entry {
  if (bytes.length > LOG_LIMITS.entryBytes) throw new EntryFormError(`it has ${bytes.length} bytes`)
  const value = parsed(bytes)
  const result = entrySchema.safeParse(value.json)
  if (!result.success) throw new EntryFormError(firstIssue(result.error))
  if (!isCanonicalJson(value.text, value.json)) throw new EntryFormError('it is not in its one spelling')
  const { body, signatures } = result.data
  // in the one spelling the body stands between these two
  const text = value.text.slice('{"body":'.length, value.text.lastIndexOf(',"signatures":['))
  return { body, signatures, text, hash: hashOf(text), bytes: new Uint8Array(bytes) }
}

function parsed(bytes: Uint8Array): { readonly json: unknown; readonly text: string } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { json: JSON.parse(text) as unknown, text }
  } catch {
    throw new EntryFormError('it is no JSON')
  }
}

function firstIssue(error: {
  readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]
}): string {
  const [issue] = error.issues
  return `${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'not as it should be'}`.slice(0, 200)
}
