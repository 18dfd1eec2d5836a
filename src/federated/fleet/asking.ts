/** Documents between peers: who has a job, who joins it, whether it has started. */
import type { Network } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { JobAmbiguousError, JobRefusedError } from '../plan/errors.ts'
import type { JobPlan } from '../plan/job-plan.ts'
import { pipeOver } from '../rounds/pipe.ts'
import type { Message } from '../rounds/pipe.ts'
import { bodyOf, FED_PROTOCOL, RefusedByPeer } from '../rounds/wire.ts'
import { checkOffer, checkStart } from './documents.ts'
import type { Join, Offer, Start } from './documents.ts'

export interface Asking {
  readonly clock: Clock
  readonly network: Pick<Network, 'open'> | null
  readonly peers: () => readonly string[]
}

const ANSWER_MS = 5_000
/** A plan may have a thousand features. */
const MAX_DOCUMENT = 8 << 20

/** Ids of jobs; what looks like one is never a name. */
const ID = /^[0-9a-f]{16}$/

interface Question {
  readonly job: string
  readonly hash?: string | undefined
  /** Those of this name that are here. */
  readonly known?: readonly Offer[]
}

/**
 * The offer of this id that some connected peer has; checked, and of no other job, whatever a peer answers. Or the one
 * with this plan name, where all that answer have the same.
 * @throws JobAmbiguousError: peers have different ones of that name, or one of them has several
 */
export async function askFor(
  asking: Asking,
  { job, hash, known = [] }: Question,
  signal?: AbortSignal,
): Promise<Offer | undefined> {
  const answers = await Promise.all(asking.peers().map((peer) => offerOf(asking, peer, job)))
  signal?.throwIfAborted()
  const found = answers.filter((answer) => typeof answer === 'object')
  if (ID.test(job)) return found.find((offer) => offer.job === job)
  const named = found.filter(({ plan, plan_hash: own }) => plan.name === job && (hash ?? own) === own)
  const different = new Map([...known, ...named].map((offer) => [offer.job, offer]))
  const [one] = different.values()
  if (different.size > 1 || (answers.includes('several') && (hash === undefined || one === undefined)))
    throw new JobAmbiguousError(job, [...different.values()])
  return one
}

/** Undefined: the peer has none, or what it answers is none; `several`: more than one of that name. */
async function offerOf(
  asking: Asking,
  peer: string,
  job: string,
): Promise<(Offer & { readonly plan: JobPlan }) | 'several' | undefined> {
  try {
    return checkOffer(await ask(asking, peer, 'ask', { what: 'offer', job }))
  } catch (error) {
    return error instanceof RefusedByPeer && error.code === JobAmbiguousError.info.code ? 'several' : undefined
  }
}

/** Gives the author this site's word; the start, if there is one by now. The members that have it are asked as well. */
export async function sendJoin(
  asking: Asking,
  offer: Offer & { readonly plan: JobPlan },
  own: Join,
): Promise<Start | undefined> {
  const body = { job: offer.job }
  const answer = await ask(asking, offer.author, 'join', body, own).catch(() => undefined)
  if (answer === null) return undefined
  const questions = [
    () => Promise.resolve(answer),
    ...asking
      .peers()
      .filter((peer) => peer !== offer.author)
      .map((peer) => () => ask(asking, peer, 'ask', { what: 'start', job: offer.job })),
  ]
  for (const question of questions) {
    try {
      return checkStart(await question(), offer)
    } catch {
      // Somebody else may have it.
    }
  }
  return undefined
}

/** The roster, where the author has started with this site before it was told that it left. */
export async function startOf(asking: Asking, offer: Offer & { readonly plan: JobPlan }): Promise<Start | undefined> {
  try {
    return checkStart(await ask(asking, offer.author, 'ask', { what: 'start', job: offer.job }), offer)
  } catch {
    return undefined
  }
}

/** Tells a peer that this site takes no part any more. False: it was not reached. */
export async function sendLeave(asking: Asking, job: string, peer: string): Promise<boolean> {
  try {
    return (await ask(asking, peer, 'leave', { job })) !== undefined
  } catch (error) {
    // One that does not know the word, or the job any more, would not know it later.
    return error instanceof RefusedByPeer
  }
}

/** Certified sums of a peer that takes part in a job now. */
export async function progressOf(asking: Asking, peer: string, job: string): Promise<number | undefined> {
  const done = await ask(asking, peer, 'ask', { what: 'part', job }).catch(() => undefined)
  return typeof done === 'number' ? done : undefined
}

async function ask(asking: Asking, peer: string, kind: string, body: object, document?: object): Promise<unknown> {
  if (asking.network === null) return undefined
  const pipe = pipeOver(asking.clock, await asking.network.open(peer, FED_PROTOCOL))
  try {
    await pipe.send(kind, body, document === undefined ? undefined : Buffer.from(JSON.stringify(document)))
    const message = await pipe.next(ANSWER_MS)
    if (message.kind === 'refuse') throw new RefusedByPeer(bodyOf('refuse', message))
    return message.kind === 'document' ? documentOf(message) : undefined
  } finally {
    pipe.close()
  }
}

export function documentOf({ payload }: Message): unknown {
  if (payload.length > MAX_DOCUMENT) throw new JobRefusedError('of a peer', 'a document is too large')
  return JSON.parse(Buffer.from(payload).toString('utf8'))
}
