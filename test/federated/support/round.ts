/** A whole round over the real members and aggregator, in which anybody may fall silent at any stage. */
import {
  nodePrimitives,
  SecureAggregator,
  SecureClient,
  updateOfIntegers,
  volatileSignedRounds,
} from '../../../src/federated/index.ts'
import type {
  Advertisement,
  ClientInit,
  GraphChoice,
  MaskedTrailer,
  Primitives,
  Reveal,
  RoundHeader,
  SealedShares,
  SecureSum,
  SharesMessage,
  SignedRounds,
  Survivor,
} from '../../../src/federated/index.ts'

export const crypto = nodePrimitives
const text = new TextEncoder()

export function hash(label: string): Uint8Array {
  return new Uint8Array(crypto.sha256(text.encode(label)))
}

export function header(changes: Partial<RoundHeader> = {}): RoundHeader {
  return {
    federation: 'hospitals',
    job: 'heart',
    round: 3,
    model: hash('model'),
    plan: hash('plan'),
    t: 3,
    bits: 32,
    f: 16,
    c: 8,
    d: 5,
    ...changes,
  }
}

export interface MemberOptions {
  readonly crypto?: Primitives
  readonly signedRounds?: SignedRounds
  readonly records?: number
  readonly minimumRecords?: number
  readonly members?: readonly Uint8Array[]
  readonly graph?: GraphChoice
  readonly init?: Partial<ClientInit>
}

export function seedOf(name: number | string): Uint8Array {
  return hash(`identity ${name}`)
}

const identities = new Map<number | string, Uint8Array>()

export function identityOf(name: number | string): Uint8Array {
  let known = identities.get(name)
  if (known === undefined) identities.set(name, (known = new Uint8Array(crypto.ed25519Public(seedOf(name)))))
  return known
}

export function secretsOf(name: number | string): ClientInit['secrets'] {
  const pair = (label: string): { secret: Uint8Array; publicKey: Uint8Array } => {
    const secret = hash(`${label} ${name}`)
    return { secret, publicKey: new Uint8Array(crypto.x25519Public(secret)) }
  }
  return { s: pair('s'), c: pair('c'), b: hash(`b ${name}`), nonce: hash(`nonce ${name}`).subarray(0, 16) }
}

/** Members by name 0 .. n-1, sorted as their roster is. */
export function names(n: number): number[] {
  return Array.from({ length: n }, (_, name) => name).sort((one, other) =>
    Buffer.compare(identityOf(one), identityOf(other)),
  )
}

export function member(
  name: number,
  n: number,
  round: RoundHeader,
  values: readonly number[],
  options: MemberOptions = {},
): SecureClient {
  const own = options.crypto ?? crypto
  return new SecureClient(
    {
      crypto: own,
      coefficient: (kind, position, k) => hash(`coefficient ${name} ${kind}${position}/${k}`),
      signedRounds: options.signedRounds ?? volatileSignedRounds(),
    },
    {
      header: round,
      members: options.members ?? Array.from({ length: n }, (_, other) => identityOf(other)),
      identity: { publicKey: identityOf(name), sign: (message) => own.sign(seedOf(name), message) },
      secrets: secretsOf(name),
      records: options.records ?? 100,
      minimumRecords: options.minimumRecords ?? 64,
      update: updateOfIntegers(values, round),
      ...(options.graph === undefined ? {} : { graph: options.graph }),
      ...options.init,
    },
  )
}

/** Reads a masked vector to its end. */
export function readOut(vector: Generator<Uint8Array, MaskedTrailer>): Survivor & { readonly packed: Uint8Array } {
  const parts: Uint8Array[] = []
  for (;;) {
    const next = vector.next()
    if (next.done === true) return { position: -1, ...next.value, packed: new Uint8Array(Buffer.concat(parts)) }
    parts.push(next.value)
  }
}

export const STAGES = ['none', 'advertise', 'share', 'mask', 'consistency', 'unmask'] as const
export type Stage = (typeof STAGES)[number]

export interface RoundRecord {
  readonly sum: SecureSum
  readonly sid: Uint8Array
  readonly roster: readonly Advertisement[]
  readonly shared: ReadonlyMap<number, SharesMessage>
  readonly sealed: ReadonlyMap<number, readonly SealedShares[]>
  readonly vectors: ReadonlyMap<number, Uint8Array>
  readonly survivors: readonly Survivor[]
  readonly reveals: ReadonlyMap<number, Reveal>
}

/** @param last of each member, in roster order: the last message that it sends */
export function runRound(
  round: RoundHeader,
  values: readonly (readonly number[])[],
  last: readonly Stage[] = values.map(() => 'unmask'),
  options: MemberOptions = {},
): RoundRecord {
  const n = values.length
  const order = names(n)
  const sends = (position: number, stage: Stage): boolean => STAGES.indexOf(last[position]!) >= STAGES.indexOf(stage)
  const aggregator = new SecureAggregator(
    { crypto: options.crypto ?? crypto },
    {
      header: round,
      members: order.map(identityOf),
      ...(options.graph === undefined ? {} : { graph: options.graph }),
    },
  )
  // Who never advertises has no position; the others keep their order.
  const there = order.map((name, place) => ({ name, place })).filter(({ place }) => sends(place, 'advertise'))
  const clients = there.map(({ name, place }) => member(name, n, round, values[place]!, options))
  const stage = (position: number, what: Stage): boolean => sends(there[position]!.place, what)
  for (const client of clients) aggregator.advertise(client.advertisement)
  const roster = aggregator.closeAdvertisements()
  const shared = new Map<number, SharesMessage>()
  for (const [position, client] of clients.entries()) {
    if (!stage(position, 'share')) continue
    const message = client.roster(roster)
    shared.set(position, message)
    aggregator.shares(position, message)
  }
  const sealed = aggregator.closeShares()
  const vectors = new Map<number, Uint8Array>()
  for (const [position, list] of sealed) {
    if (!stage(position, 'mask')) continue
    const { packed, ...trailer } = readOut(clients[position]!.ciphertexts(list))
    vectors.set(position, packed)
    aggregator.masked(position, packed, trailer)
  }
  const survivors = aggregator.closeVectors()
  for (const { position } of survivors) {
    if (stage(position, 'consistency')) aggregator.consistency(clients[position]!.survivors(survivors))
  }
  const signatures = aggregator.closeSignatures()
  const reveals = new Map<number, Reveal>()
  for (const { position } of signatures) {
    if (!stage(position, 'unmask')) continue
    const reveal = clients[position]!.consistency(signatures)
    reveals.set(position, reveal)
    aggregator.reveal(position, reveal)
  }
  const sid = [...shared.values()][0]!.sid
  return { sum: aggregator.finish(), sid, roster, shared, sealed, vectors, survivors, reveals }
}

/** The sum of the listed rows, mod 2^bits. */
export function plainSum(rows: readonly (readonly number[])[], bits: number): number[] {
  const modulus = 2n ** BigInt(bits)
  return rows[0]!.map((_, index) => {
    const sum = rows.reduce((total, row) => total + BigInt(row[index]!), 0n)
    return Number(((sum % modulus) + modulus) % modulus)
  })
}
