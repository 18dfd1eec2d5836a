/** A round up to any of its stages: five real members, and what an honest aggregator would send to each. */
import { SecureAggregator } from '../../../src/federated/index.ts'
import type {
  Advertisement,
  Consistency,
  RoundHeader,
  SealedShares,
  SecureClient,
  Survivor,
} from '../../../src/federated/index.ts'
import { crypto, header, identityOf, member, names, readOut } from './round.ts'
import type { MemberOptions } from './round.ts'

export const N = 5
export const ROUND = header()
export const VALUES = [4, -3, 2, -1, 0]

/** Members 0 .. 4 in roster order, and what an honest aggregator would send to each. */
export class Scene {
  readonly clients: SecureClient[]
  readonly roster: readonly Advertisement[]
  readonly aggregator: SecureAggregator

  constructor(round: RoundHeader = ROUND, options: (position: number) => MemberOptions = () => ({})) {
    this.clients = names(N).map((name, position) => member(name, N, round, VALUES, options(position)))
    this.aggregator = new SecureAggregator({ crypto }, { header: round, members: names(N).map(identityOf) })
    for (const client of this.clients) this.aggregator.advertise(client.advertisement)
    this.roster = this.aggregator.closeAdvertisements()
  }

  /** By receiver. */
  shared(silent: readonly number[] = []): ReadonlyMap<number, readonly SealedShares[]> {
    for (const [position, client] of this.clients.entries()) {
      const message = client.roster(this.roster)
      if (!silent.includes(position)) this.aggregator.shares(position, message)
    }
    return this.aggregator.closeShares()
  }

  masked(silent: readonly number[] = []): Survivor[] {
    const sealed = this.shared(silent)
    return [...sealed].map(([position, list]) => {
      const { digest, signature } = readOut(this.clients[position]!.ciphertexts(list))
      return { position, digest, signature }
    })
  }

  signed(survivors: readonly Survivor[]): Consistency[] {
    return survivors.map(({ position }) => this.clients[position]!.survivors(survivors))
  }
}

export const flipped = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.from(bytes, (byte, index) => (index === 0 ? byte ^ 1 : byte))

export function without<T>(list: readonly T[], ...places: readonly number[]): T[] {
  return list.filter((_, place) => !places.includes(place))
}

export function changed<T>(list: readonly T[], place: number, value: Partial<T>): T[] {
  return list.map((one, at) => (at === place ? { ...one, ...value } : one))
}
