/** Messages as outsiders' scripts read and write them: docs/vectors.md, the events of the op "client". */
import { z } from 'zod'
import type { Message } from '../rounds/pipe.ts'

type Plain = Readonly<Record<string, unknown>>

const hexOf = (value: unknown): unknown => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value)
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))

const NAMES = {
  identity: 'identity_pk',
  channelKey: 'c_pk',
  maskKey: 's_pk',
  commitment: 'commitment',
  nonce: 'nonce',
  records: 'records',
  signature: 'signature',
} as const

function entryOf(entry: Plain): Plain {
  return Object.fromEntries(Object.entries(NAMES).map(([own, name]) => [name, hexOf(entry[own])]))
}

function renamed(list: unknown, names: Readonly<Record<string, string>>): Plain[] {
  return (list as Plain[]).map((one) =>
    Object.fromEntries(Object.entries(names).map(([own, name]) => [name, hexOf(one[own])])),
  )
}

/** What a message says; `{kind: ...}` for those that the script has no word for. */
export function eventOf({ kind, body, payload }: Message): Plain {
  switch (kind) {
    case 'advertise':
      return { advertise: entryOf(body['entry'] as Plain) }
    case 'roster':
      return { roster: (body['entries'] as Plain[]).map(entryOf) }
    case 'shares': {
      const data = renamed(body['sealed'], { position: 'to', data: 'data' })
      return { shares: { sid: hexOf(body['sid']), index: body['index'], data } }
    }
    case 'ciphertexts':
      return { ciphertexts: renamed(body['sealed'], { position: 'from', data: 'data' }) }
    case 'piece':
      return { piece: hexOf(payload) }
    case 'masked':
      return { masked: { digest: hexOf(body['digest']), signature: hexOf(body['signature']) } }
    case 'survivors':
      return { survivors: renamed(body['list'], { position: 'party', digest: 'digest', signature: 'signature' }) }
    case 'consistency':
      return { consistency: { signature: hexOf(body['signature']) } }
    case 'ballots':
      return { consistency: renamed(body['list'], { position: 'party', signature: 'signature' }) }
    case 'reveal': {
      const shares = body['shares'] as { owner: number; kind: 'b' | 's'; share: Uint8Array }[]
      const of = (which: 'b' | 's'): Plain =>
        Object.fromEntries(shares.filter((one) => one.kind === which).map(({ owner, share }) => [owner, hexOf(share)]))
      return { reveal: { b: of('b'), s: of('s') } }
    }
    case 'result':
      return { result: { members: body['members'], sum: hexOf(payload) } }
    default:
      return { [kind]: {} }
  }
}

const text = z.string().regex(/^(?:[0-9a-f]{2})*$/)
const entry = z.object({
  identity_pk: text,
  c_pk: text,
  s_pk: text,
  commitment: text,
  nonce: text,
  records: z.int(),
  signature: text,
})
const scripted = z.union([
  z.strictObject({ roster: z.array(entry) }),
  z.strictObject({ ciphertexts: z.array(z.object({ from: z.int(), data: text })) }),
  z.strictObject({ survivors: z.array(z.object({ party: z.int(), digest: text, signature: text })) }),
  z.strictObject({ consistency: z.array(z.object({ party: z.int(), signature: text })) }),
])

/** A message of an aggregator out of a script. @throws ZodError */
export function messageOf(event: unknown): { readonly kind: string; readonly body: object } {
  const value = scripted.parse(event)
  if ('roster' in value) {
    const entries = value.roster.map((one) => ({
      identity: bytesOf(one.identity_pk),
      channelKey: bytesOf(one.c_pk),
      maskKey: bytesOf(one.s_pk),
      commitment: bytesOf(one.commitment),
      nonce: bytesOf(one.nonce),
      records: one.records,
      signature: bytesOf(one.signature),
    }))
    return { kind: 'roster', body: { entries } }
  }
  if ('ciphertexts' in value) {
    const sealed = value.ciphertexts.map(({ from, data }) => ({ position: from, data: bytesOf(data) }))
    return { kind: 'ciphertexts', body: { sealed } }
  }
  if ('survivors' in value) {
    const list = value.survivors.map(({ party, digest, signature }) => ({
      position: party,
      digest: bytesOf(digest),
      signature: bytesOf(signature),
    }))
    return { kind: 'survivors', body: { list } }
  }
  const list = value.consistency.map(({ party, signature }) => ({ position: party, signature: bytesOf(signature) }))
  return { kind: 'ballots', body: { list } }
}
