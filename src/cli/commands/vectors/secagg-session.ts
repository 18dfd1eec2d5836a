/** `secagg`, op `session`: a whole round over the members and the aggregator that real rounds run. */
import { SecureAggregator } from '../../../federated/index.ts'
import type { Reveal, RevealedShare, SealedShares, SecureSum } from '../../../federated/index.ts'
import { objectOf, realOf } from './numbers.ts'
import { shownSecrets } from './secagg-audit.ts'
import { upload } from './secagg-client.ts'
import { parametersOf, shownReveal } from './secagg-fields.ts'
import { createMembers } from './secagg-members.ts'
import type { Member, Members } from './secagg-members.ts'
import { shownKeys, shownSum } from './secagg-shown.ts'
import { bytesOf, hexOf, Refusal, textOf } from './suite.ts'
import type { VectorCase } from './suite.ts'

/** Whole vectors are shown up to here. */
const MAX_SHOWN = 1024

export interface Vector {
  readonly packed: Uint8Array
  readonly digest: Uint8Array
  readonly signature: Uint8Array
}

/** What was said in a round, by position. */
export interface Talk {
  readonly sealed: ReadonlyMap<number, readonly SealedShares[]>
  readonly vectors: ReadonlyMap<number, Vector>
  readonly ballots: ReadonlyMap<number, Uint8Array>
  readonly reveals: ReadonlyMap<number, Reveal>
  readonly sum: SecureSum
}

export function sessionCase(input: VectorCase): VectorCase {
  const parameters = parametersOf(input)
  const members = createMembers(input, parameters)
  const talk = members.named(() => run(input, members))
  const shown = parameters.d <= MAX_SHOWN
  return {
    roster: members.roster.map(({ name }) => name),
    ...shownKeys(members, talk),
    ...members.stages(),
    ...shownSum(members, talk, shown),
    reveal: Object.fromEntries([...talk.reveals].map(([holder, reveal]) => [holder, shownReveal(reveal)])),
    ...shownSecrets(talk.sum),
    sum_digest: hexOf(talk.sum.digest),
  }
}

function run(input: VectorCase, members: Members): Talk {
  const tamper = input['tamper'] === undefined ? {} : objectOf(input, 'tamper')
  const { header, roster } = members
  const aggregator = new SecureAggregator(
    { crypto: members.crypto, sessionId: members.sessionId },
    { header, members: members.identities, noise: realOf(input, 'noise_sd', 0) },
  )
  const clients = members.createClients()
  for (const client of clients) aggregator.advertise(client.advertisement)
  const entries = aggregator.closeAdvertisements()

  const sealed = new Map<number, readonly SealedShares[]>()
  for (const [position, client] of clients.entries()) {
    const message = client.roster(entries)
    sealed.set(position, message.sealed)
    const sent = tamperedSeals(message.sealed, position, roster, tamper)
    if (roster[position]!.reaches('share')) aggregator.shares(position, { ...message, sealed: sent })
  }

  const vectors = new Map<number, Vector>()
  for (const [position, list] of aggregator.closeShares()) {
    if (!roster[position]!.reaches('mask')) continue
    const vector = members.of(position, () => upload(clients[position]!.ciphertexts(list)))
    vectors.set(position, vector)
    aggregator.masked(position, vector.packed, vector)
  }

  const ballots = new Map<number, Uint8Array>()
  const survivors = aggregator.closeVectors()
  for (const { position } of survivors) {
    if (!roster[position]!.reaches('consistency')) continue
    const ballot = clients[position]!.survivors(survivors)
    ballots.set(position, ballot.signature)
    aggregator.consistency(ballot)
  }

  const reveals = new Map<number, Reveal>()
  const signatures = aggregator.closeSignatures()
  for (const { position } of signatures) {
    if (!roster[position]!.reaches('unmask')) continue
    const reveal = tamperedReveal(clients[position]!.consistency(signatures), position, roster, tamper)
    reveals.set(position, reveal)
    aggregator.reveal(position, reveal)
  }
  return { sealed, vectors, ballots, reveals, sum: aggregator.finish() }
}

function tamperedSeals(
  sealed: readonly SealedShares[],
  from: number,
  roster: readonly Member[],
  tamper: VectorCase,
): readonly SealedShares[] {
  if (tamper['ciphertext'] === undefined) return sealed
  const change = objectOf(tamper, 'ciphertext')
  if (named(roster, textOf(change, 'from')) !== from) return sealed
  const to = named(roster, textOf(change, 'to'))
  return sealed.map((one) => (one.position === to ? { ...one, data: xored(one.data, bytesOf(change, 'xor')) } : one))
}

function tamperedReveal(reveal: Reveal, by: number, roster: readonly Member[], tamper: VectorCase): Reveal {
  const changes = tamper['share'] === undefined ? [] : [objectOf(tamper, 'share')]
  const changed = new Map<number, RevealedShare>(reveal)
  for (const change of changes) {
    const owner = named(roster, textOf(change, 'of'))
    const share = changed.get(owner)
    if (named(roster, textOf(change, 'by')) !== by || share?.kind !== textOf(change, 'kind')) continue
    changed.set(owner, { ...share, share: xored(share.share, bytesOf(change, 'xor')) })
  }
  return changed
}

function named(roster: readonly Member[], name: string): number {
  const position = roster.findIndex((member) => member.name === name)
  if (position < 0) throw new Refusal('malformed', `nobody in the roster is called ${JSON.stringify(name)}`)
  return position
}

/** From the first byte. */
function xored(bytes: Uint8Array, mask: Uint8Array): Uint8Array {
  return bytes.map((byte, index) => byte ^ (mask[index] ?? 0))
}
