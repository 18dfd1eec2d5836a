/** The messages of `/weft/fed/1`: what each holds, checked before anything is believed. docs/federated.md lists them. */
import { z } from 'zod'
import { WeftError } from '../../errors.ts'
import { FederatedError } from '../errors.ts'
import { JobRefusedError } from '../plan/errors.ts'
import type { Reveal } from '../secagg/messages.ts'
import { PipeSilentError } from './pipe.ts'
import type { Message, Pipe } from './pipe.ts'

export const FED_PROTOCOL = '/weft/fed/1'

/** Members of a roster; sites use a complete graph, whose shares have 255 places. */
const MOST_MEMBERS = 4096
const bytes = (length: number): z.ZodType<Uint8Array> =>
  z
    .instanceof(Uint8Array)
    .refine((value) => value.length === length)
    .transform((value) => new Uint8Array(value))
const anyBytes = z
  .instanceof(Uint8Array)
  .refine((value) => value.length <= 4096)
  .transform((value) => new Uint8Array(value))
const hash = bytes(32)
const signature = bytes(64)
const position = z.int().min(0).max(MOST_MEMBERS)
const whole = z.int().min(0).max(0xffffffff)
const id = z.string().min(1).max(128)
const peers = z.array(id).max(MOST_MEMBERS)

const entry = z.object({
  identity: hash,
  channelKey: hash,
  maskKey: hash,
  commitment: hash,
  nonce: bytes(16),
  records: whole,
  signature,
})
const sealed = z.object({ position, data: anyBytes })
const vote = z.object({ peer: id, signature })

export const BODIES = {
  /** Member to aggregator: what it has, and what it is bound to. The vote is its signature under its state. */
  hello: z.object({
    job: id,
    plan: hash,
    next: whole,
    done: whole,
    state: hash,
    vote: signature,
    bound: peers.nullish(),
    /** Of a delegate that has signed a sum of clusters: by their delegates. */
    clusters: peers.nullish(),
    /** Whether it knows that t members stand for its state. */
    certified: z.boolean().optional(),
    /** Reads coordinates in the clear as float32. Versions before this one know float64 alone. */
    float32: z.boolean().optional(),
    /** Of a member that comes to mix its model: rounds that are behind it. `asks`: only whether that one is behind the receiver. */
    gossip: z.object({ step: whole, asks: z.boolean().optional() }).optional(),
  }),
  /** The round of a gossip is behind the sender. */
  ahead: z.object({}),
  here: z.object({}),
  /** Somebody is missing; also a sign of life. */
  wait: z.object({ why: z.string().max(1000), peers }),
  /** Send the state that you have. */
  pull: z.object({}),
  /** A state, encoded, with the votes of at least t members: the receiver takes it up and comes again. */
  push: z.object({ next: whole, votes: z.array(vote).max(MOST_MEMBERS) }),
  /** A state that only the receiver has and that too few stand for: it goes back to the one before. */
  back: z.object({ done: whole }),
  begin: z.object({ session: whole, state: hash, float32: z.boolean().optional() }),
  /** Without secure sums: the contribution itself (`contributionBytes`), its coordinates as float32 or, where this is not said, float64. */
  plain: z.object({ float32: z.boolean().optional() }),
  /** `upper`: of a cluster's delegate, for the sum of clusters. */
  advertise: z.object({ entry, upper: entry.optional() }),
  roster: z.object({ entries: z.array(entry).max(MOST_MEMBERS) }),
  shares: z.object({ sid: hash, index: position, sealed: z.array(sealed).max(MOST_MEMBERS) }),
  ciphertexts: z.object({ sealed: z.array(sealed).max(MOST_MEMBERS) }),
  piece: z.object({}),
  masked: z.object({ digest: hash, signature, upper: z.object({ digest: hash, signature }).optional() }),
  survivors: z.object({ list: z.array(z.object({ position, digest: hash, signature })).max(MOST_MEMBERS) }),
  consistency: z.object({ position, signature }),
  ballots: z.object({ list: z.array(z.object({ position, signature })).max(MOST_MEMBERS) }),
  reveal: z.object({
    shares: z.array(z.object({ owner: position, kind: z.enum(['b', 's']), share: hash })).max(MOST_MEMBERS),
  }),
  /** The sum, packed, or those of all buckets one behind the other; or in the clear without secure sums, or all contributions one behind the other. */
  result: z.object({
    members: peers,
    /** Of each bucket or cluster that was opened. */
    groups: z
      .array(z.object({ index: position, members: peers }))
      .max(MOST_MEMBERS)
      .optional(),
    /** Of sums in the clear, as of `plain`. */
    float32: z.boolean().optional(),
  }),
  /** The vote for the new state, and the signature under what came of the round. */
  applied: z.object({ state: hash, signature, result: signature.optional() }),
  certificate: z.object({
    state: hash,
    votes: z.array(vote).max(MOST_MEMBERS),
    results: z.array(vote).max(MOST_MEMBERS).optional(),
  }),
  /**
   * The end of the exchange. `later`: come again. `party`: whose message it is about, by its place in the roster; `stage`:
   * of which stage it was.
   */
  refuse: z.object({
    code: z.string().max(40),
    kind: z.string().max(40),
    message: z.string().max(2000),
    later: z.boolean(),
    party: position.optional(),
    stage: z.string().max(40).optional(),
  }),
} as const

export type Kind = keyof typeof BODIES
export type Body<K extends Kind> = z.output<(typeof BODIES)[K]>
export type Vote = z.output<typeof vote>

/** The other side refuses; `later` says whether to come again. */
export class RefusedByPeer extends Error {
  override readonly name = 'RefusedByPeer'
  readonly code: string
  readonly kind: string
  readonly later: boolean
  readonly party: number | undefined
  readonly stage: string | undefined
  constructor({ code, kind, message, later, party, stage }: Body<'refuse'>) {
    super(message)
    this.code = code
    this.kind = kind
    this.later = later
    this.party = party
    this.stage = stage
  }
}

/** What logs say of an error: `stage` and `about` (PeerId) where it names them. */
export function factsOf(error: unknown): {
  readonly why: string
  readonly code?: string | undefined
  readonly stage?: string
  readonly about?: string
} {
  const { message: why, code } = error as Error & { readonly code?: string }
  const told = error instanceof WeftError ? error.details : {}
  const stage = error instanceof RefusedByPeer ? error.stage : told['stage']
  const about = told['member']
  return {
    why,
    code,
    ...(typeof stage === 'string' ? { stage } : {}),
    ...(typeof about === 'string' ? { about } : {}),
  }
}

/** @throws JobRefusedError when it is malformed */
export function bodyOf<K extends Kind>(kind: K, message: Message): Body<K> {
  const result = BODIES[kind].safeParse(message.body)
  if (result.success) return result.data as Body<K>
  throw new JobRefusedError('of a peer', `a message "${kind}" is malformed: ${result.error.issues[0]?.path.join('.')}`)
}

/** The next message, of one of these kinds. @throws RefusedByPeer, JobRefusedError, PipeSilentError, why the pipe ended */
export async function expectOf<K extends Kind>(
  pipe: Pipe,
  kinds: readonly K[],
  wait: number,
): Promise<Message & { kind: K }> {
  for (;;) {
    const message = await pipe.next(wait)
    if ((kinds as readonly string[]).includes(message.kind)) return message as Message & { kind: K }
    if (message.kind === 'wait') continue
    if (message.kind === 'refuse') throw new RefusedByPeer(bodyOf('refuse', message))
    throw new JobRefusedError('of a peer', `"${message.kind}" came in place of ${kinds.join(' or ')}`)
  }
}

/**
 * @param isOwn what happened is this site's own affair: words about its data, its files or its budget stay here, and the
 *   code alone leaves
 */
export async function sendRefusal(pipe: Pipe, error: unknown, later: boolean, isOwn = false): Promise<void> {
  const known = error instanceof WeftError ? error : undefined
  const { kind = '', party, stage } = error instanceof FederatedError ? error : {}
  await pipe
    .send('refuse', {
      code: known?.code ?? 'WEFT-INT-001',
      kind,
      message: isOwn ? 'a reason of its own, which it keeps to itself' : (error as Error).message.slice(0, 1000),
      later,
      ...(party === undefined ? {} : { party }),
      ...(stage === undefined ? {} : { stage }),
    })
    .catch(() => undefined)
}

/** Somebody that is gone, not somebody that says something wrong. */
export function isLoss(error: unknown): boolean {
  return error instanceof PipeSilentError || (error as Error).name === 'ChannelClosedError'
}

/** What others said was wrong: this member goes on with somebody else. All else stops it, for its person to look at. */
export function isOfOthers(error: unknown): boolean {
  const code = error instanceof WeftError ? error.code : ''
  return /^WEFT-FED-0(?:2\d|3[0-3]|05|06|08|64|66)$/.test(code) || code.startsWith('WEFT-NET-')
}

export function revealBody(reveal: Reveal): Body<'reveal'> {
  return { shares: [...reveal].map(([owner, { kind, share }]) => ({ owner, kind, share })) }
}

export function revealOf({ shares }: Body<'reveal'>): Reveal {
  return new Map(shares.map(({ owner, kind, share }) => [owner, { kind, share }]))
}
