/** An auditor's look at a job: each kept round is summed again from what its members signed, and held against what they were told. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { publicKeyBytes } from '../../trust/index.ts'
import { FedPlanError, JobRefusedError } from '../plan/errors.ts'
import { planHash } from '../plan-hash.ts'
import { JobView } from '../rounds/job-view.ts'
import { decodeSumsTranscript, isOfSums } from '../rounds/sums-transcript.ts'
import { decodeTranscript } from '../rounds/transcript.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { auditKept, isOfAggregator } from './audit-round.ts'
import type { AuditedRound, Finding, ReadRound } from './audit-round.ts'
import { auditResults } from './audit-signed.ts'
import type { AuditedResult, FoundResult } from './audit-signed.ts'
import { checkOffer, checkStart, formOf } from './documents.ts'
import { readSigned, SIGNED_FILE } from './signed-results.ts'
import { isVotedFor, VOTES_FILE } from './state-votes.ts'
import { isReceiptSigned, readReceipt, RECEIPT_FILE, TRANSCRIPT_FILE } from './transcript-store.ts'
import type { Receipt } from './transcript-store.ts'

export interface AuditReport {
  readonly schema: 'weft.fed-audit/1'
  readonly job: string
  readonly plan: string
  /** There is a round, and no finding at all. */
  readonly ok: boolean
  readonly rounds: readonly AuditedRound[]
  /** What members signed of each round. */
  readonly results: readonly AuditedResult[]
  /** About no round that is there. */
  readonly findings: readonly Finding[]
}

/** Folders below the one that is named. */
const DEPTH = 4
const MOST_FILES = 100_000
/** Of a transcript, an offer or a start, and a receipt. */
const MOST_BYTES = 2 ** 31
const MOST_DOCUMENT_BYTES = 64 << 20
const MOST_RECEIPT_BYTES = 1 << 16
const MOST_SIGNED_BYTES = 4 << 20

/** Paths, in the order of their names: transcripts are large, and are read one after the other. */
interface Found {
  readonly offers: string[]
  readonly starts: string[]
  readonly transcripts: string[]
  readonly receipts: string[]
  readonly signed: string[]
  readonly states: string[]
  readonly votes: string[]
}

/**
 * @param folder an export, or a folder that has the exports of several members in it
 * @throws FedPlanError: it holds none; JobRefusedError: offer or start are not signed
 */
export async function auditFolder(folder: string): Promise<AuditReport> {
  const found: Found = { offers: [], starts: [], transcripts: [], receipts: [], signed: [], states: [], votes: [] }
  await collect(folder, DEPTH, found, { files: 0 })
  const [offerPath, startPath] = [found.offers[0], found.starts[0]]
  if (offerPath === undefined || startPath === undefined) {
    throw new FedPlanError(folder, '', 'holds no offer.json and start.json: it is no export of a job')
  }
  const offerValue = await jsonOf(offerPath)
  const startValue = await jsonOf(startPath)
  const offer = checkOffer(offerValue)
  const start = checkStart(startValue, offer)
  const members = start.members.map(({ peer, site }) => {
    const key = publicKeyBytes(peer)
    if (key === undefined) throw new JobRefusedError(offer.job, `${peer} has no Ed25519 key`)
    return { peer, key, site }
  })
  const view = new JobView({ id: offer.job, plan: offer.plan, planHash: planHash(offer.plan), members })
  const findings: Finding[] = []
  await sameDocuments(found.offers, offerValue, findings)
  await sameDocuments(found.starts, startValue, findings)
  const receipts = await usable(found, view, findings)
  const rounds = await roundsOf(found, view, receipts, findings)
  const { transcripts } = offer.plan
  if (transcripts !== undefined || rounds.length > 0 || receipts.length > 0) {
    missing(rounds, receipts, transcripts ?? 0, findings)
  }
  const linked = rounds.map((round) => ({ ...round, findings: [...round.findings, ...unlinked(round, rounds)] }))
  const results = auditResults(view, await signedOf(found), linked, (kind, session, what) => {
    findings.push({ kind, session, about: null, what })
  })
  await unsigned(view, found, results, findings)
  const isRight = ({ findings: of }: { readonly findings: readonly Finding[] }): boolean => of.length === 0
  const ok =
    findings.length === 0 && linked.every(isRight) && results.every(isRight) && linked.length + results.length > 0
  return { schema: 'weft.fed-audit/1', job: offer.job, plan: offer.plan_hash, ok, rounds: linked, results, findings }
}

async function signedOf({ signed }: Found): Promise<FoundResult[]> {
  const files: FoundResult[] = []
  for (const path of signed) files.push({ path, signed: readSigned(await bytesOf(path, MOST_SIGNED_BYTES)) })
  return files
}

/** Models in the folder that are not what enough members signed, as the result of a sum or as the state that they stand for. */
async function unsigned(
  view: JobView,
  { states, votes }: Found,
  results: readonly AuditedResult[],
  findings: Finding[],
): Promise<void> {
  const good = results.filter(({ signers, needed }) => signers.length >= needed).map(({ model }) => model)
  if (good.length === 0) return
  for (const path of states) {
    const hash = nodePrimitives.sha256(await bytesOf(path, MOST_BYTES))
    const model = Buffer.from(hash).toString('hex')
    if (good.includes(model)) continue
    const beside = join(dirname(path), VOTES_FILE)
    if (votes.includes(beside) && isVotedFor(view, hash, await bytesOf(beside, MOST_SIGNED_BYTES))) continue
    findings.push({
      kind: 'model-unsigned',
      session: null,
      about: null,
      what: `${path} is the state ${model}, which no signed result names, nor enough members stand for`,
    })
  }
}

/** Who shows members different rosters, or another job, is not to be the one that is believed. */
async function sameDocuments(paths: readonly string[], first: unknown, findings: Finding[]): Promise<void> {
  const known = formOf(first)
  for (const path of paths.slice(1)) {
    if (formOf(await jsonOf(path)) === known) continue
    findings.push({ kind: 'other-job', session: null, about: null, what: `${path} is another than ${paths[0]}` })
  }
}

/**
 * Rounds that somebody was told of, that others stand on both sides of, or that nobody kept at all.
 * @param kept how many the plan asks each member to keep
 */
function missing(
  rounds: readonly AuditedRound[],
  receipts: readonly Receipt[],
  kept: number,
  findings: Finding[],
): void {
  const told = new Set<string>()
  for (const { session, peer, aggregator } of receipts) {
    if (rounds.some((round) => round.session === session)) continue
    const what = `${peer} was told a sum in session ${session}, and there is no transcript of it`
    if (told.has(what)) continue
    told.add(what)
    findings.push({ kind: 'transcript-missing', session, about: aggregator, what })
  }
  if (told.size > 0) return
  const miss = (what: string): void =>
    void findings.push({ kind: 'transcript-missing', session: null, about: null, what })
  if (rounds.length === 0) return miss('there is no transcript of any round')
  const steps = rounds.map(({ step }) => step).filter((step) => step !== null)
  // What cannot be read might be any of them.
  if (steps.length < rounds.length) return
  const last = Math.max(...steps)
  // Each keeps its last ones alone, those of a step that was made again among them.
  const first = Math.max(Math.min(...steps), last + 1 - kept + (steps.length - new Set(steps).size))
  for (let step = first; step < last; step++) {
    if (!steps.includes(step))
      return miss(`sum ${step} of the job, counted from 0, has no transcript, and one after it has`)
  }
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

/** Each transcript that its aggregator signed, once; whoever else changed one cannot speak in its name, nor hide it. */
async function roundsOf(
  { transcripts }: Found,
  view: JobView,
  receipts: readonly Receipt[],
  findings: Finding[],
): Promise<AuditedRound[]> {
  const rounds = new Map<string, AuditedRound>()
  const odd = (kind: string, session: number | null, what: string): void =>
    void findings.push({ kind, session, about: null, what })
  for (const path of transcripts) {
    const read = await transcriptOf(path)
    if (read instanceof Error) {
      odd('transcript-damaged', null, `${path}: ${read.message}`)
      continue
    }
    const { session, job, aggregator } = read.transcript
    if (job !== view.id) odd('other-job', null, `${path} is of job ${job}`)
    else if (!isOfAggregator(view, read)) odd('transcript-changed', session, `${path} is not signed by ${aggregator}`)
    else {
      // Copies in several exports are one.
      const digest = Buffer.from(nodePrimitives.sha256(read.signed)).toString('hex')
      if (rounds.has(digest)) continue
      const of = receipts.filter((receipt) => receipt.session === session)
      rounds.set(digest, auditKept(view, read, of))
    }
  }
  return [...rounds.values()].sort((left, right) => left.session - right.session)
}

/** Receipts of members, signed by them; one that says two things of a session says both. */
async function usable({ receipts }: Found, view: JobView, findings: Finding[]): Promise<Receipt[]> {
  const good = new Map<string, Receipt>()
  for (const path of receipts) {
    const receipt = await receiptOf(path)
    const what = faultOf(receipt, view)
    if (what !== undefined) {
      const [session, about] = [receipt?.session ?? null, null]
      findings.push({ kind: 'receipt-refused', session, about, what: `${path} ${what}` })
      continue
    }
    const { session, peer, sid, sum, aggregator, state } = receipt!
    const key = [session, peer, sid, sum, aggregator].join(' ')
    const known = good.get(key)
    // It is written once when the sum was told, and again with the state.
    if (known === undefined || known.state === null) good.set(key, receipt!)
    else if (state !== null && state !== known.state) good.set(`${key} ${state}`, receipt!)
  }
  return [...good.values()]
}

function faultOf(receipt: Receipt | undefined, view: JobView): string | undefined {
  if (receipt === undefined) return 'is no receipt'
  if (receipt.job !== view.id) return `is of job ${receipt.job}`
  if (!view.peers.includes(receipt.peer)) return `is of ${receipt.peer}, who is no member`
  return isReceiptSigned(receipt) ? undefined : `is not signed by ${receipt.peer}`
}

async function collect(folder: string, depth: number, found: Found, seen: { files: number }): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new FedPlanError(folder, '', `cannot be read: ${(error as Error).message}`, error)
  })
  for (const entry of entries.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    const path = join(folder, entry.name)
    if (entry.isDirectory() && depth > 0) await collect(path, depth - 1, found, seen)
    if (!entry.isFile()) continue
    if (++seen.files > MOST_FILES) throw new FedPlanError(folder, '', `has more than ${MOST_FILES} files`)
    if (entry.name === 'offer.json') found.offers.push(path)
    else if (entry.name === 'start.json') found.starts.push(path)
    else if (TRANSCRIPT_FILE.test(entry.name)) found.transcripts.push(path)
    else if (SIGNED_FILE.test(entry.name)) found.signed.push(path)
    else if (entry.name === 'state.bin') found.states.push(path)
    else if (entry.name === VOTES_FILE) found.votes.push(path)
    else if (RECEIPT_FILE.test(entry.name)) found.receipts.push(path)
  }
}

async function transcriptOf(path: string): Promise<ReadRound | Error> {
  try {
    const bytes = await bytesOf(path, MOST_BYTES)
    return isOfSums(bytes) ? decodeSumsTranscript(bytes) : decodeTranscript(bytes)
  } catch (error) {
    return error as Error
  }
}

async function receiptOf(path: string): Promise<Receipt | undefined> {
  const { size } = await stat(path)
  return size > MOST_RECEIPT_BYTES ? undefined : readReceipt(await bytesOf(path, MOST_RECEIPT_BYTES))
}

async function bytesOf(path: string, most: number): Promise<Uint8Array> {
  const { size } = await stat(path)
  if (size > most) throw new FedPlanError(path, '', `has ${size} bytes, and ${most} are the most`)
  const bytes = await readFile(path)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

async function jsonOf(path: string): Promise<unknown> {
  try {
    return JSON.parse(Buffer.from(await bytesOf(path, MOST_DOCUMENT_BYTES)).toString('utf8'))
  } catch (error) {
    throw new FedPlanError(path, '', `cannot be read: ${(error as Error).message.slice(0, 200)}`, error)
  }
}
