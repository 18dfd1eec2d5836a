/** Transcripts of rounds that this peer aggregated, and receipts of those that it was told, of the last rounds of a job. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { needFolders, writeFileAtomic } from '../../store/index.ts'
import { verify } from '../../trust/index.ts'
import { canonicalJson } from '../../util/index.ts'
import type { CoordinatorNeeds } from '../rounds/coordinator-types.ts'
import type { SumReceipt } from '../rounds/member-types.ts'
import { encodeState } from '../rounds/state.ts'
import type { FedState } from '../rounds/state.ts'
import { encodeSumsTranscript } from '../rounds/sums-transcript.ts'
import { encodeTranscript } from '../rounds/transcript.ts'
import type { KeptBy } from '../rounds/transcript.ts'
import { ascii } from '../secagg/bytes.ts'
import type { Signer } from './documents.ts'

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const receiptSchema = z.strictObject({
  schema: z.literal('weft.fed-receipt/1'),
  job: z.string().max(128),
  session: z.int().min(0),
  peer: z.string().max(128),
  aggregator: z.string().max(128),
  sid: hash,
  sum: hash,
  state: hash.nullable(),
  signature: z.string().regex(/^[0-9a-f]{128}$/),
})

/** What a member says that it was told. */
export type Receipt = z.output<typeof receiptSchema>

function receiptBytes(receipt: object): Uint8Array {
  const { signature: _, ...rest } = receipt as { readonly signature?: unknown }
  return ascii(canonicalJson(rest))
}

/** The receipt in a file; undefined: it is none. */
export function readReceipt(bytes: Uint8Array): Receipt | undefined {
  try {
    return receiptSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch {
    return undefined
  }
}

/** Whether its member signed it. */
export function isReceiptSigned(receipt: Receipt): boolean {
  return verify(receipt.peer, receiptBytes(receipt), new Uint8Array(Buffer.from(receipt.signature, 'hex')))
}

export const TRANSCRIPT_FILE: RegExp = /^round-(\d{10})\.transcript$/
export const RECEIPT_FILE: RegExp = /^receipt-(\d{10})-[A-Za-z0-9]+\.json$/

export class TranscriptStore {
  readonly #folder: string
  readonly #self: Signer
  readonly #most: number

  /** @param most rounds of each kind */
  constructor(folder: string, self: Signer, most: number) {
    this.#folder = folder
    this.#self = self
    this.#most = most
  }

  /** For whoever aggregates. */
  keepers(job: string): Required<Pick<CoordinatorNeeds, 'keep' | 'keepSums'>> {
    const aggregator = this.#self.id
    const sign = (signed: Uint8Array): Uint8Array => this.#self.sign(signed)
    const by = (session: number, state: FedState): KeptBy => ({ job, session, aggregator, before: encodeState(state) })
    const write = (session: number, bytes: Uint8Array): Promise<void> =>
      this.#write(`round-${numbered(session)}.transcript`, bytes, TRANSCRIPT_FILE)
    return {
      keep: (session, state, kept) => write(session, encodeTranscript({ ...kept, ...by(session, state) }, sign)),
      keepSums: (session, state, kept) => write(session, encodeSumsTranscript(by(session, state), kept, sign)),
    }
  }

  async told(job: string, { session, aggregator, sid, digest, state }: SumReceipt): Promise<void> {
    const draft = {
      schema: 'weft.fed-receipt/1' as const,
      job,
      session,
      peer: this.#self.id,
      aggregator,
      sid: hex(sid),
      sum: hex(digest),
      state: state === null ? null : hex(state),
    }
    const receipt: Receipt = { ...draft, signature: hex(this.#self.sign(receiptBytes(draft))) }
    const bytes = Buffer.from(`${JSON.stringify(receipt, null, 2)}\n`)
    await this.#write(`receipt-${numbered(session)}-${this.#self.id}.json`, bytes, RECEIPT_FILE)
  }

  /** Of all that is kept, in the order of sessions: a transcript can be as large as memory. */
  async files(): Promise<{ readonly name: string; readonly path: string }[]> {
    const names = (await this.#names()).filter((name) => TRANSCRIPT_FILE.test(name) || RECEIPT_FILE.test(name))
    return names.map((name) => ({ name, path: join(this.#folder, name) }))
  }

  async #write(name: string, bytes: Uint8Array, kind: RegExp): Promise<void> {
    await needFolders(this.#folder, 0o700)
    await writeFileAtomic(join(this.#folder, name), bytes)
    const old = (await this.#names()).filter((each) => kind.test(each)).slice(0, -this.#most)
    await Promise.all(old.map((each) => rm(join(this.#folder, each), { force: true })))
  }

  async #names(): Promise<string[]> {
    // Numbers have leading zeros: by name is by session.
    return (await readdir(this.#folder).catch(() => [])).sort((left, right) => (left < right ? -1 : 1))
  }
}

function numbered(session: number): string {
  return String(session).padStart(10, '0')
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
