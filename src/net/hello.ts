/**
 * The greeting, protocol `/weft/hello/1`, the first stream of every connection. Whatever carries it, each side proves
 * the network key over both ids and two fresh nonces before the other tells anything but the versions that it speaks.
 *
 *   dialler              listener
 *   greet             ->
 *                     <- greet, proof
 *   proof, about      ->
 *                     <- about, verdict
 *   verdict           ->            (a `pending` verdict is followed by another when a person has decided)
 *
 * In a cluster a listener that turns the dialler away sends its verdict in place of what it would say of itself.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { cleanText } from '../telemetry/index.ts'
import { z } from 'zod'
import { MAX_ADDRESS_LENGTH, MAX_ADDRESSES, MAX_NAME_LENGTH } from './constants.ts'
import { decodeControl, encodeControl } from './control.ts'
import { HelloFailedError, IncompatibleVersionError, OtherNetworkError } from './discovery-errors.ts'
import { frame } from './frame.ts'
import type { Frame } from './frame.ts'
import { hmac } from './secrets.ts'

export const HELLO_PROTOCOL = '/weft/hello/1'
export const NONCE_BYTES = 32

const TYPE = { greet: 1, proof: 2, about: 3, verdict: 4 } as const

export interface Versions {
  readonly min: number
  readonly max: number
}

const MAX_CERTIFICATE_BYTES = 2_048
/** The last moment that a date can have. */
const MAX_CLOCK_MS = 8.64e15

const text = (limit: number): z.ZodType<string> => z.string().max(limit).transform(cleanText)

const greetSchema = z.object({
  min: z.int().min(0).max(65_535),
  max: z.int().min(0).max(65_535),
  nonce: z.instanceof(Uint8Array).refine((bytes) => bytes.length === NONCE_BYTES),
})
const proofSchema = z.object({ proof: z.instanceof(Uint8Array).refine((bytes) => bytes.length === 32) })
const aboutSchema = z.object({
  software: text(64),
  name: text(MAX_NAME_LENGTH),
  network: text(MAX_NAME_LENGTH),
  /** Fresh for each run of a peer. */
  instance: z.string().regex(/^[0-9a-f]{32}$/),
  epoch: z.int().min(0),
  addresses: z.array(z.string().max(MAX_ADDRESS_LENGTH)).max(MAX_ADDRESSES),
  /** Milliseconds since 1970, as its machine has it; for people, who would rather know that a clock is wrong. */
  clock: z.number().min(0).max(MAX_CLOCK_MS).nullish(),
  /** In a cluster: the certificate of the one that greets. */
  certificate: z
    .instanceof(Uint8Array)
    .refine(({ length }) => length <= MAX_CERTIFICATE_BYTES)
    .nullish(),
  /** In a cluster: the newest entry of the membership log. */
  log: z.object({ height: z.int().min(0), hash: z.string().regex(/^[0-9a-f]{64}$/) }).nullish(),
})
const verdictSchema = z.object({
  verdict: z.enum(['welcome', 'pending', 'refused']),
  code: z.string().max(16).nullish(),
})

export type About = z.infer<typeof aboutSchema>
export type Verdict =
  | { readonly verdict: 'welcome' | 'pending' }
  /** The code of one of the discovery errors. */
  | { readonly verdict: 'refused'; readonly code: string }

export interface HelloOutcome {
  readonly about: About
  readonly protocol: number
  /** The same on both sides and on no other connection. */
  readonly transcript: string
  /** When it was heard, on the clock that never goes back. */
  readonly heardAt: number
}

export interface HelloInit {
  readonly role: 'dialler' | 'listener'
  readonly self: string
  readonly remote: string
  readonly versions: Versions
  readonly proofKey: Uint8Array
  readonly nonce: Uint8Array
  readonly about: About
  /** As the listener: nothing is said of this peer to one that is turned away. */
  readonly veiled?: boolean
  /** Milliseconds on the clock that never goes back. */
  now(): number
  /** Our answer to who they are. */
  judge(outcome: HelloOutcome): Promise<Verdict>
  /** Asked once our answer was `pending`. */
  decision(): Promise<Verdict>
  /** What the other side has answered; called before the conversation goes on. */
  heard(verdict: Verdict): void
  /** Both are welcome: nothing more is sent. */
  joined(outcome: HelloOutcome): void
}

type Incoming = AsyncIterator<Frame>

/** One side of the greeting, frames in and frames out. @throws HelloFailedError, OtherNetworkError, ... */
export async function* converse(source: AsyncIterable<Frame>, init: HelloInit): AsyncGenerator<Frame> {
  const incoming = source[Symbol.asyncIterator]()
  const dialler = init.role === 'dialler'
  const mine = encodeControl({ ...init.versions, nonce: init.nonce })
  if (dialler) yield frame({ type: TYPE.greet, control: mine })
  const greeting = await expect(incoming, TYPE.greet, init)
  if (!dialler) yield frame({ type: TYPE.greet, control: mine })
  const theirs = parse(greetSchema, greeting, init)
  const protocol = commonVersion(init, theirs)
  const transcript = hashGreetings(init, mine, greeting.control)
  const proof = (role: string): Uint8Array => hmac(init.proofKey, role, transcript)
  const check = async (): Promise<void> => {
    const { proof: got } = parse(proofSchema, await expect(incoming, TYPE.proof, init), init)
    if (!timingSafeEqual(got, proof(dialler ? 'listener' : 'dialler'))) throw new OtherNetworkError(init.remote)
  }
  // who was dialled proves first: the dialler may be anybody's probe
  if (dialler) await check()
  yield message(TYPE.proof, { proof: proof(init.role) })
  if (!dialler) await check()
  if (dialler) yield message(TYPE.about, init.about)
  const said = await receive(incoming, init)
  if (dialler && said.type === TYPE.verdict) {
    init.heard(verdictOf(said, init))
    return
  }
  const about = parse(aboutSchema, typed(said, TYPE.about, init), init)
  const outcome = { about, protocol, transcript: transcript.toString('hex'), heardAt: init.now() }
  const early = !dialler && init.veiled === true ? await init.judge(outcome) : undefined
  if (early?.verdict === 'refused') {
    yield message(TYPE.verdict, early)
    return
  }
  if (!dialler) yield message(TYPE.about, init.about)
  yield* exchangeVerdicts(incoming, init, outcome, early)
}

async function* exchangeVerdicts(
  incoming: Incoming,
  init: HelloInit,
  outcome: HelloOutcome,
  early: Verdict | undefined,
): AsyncGenerator<Frame> {
  let ours = early ?? (await init.judge(outcome))
  yield message(TYPE.verdict, ours)
  let theirs: Verdict | undefined
  let decision: Promise<Verdict> | undefined
  let next: Promise<Frame> | undefined
  while (ours.verdict !== 'refused' && (ours.verdict !== 'welcome' || theirs?.verdict !== 'welcome')) {
    if (ours.verdict === 'pending') decision ??= init.decision()
    if (theirs?.verdict !== 'welcome') next ??= expect(incoming, TYPE.verdict, init)
    const first = await Promise.race([decision, next].filter((one) => one !== undefined))
    if ('verdict' in first) {
      decision = undefined
      ours = first
      yield message(TYPE.verdict, ours)
    } else {
      next = undefined
      theirs = verdictOf(first, init)
      init.heard(theirs)
      if (theirs.verdict === 'refused') return
    }
  }
  if (ours.verdict === 'welcome') init.joined(outcome)
}

function verdictOf(got: Frame, init: HelloInit): Verdict {
  const { verdict, code } = parse(verdictSchema, got, init)
  return verdict === 'refused' ? { verdict, code: code ?? '' } : { verdict }
}

function message(type: number, value: unknown): Frame {
  return frame({ type, control: encodeControl(value) })
}

async function expect(incoming: Incoming, type: number, init: HelloInit): Promise<Frame> {
  return typed(await receive(incoming, init), type, init)
}

async function receive(incoming: Incoming, init: HelloInit): Promise<Frame> {
  const { done, value } = await incoming.next()
  if (done === true) throw new HelloFailedError(init.remote, 'it hung up')
  return value
}

function typed(got: Frame, type: number, init: HelloInit): Frame {
  if (got.type !== type) throw new HelloFailedError(init.remote, `message ${got.type} came in place of ${type}`)
  return got
}

function parse<T>(schema: z.ZodType<T>, got: Frame, init: HelloInit): T {
  const result = schema.safeParse(decodeControl(got.control))
  if (!result.success) throw new HelloFailedError(init.remote, z.prettifyError(result.error).slice(0, 200))
  return result.data
}

/** The highest that both speak. */
function commonVersion(init: HelloInit, theirs: Versions): number {
  const highest = Math.min(init.versions.max, theirs.max)
  if (highest >= Math.max(init.versions.min, theirs.min)) return highest
  const say = (range: Versions): string => (range.min === range.max ? `${range.max}` : `${range.min} to ${range.max}`)
  throw new IncompatibleVersionError(
    init.remote,
    `it speaks protocol ${say(theirs)}, this peer ${say(init.versions)}; the lower number is the older weft`,
  )
}

function hashGreetings(init: HelloInit, mine: Uint8Array, theirs: Uint8Array): Buffer {
  const dialler = init.role === 'dialler'
  const fields = dialler ? [init.self, init.remote, mine, theirs] : [init.remote, init.self, theirs, mine]
  const hash = createHash('sha256').update('weft/hello/1\0')
  const length = Buffer.alloc(4)
  for (const field of fields) {
    length.writeUInt32LE(typeof field === 'string' ? Buffer.byteLength(field) : field.length)
    hash.update(length).update(field)
  }
  return hash.digest()
}
