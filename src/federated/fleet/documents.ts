/** Signed documents about a job: its offer, a site's joining, its start. Each is canonical JSON, signed by who says it. */
import { z } from 'zod'
import { isPeerId, verify } from '../../trust/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { AnalysisMath } from '../analysis/math.ts'
import { JobRefusedError } from '../plan/errors.ts'
import { planHash } from '../plan-hash.ts'
import { checkJobPlan, isAnalysis } from '../plan/job-plan.ts'
import type { JobPlan } from '../plan/job-plan.ts'
import { checkClusterSites, clusterSizes } from '../plan/clusters.ts'
import { checkNoise, checkPrivacy, cohortOf } from '../plan/cohort.ts'
import { checkBears, checkBuckets } from '../plan/robust.ts'
import { checkCohort } from '../plan/buffer.ts'
import { checkGossipSites } from '../plan/gossip.ts'
import { checkMembers } from '../plan/sharing.ts'
import { minimumOf } from '../plan/train-plan.ts'
import { ascii } from '../secagg/bytes.ts'
import { nodePrimitives } from '../secagg/primitives.ts'

const peer = z.string().max(128).refine(isPeerId)
const hash = z.string().regex(/^[0-9a-f]{64}$/)
const signature = z.string().regex(/^[0-9a-f]{128}$/)
const id = z.string().regex(/^[0-9a-f]{16}$/)
const text = z.string().min(1).max(200)
const time = z.iso.datetime()

const offerSchema = z.strictObject({
  schema: z.literal('weft.fed-job/1'),
  job: id,
  plan: z.unknown(),
  plan_hash: hash,
  author: peer,
  created: time,
  signature,
})
const joinSchema = z.strictObject({
  schema: z.literal('weft.fed-join/1'),
  job: id,
  plan_hash: hash,
  peer,
  site: text,
  signature,
})
const startSchema = z.strictObject({
  schema: z.literal('weft.fed-start/1'),
  job: id,
  plan_hash: hash,
  author: peer,
  /** What each member signed when it joined: nobody is in a roster without its word. */
  members: z.array(joinSchema).min(1).max(4096),
  signature,
})

export type Offer = z.output<typeof offerSchema>
export type Join = z.output<typeof joinSchema>
export type Start = z.output<typeof startSchema>

export interface Signer {
  readonly id: string
  sign(bytes: Uint8Array): Uint8Array
}

function signed<T extends object>(signer: Signer, document: T): T & { signature: string } {
  return { ...document, signature: Buffer.from(signer.sign(bytesOf(document))).toString('hex') }
}

function bytesOf(document: object): Uint8Array {
  const { signature: _, ...rest } = document as { signature?: unknown }
  return ascii(canonicalJson(rest))
}

function isSigned(by: string, document: { readonly signature: string }): boolean {
  return verify(by, bytesOf(document), new Uint8Array(Buffer.from(document.signature, 'hex')))
}

/** @throws FedPlanError for what runs in simulations alone, and for what no sites could carry out */
export function makeOffer(signer: Signer, plan: JobPlan, created: string): Offer {
  checkRuns(plan)
  const hashed = hex(planHash(plan))
  const draft = { schema: 'weft.fed-job/1' as const, plan, plan_hash: hashed, author: signer.id, created }
  const job = hex(nodePrimitives.sha256(ascii(canonicalJson(draft)))).slice(0, 16)
  return signed(signer, { ...draft, job })
}

/** Whether sites can carry a plan out over a mesh, whoever says so. @throws FedPlanError */
function checkRuns(plan: JobPlan): void {
  if (isAnalysis(plan)) {
    AnalysisMath.check(plan, Math.max(3, minimumOf(plan).sites))
    return
  }
  checkBuckets(plan)
  checkPrivacy(plan)
}

/** The same of those who have joined. @throws FedPlanError */
function checkSites(plan: JobPlan, members: readonly Join[]): void {
  checkMembers(plan, members.length)
  if (isAnalysis(plan)) {
    AnalysisMath.check(plan, members.length)
    return
  }
  checkBears(plan, members.length)
  checkCohort(plan, members.length)
  checkGossipSites(plan, members.length)
  const sites = members.map(({ site }) => site)
  checkClusterSites(plan, sites)
  checkNoise(plan, cohortOf(plan, members.length, clusterSizes(plan, sites)))
}

/** Canonical JSON; undefined: it is deeper than can be walked, or has a number that there is not. */
export function formOf(value: unknown): string | undefined {
  try {
    return canonicalJson(value)
  } catch {
    return undefined
  }
}

/** The offer with its plan checked. @throws JobRefusedError, FedPlanError */
export function checkOffer(value: unknown): Offer & { readonly plan: JobPlan } {
  const result = offerSchema.safeParse(value)
  if (!result.success) throw new JobRefusedError('of a peer', 'an offer is malformed')
  const offer = result.data
  const { signature: _, job, ...draft } = offer
  const form = formOf(draft)
  if (form === undefined) throw new JobRefusedError(job, 'its plan has no canonical form')
  if (hex(nodePrimitives.sha256(ascii(form))).slice(0, 16) !== job || !isSigned(offer.author, offer)) {
    throw new JobRefusedError(job, `it is not signed by ${offer.author}`)
  }
  if (hex(planHash(offer.plan)) !== offer.plan_hash) throw new JobRefusedError(job, 'its plan has another hash')
  const plan = checkJobPlan(offer.plan, `plan of job ${job}`)
  checkRuns(plan)
  return { ...offer, plan }
}

export function makeJoin(signer: Signer, { job, plan_hash }: Offer, site: string): Join {
  return signed(signer, { schema: 'weft.fed-join/1' as const, job, plan_hash, peer: signer.id, site })
}

/** @throws JobRefusedError */
export function checkJoin(value: unknown, { job, plan_hash }: Offer): Join {
  const result = joinSchema.safeParse(value)
  if (!result.success) throw new JobRefusedError(job, 'a join is malformed')
  const join = result.data
  if (join.job !== job || join.plan_hash !== plan_hash) throw new JobRefusedError(job, 'a join is for another plan')
  if (!isSigned(join.peer, join)) throw new JobRefusedError(job, `a join is not signed by ${join.peer}`)
  return join
}

/** @throws FedPlanError for a plan that so many sites cannot carry out together */
export function makeStart(
  signer: Signer,
  { job, plan_hash, plan }: Offer & { readonly plan: JobPlan },
  members: readonly Join[],
): Start {
  checkSites(plan, members)
  const sorted = members.toSorted((left, right) => (left.peer < right.peer ? -1 : 1))
  const draft = { schema: 'weft.fed-start/1' as const, job, plan_hash, author: signer.id, members: sorted }
  return signed(signer, draft)
}

/** @throws JobRefusedError, FedPlanError */
export function checkStart(value: unknown, offer: Offer & { readonly plan: JobPlan }): Start {
  const { job, author, plan_hash } = offer
  const result = startSchema.safeParse(value)
  if (!result.success) throw new JobRefusedError(job, 'a start is malformed')
  const start = result.data
  if (start.job !== job || start.plan_hash !== plan_hash || start.author !== author || !isSigned(author, start)) {
    throw new JobRefusedError(job, `a start is not of this plan, or not signed by ${author}`)
  }
  for (const member of start.members) checkJoin(member, offer)
  if (new Set(start.members.map((member) => member.peer)).size !== start.members.length) {
    throw new JobRefusedError(job, 'a start names a member twice')
  }
  checkSites(offer.plan, start.members)
  return start
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
