/** An auditor's look at a job: each kept round is summed again from what its members signed, and held against what they were told. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { publicKeyBytes } from '../../trust/index.ts'
import { FedPlanError, JobRefusedError } from '../plan/errors.ts'
import { planHash } from '../plan-hash.ts'
import { JobView } from '../rounds/job-view.ts'
import { decodeTranscript } from '../rounds/transcript.ts'
import type { ReadTranscript } from '../rounds/transcript.ts'
import { auditKept } from './audit-round.ts'
import type { AuditedRound, Finding } from './audit-round.ts'
import { checkOffer, checkStart } from './documents.ts'
import { isReceiptSigned, readReceipt, RECEIPT_FILE, TRANSCRIPT_FILE } from './transcript-store.ts'
import type { Receipt } from './transcript-store.ts'

export interface AuditReport {
  readonly schema: 'weft.fed-audit/1'
  readonly job: string
  readonly plan: string
  /** No finding at all. */
  readonly ok: boolean
  readonly rounds: readonly AuditedRound[]
  /** About no round that is there. */
  readonly findings: readonly Finding[]
}

/** Folders below the one that is named. */
const DEPTH = 4
const MOST_FILES = 100_000
const MOST_BYTES = 2 ** 31

interface Found {
  offer: unknown
  start: unknown
  readonly transcripts: { readonly name: string; readonly read: ReadTranscript | Error }[]
  readonly receipts: { readonly name: string; readonly receipt: Receipt | undefined }[]
}

/**
 * @param folder an export, or a folder that has the exports of several members in it
 * @throws FedPlanError: it holds none; JobRefusedError: offer or start are not signed
 */
export async function auditFolder(folder: string): Promise<AuditReport> {
  const found: Found = { offer: undefined, start: undefined, transcripts: [], receipts: [] }
  await collect(folder, DEPTH, found, { files: 0 })
  if (found.offer === undefined || found.start === undefined) {
    throw new FedPlanError(folder, '', 'holds no offer.json and start.json: it is no export of a job with transcripts')
  }
  const offer = checkOffer(found.offer)
  const start = checkStart(found.start, offer)
  const members = start.members.map(({ peer, site }) => {
    const key = publicKeyBytes(peer)
    if (key === undefined) throw new JobRefusedError(offer.job, `${peer} has no Ed25519 key`)
    return { peer, key, site }
  })
  const view = new JobView({ id: offer.job, plan: offer.plan, planHash: planHash(offer.plan), members })
  const findings: Finding[] = []
  const receipts = usable(found, view, findings)
  const rounds = roundsOf(found, view, receipts, findings)
  for (const { session, peer, aggregator } of receipts) {
    if (rounds.some((round) => round.session === session)) continue
    const what = `${peer} was told a sum in session ${session}, and there is no transcript of it`
    if (findings.some((one) => one.what === what)) continue
    findings.push({ kind: 'transcript-missing', session, about: aggregator, what })
  }
  const linked = rounds.map((round) => ({ ...round, findings: [...round.findings, ...unlinked(round, rounds)] }))
  const ok = findings.length === 0 && linked.every((round) => round.findings.length === 0)
  return { schema: 'weft.fed-audit/1', job: offer.job, plan: offer.plan_hash, ok, rounds: linked, findings }
}

/**
 * A round whose successors all begin from something else than it makes, nor any other try of it does: members signed that
 * beginning when they advertised, so it is found without a receipt.
 */
function unlinked(round: AuditedRound, rounds: readonly AuditedRound[]): Finding[] {
  const { session, step, state, aggregator } = round
  if (step === null || state === null) return []
  const made = rounds.filter((other) => other.step === step).map((other) => other.state)
  const next = rounds.find((other) => other.step === step + 1 && !made.includes(other.from))
  const isLast = rounds.every((other) => other.step !== step || other.session <= session)
  if (next === undefined || !isLast) return []
  const what = `session ${next.session} begins from the state ${next.from}, and the sum of session ${session} gives ${state}`
  return [{ kind: 'wrong-state', session, about: aggregator, what }]
}

function roundsOf(
  { transcripts }: Found,
  view: JobView,
  receipts: readonly Receipt[],
  findings: Finding[],
): AuditedRound[] {
  const rounds = new Map<number, AuditedRound>()
  for (const { name, read } of transcripts) {
    if (read instanceof Error) {
      findings.push({ kind: 'transcript-damaged', session: null, about: null, what: `${name}: ${read.message}` })
      continue
    }
    const { session, job } = read.transcript
    if (job !== view.id) {
      findings.push({ kind: 'other-job', session: null, about: null, what: `${name} is of job ${job}` })
      continue
    }
    const of = receipts.filter((receipt) => receipt.session === session)
    const round = auditKept(view, read, of)
    const before = rounds.get(session)
    // Copies in several exports are one.
    if (before === undefined || round.findings.length > before.findings.length) rounds.set(session, round)
  }
  return [...rounds.values()].sort((left, right) => left.session - right.session)
}

/** Receipts of members, signed by them, each once. */
function usable({ receipts }: Found, view: JobView, findings: Finding[]): Receipt[] {
  const good = new Map<string, Receipt>()
  for (const { name, receipt } of receipts) {
    const what =
      receipt === undefined
        ? 'is no receipt'
        : receipt.job !== view.id
          ? `is of job ${receipt.job}`
          : !view.peers.includes(receipt.peer)
            ? `is of ${receipt.peer}, who is no member`
            : isReceiptSigned(receipt)
              ? undefined
              : `is not signed by ${receipt.peer}`
    if (what === undefined) good.set(`${receipt!.session} ${receipt!.peer}`, receipt!)
    else {
      findings.push({
        kind: 'receipt-refused',
        session: receipt?.session ?? null,
        about: receipt?.peer ?? null,
        what: `${name} ${what}`,
      })
    }
  }
  return [...good.values()]
}

async function collect(folder: string, depth: number, found: Found, seen: { files: number }): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new FedPlanError(folder, '', `cannot be read: ${(error as Error).message}`, error)
  })
  for (const entry of entries.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    const path = join(folder, entry.name)
    if (entry.isDirectory() && depth > 0) await collect(path, depth - 1, found, seen)
    if (!entry.isFile() || ++seen.files > MOST_FILES) continue
    if (entry.name === 'offer.json') found.offer ??= await jsonOf(path)
    else if (entry.name === 'start.json') found.start ??= await jsonOf(path)
    else if (TRANSCRIPT_FILE.test(entry.name)) found.transcripts.push({ name: path, read: await transcriptOf(path) })
    else if (RECEIPT_FILE.test(entry.name)) {
      found.receipts.push({ name: path, receipt: readReceipt(await bytesOf(path)) })
    }
  }
}

async function transcriptOf(path: string): Promise<ReadTranscript | Error> {
  try {
    return decodeTranscript(await bytesOf(path))
  } catch (error) {
    return error as Error
  }
}

async function bytesOf(path: string): Promise<Uint8Array> {
  const { size } = await stat(path)
  if (size > MOST_BYTES) throw new FedPlanError(path, '', `has ${size} bytes, and ${MOST_BYTES} are the most`)
  return new Uint8Array(await readFile(path))
}

async function jsonOf(path: string): Promise<unknown> {
  try {
    return JSON.parse(Buffer.from(await bytesOf(path)).toString('utf8'))
  } catch (error) {
    throw new FedPlanError(path, '', `cannot be read: ${(error as Error).message.slice(0, 200)}`, error)
  }
}
