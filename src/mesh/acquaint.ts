/**
 * Dials peers that we know only from what others tell: who joined through one bootstrap peer must reach the rest. The
 * addresses are signed by the peer they lead to; its key is proven again when the connection is made.
 *
 * In a mesh of up to FULL_MESH everybody is connected to everybody. In a larger one each peer has some neighbours, drawn by
 * lot, and others are dialled when a channel to them is wanted.
 */
import type { Network } from '../net/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import {
  ACQUAINT_MOST_MS,
  ACQUAINT_QUIET_MS,
  FEW_PEERS,
  FULL_MESH,
  MAX_LEARNT_ADDRESSES,
  NEIGHBOURS,
} from './limits.ts'
import type { Liveness } from './liveness.ts'
import type { RecordBook } from './record-book.ts'
import { shuffled } from './shuffle.ts'

export interface Acquaint {
  /** Looks through the profiles for peers that nobody dials yet. */
  look(): void
  /** The profile of this one has come. Of many that come together none is dialled before all are there. */
  heardOf(author: string): void
  stop(): void
}

export interface AcquaintNeeds {
  readonly network: Network
  readonly clock: Clock
  readonly random: RandomSource
  readonly book: RecordBook
  readonly liveness: Pick<Liveness, 'count' | 'isKnown'>
}

export function createAcquaint({ network, clock, random, book, liveness }: AcquaintNeeds): Acquaint {
  const kept = new Set<string>()
  let cancel: (() => void) | undefined
  let heardAt = 0

  /** Whether it is dialled from now on. */
  const dial = (author: string): boolean => {
    const body = book.find('profile', author)?.body
    if (author === network.id || body === undefined || body.state === 'draining' || liveness.isKnown(author))
      return false
    const fresh = addressesOf(book, author).filter((address) => !kept.has(address))
    for (const address of fresh.slice(0, MAX_LEARNT_ADDRESSES - kept.size)) {
      kept.add(address)
      network.keep(address)
    }
    return fresh.length > 0
  }
  const look = (): void => {
    let wanted = book.size <= FULL_MESH ? Infinity : NEIGHBOURS - liveness.count()
    if (wanted <= 0 || kept.size >= MAX_LEARNT_ADDRESSES) return
    for (const author of shuffled(book.authors(), random)) if (wanted > 0 && dial(author)) wanted--
  }
  const wait = (until: number): void => {
    cancel = clock.after(ACQUAINT_QUIET_MS, () => {
      const now = clock.now()
      if (now - heardAt < ACQUAINT_QUIET_MS && now < until) return wait(until)
      cancel = undefined
      look()
    })
  }
  return {
    look,
    heardOf(author) {
      heardAt = clock.now()
      if (book.size <= FEW_PEERS) dial(author)
      else if (cancel === undefined && (book.size <= FULL_MESH || liveness.count() < NEIGHBOURS))
        wait(heardAt + ACQUAINT_MOST_MS)
    },
    stop: () => cancel?.(),
  }
}

/** Multiaddrs by which a peer says that it can be reached, with its id at the end. */
export function addressesOf(book: RecordBook, peer: string): string[] {
  const body = book.find('profile', peer)?.body
  return [...(body?.addresses ?? []), ...(body?.circuits ?? [])].filter((address) => address.endsWith(`/p2p/${peer}`))
}

/** Our own addresses as others can dial them: with our id at the end. */
export function dialable(network: Network): string[] {
  const suffix = `/p2p/${network.id}`
  return network.addresses().map((address) => (address.endsWith(suffix) ? address : `${address}${suffix}`))
}
