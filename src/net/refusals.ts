/** What was seen and did not join: the latest of each peer or address, bounded, dropped once that peer is in. */
import { errorData } from '../errors.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { OtherNetworkError } from './discovery-errors.ts'
import type { Refusal } from './types.ts'

/** A page of `weft status`; whoever floods the door pushes out the oldest. */
export const MAX_REFUSALS = 256
/** An entry that nothing has confirmed for this long is history. */
export const REFUSAL_KEEP_MS = 15 * 60_000

/**
 * A dial that was given up in the middle of the handshake looks to the other side like one with another key. Who has
 * just joined from that host was the one; another peer there, with another key, is seen again at its next try.
 */
export const JUST_JOINED_MS = 10_000

export interface RefusalBook {
  /** Notes it; true when it is news: another peer, or another reason than before. */
  add(where: { readonly id: string | null; readonly address: string | null }, error: Error): boolean
  /** The peer has joined, from these addresses. */
  forget(id: string, addresses: readonly string[]): void
  list(): readonly Refusal[]
}

interface BookNeeds {
  readonly clock: Clock
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  tell(refusal: Refusal): void
  /** Of what was told before. */
  again?(refusal: Refusal): void
}

export function createRefusalBook(needs: BookNeeds): RefusalBook {
  /** By peer, else by address; in order of age. */
  const entries = new Map<string, { readonly refusal: Refusal; readonly touched: number }>()
  /** When a peer joined, by the hosts of its addresses. */
  const joinedAt = new Map<string, number>()
  const prune = (): void => {
    const old = needs.clock.now() - REFUSAL_KEEP_MS
    for (const [key, entry] of entries) if (entry.touched < old) entries.delete(key)
    while (entries.size > MAX_REFUSALS) entries.delete(entries.keys().next().value!)
    for (const [host, at] of joinedAt) if (at < needs.clock.now() - JUST_JOINED_MS) joinedAt.delete(host)
  }
  return {
    add({ id, address }, error) {
      const { code, message, why, hint } = errorData(error)
      const key = id ?? hostOf(address)
      prune()
      if (id === null && code === OtherNetworkError.info.code && joinedAt.has(key)) return false
      const before = entries.get(key)
      const refusal: Refusal = {
        id,
        address,
        code,
        why: why === null ? message : `${message}: ${why}`,
        hint: hint ?? '',
        at: needs.clock.wall(),
      }
      entries.delete(key)
      entries.set(key, { refusal, touched: needs.clock.now() })
      prune()
      const news = before?.refusal.code !== code
      if (news) needs.telemetry?.count('peers_refused', 1, { code })
      if (news || before.refusal.why !== refusal.why) needs.tell(refusal)
      else needs.again?.(refusal)
      return news
    },
    forget(id, addresses) {
      entries.delete(id)
      const hosts = new Set(addresses.map(hostOf))
      for (const host of hosts) joinedAt.set(host, needs.clock.now())
      for (const [key, { refusal }] of entries)
        if (refusal.id === null && hosts.has(hostOf(refusal.address))) entries.delete(key)
    },
    list() {
      prune()
      return [...entries.values()].map((entry) => entry.refusal).toReversed()
    },
  }
}

/** Without the port: whoever knocks comes from another one each time. */
function hostOf(address: string | null): string {
  return address === null ? 'unknown' : address.replace(/\/(tcp|udp)\/\d+.*$/, '')
}
