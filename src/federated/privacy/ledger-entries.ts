/** Entries of a privacy ledger: each is canonical JSON, chained by hash to the one before and signed by the site. */
import * as z from 'zod'
import { chainHash, EMPTY_CHAIN } from '../../store/index.ts'
import type { ChainHead } from '../../store/index.ts'
import { canonicalJson } from '../../util/index.ts'

const real = z.number()
const count = z.number().int().nonnegative()
const name = z.string().min(1).max(1000)
const hash = z.string().regex(/^[0-9a-f]{64}$/)

const gaussian = z.strictObject({ mechanism: z.literal('gaussian'), q: real, sigma: real, steps: count })
const distributed = z.strictObject({
  mechanism: z.literal('distributed'),
  q: real,
  steps: count,
  noise: z.strictObject({
    n: count,
    clip: real,
    f: count,
    d: count,
    shareSigma: real,
    mechanism: z.enum(['gaussian', 'skellam']),
    rounding: z.enum(['conditional', 'worst', 'none']),
  }),
})
const event = z.discriminatedUnion('mechanism', [gaussian, distributed])

/** Whose presence is hidden: one record (patient), or all records of one site. */
const unit = z.enum(['record', 'site'])

const cap = z.strictObject({ kind: z.literal('cap'), data: name, unit, epsilon: real.positive(), delta: real })
const charge = z.strictObject({ kind: z.literal('charge'), data: name, unit, job: name, round: count, event })
const signed = z.strictObject({ kind: z.literal('signed'), round: hash, set: hash })

export const entrySchema = z.strictObject({
  seq: count,
  previous: hash,
  /** Milliseconds since 1970, by the clock of the site. */
  wall: real,
  what: z.discriminatedUnion('kind', [cap, charge, signed]),
})

export type LedgerEvent = z.infer<typeof event>
export type PrivacyUnit = z.infer<typeof unit>
export type Cap = Omit<z.infer<typeof cap>, 'kind'>
export type Charge = Omit<z.infer<typeof charge>, 'kind'>
export type Entry = z.infer<typeof entrySchema>
export type EntryContent = Entry['what']

/** Hashed before each entry, and signed before each head: no other chain of the site has them. */
export const ENTRY_DOMAIN = 'weft privacy ledger/1'
export const HEAD_DOMAIN = 'weft privacy ledger head/1'

/** Where a ledger stands. Whoever remembers it can tell a ledger that went back. */
export type LedgerHead = ChainHead

export const EMPTY_HEAD: LedgerHead = EMPTY_CHAIN

export function entryHash(body: string): string {
  return chainHash(ENTRY_DOMAIN, body)
}

export function bodyOf(entry: Entry): string {
  return canonicalJson(entry)
}
