/** A whole secure sum in one process, with the real members and the real aggregator. */
import { SecureAggregator } from '../secagg/aggregator.ts'
import { SecureClient } from '../secagg/client.ts'
import type { GraphChoice } from '../secagg/graph.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { volatileSignedRounds } from '../secagg/signed-rounds.ts'
import type { UpdateSource } from '../secagg/update.ts'
import { freshSecrets } from '../rounds/secure-member.ts'
import type { Words } from '../privacy/words.ts'

export interface SimulatedMember {
  readonly update: UpdateSource
  readonly records: number
  /** Falls silent after it has shared its keys. @default false */
  readonly fallsSilent?: boolean
}

/** Words of the sum of those who do not fall silent. @throws ThresholdError and the like */
export function simulateSecureSum(
  header: RoundHeader,
  members: readonly SimulatedMember[],
  init: {
    readonly minimumRecords: number
    readonly noise: number
    readonly graph?: GraphChoice
    /** Signatures that a set of survivors takes. @default t of the header */
    readonly quorum?: number
    readonly words: Words
  },
): Uint32Array {
  const crypto = nodePrimitives
  const { words, minimumRecords, noise, graph, quorum } = init
  const random = { bytes: (length: number) => Uint8Array.from({ length }, () => words.next() & 255) }
  const seeds = members.map(() => random.bytes(32))
  const identities = seeds.map((seed) => new Uint8Array(crypto.ed25519Public(seed)))
  const chosen = { ...(graph === undefined ? {} : { graph }), ...(quorum === undefined ? {} : { quorum }) }
  const aggregator = new SecureAggregator({ crypto }, { header, members: identities, noise, ...chosen })
  const clients = members.map(({ update, records }, index) => {
    const seed = seeds[index]!
    return new SecureClient(
      { crypto, coefficient: () => random.bytes(32), signedRounds: volatileSignedRounds() },
      {
        header,
        members: identities,
        identity: { publicKey: identities[index]!, sign: (bytes) => crypto.sign(seed, bytes) },
        secrets: freshSecrets(random),
        records,
        minimumRecords,
        update,
        noise,
        ...chosen,
      },
    )
  })
  for (const client of clients) aggregator.advertise(client.advertisement)
  const roster = aggregator.closeAdvertisements()
  const placeOf = new Map(roster.map(({ identity }, position) => [Buffer.from(identity).toString('hex'), position]))
  const at = identities.map((identity) => placeOf.get(Buffer.from(identity).toString('hex'))!)
  const byPosition = new Map(at.map((position, index) => [position, index]))
  for (const [index, client] of clients.entries()) aggregator.shares(at[index]!, client.roster(roster))
  for (const [position, sealed] of aggregator.closeShares()) {
    const index = byPosition.get(position)!
    if (members[index]!.fallsSilent === true) continue
    const vector = clients[index]!.ciphertexts(sealed)
    const parts: Uint8Array[] = []
    for (;;) {
      const next = vector.next()
      if (next.done === true) {
        aggregator.masked(position, Buffer.concat(parts), next.value)
        break
      }
      parts.push(new Uint8Array(next.value))
    }
  }
  const survivors = aggregator.closeVectors()
  for (const { position } of survivors) {
    aggregator.consistency(clients[byPosition.get(position)!]!.survivors(survivors))
  }
  const ballots = aggregator.closeSignatures()
  for (const { position } of ballots) {
    aggregator.reveal(position, clients[byPosition.get(position)!]!.consistency(ballots))
  }
  return aggregator.finish().words
}
