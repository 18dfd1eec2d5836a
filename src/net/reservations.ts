/** Places at relays: a peer that others cannot dial is reached through peers that it has dialled itself. */
import { z } from 'zod'
import type { Logger } from '../telemetry/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import { circuitThrough, isLoopback } from './addresses.ts'
import { askOver } from './ask.ts'
import { CIRCUIT_WAIT_MS, RESERVE_AGAIN_MS, WANTED_RELAYS } from './constants.ts'
import { decodeControl } from './control.ts'
import { frame } from './frame.ts'
import type { Link, Links } from './links.ts'
import { RELAY_FRAME, RELAY_PROTOCOL } from './relay-server.ts'
import type { Channel } from './types.ts'

/** Ways through one relay that are announced. */
const ADDRESSES_PER_RELAY = 2

const refusedSchema = z.object({ why: z.string().max(128) })

interface ReservationsNeeds {
  readonly clock: Clock
  readonly logger: Logger
  readonly links: Links
  open(link: Link, protocol: string): Promise<Channel>
  /** Where a joined peer is dialled, the best first. */
  addressesOf(link: Link): readonly string[]
  /** Whether places are wanted at all. */
  wanted(): boolean
  /** Those who could not dial this peer: others outside are where they are. */
  outside(link: Link): boolean
  changed(): void
}

export interface Reservations {
  /** Takes, keeps and gives up places, as is right now. */
  review(): void
  /** Announced ways to this peer, without its own id. */
  circuits(): readonly string[]
  stop(): void
}

export function createReservations(needs: ReservationsNeeds): Reservations {
  const kept = new Map<Link, Channel>()
  const asking = new Set<Link>()
  const refused = new WeakMap<Link, number>()
  let later: CancelTimer | undefined
  let stopped = false

  const candidates = (): Link[] =>
    needs.links
      .joined()
      .flatMap(({ peer }) => needs.links.direct(peer) ?? [])
      .filter((link) => !kept.has(link) && !asking.has(link))
      .filter((link) => needs.clock.now() - (refused.get(link) ?? -Infinity) >= RESERVE_AGAIN_MS)
      .toSorted((a, b) => Number(needs.outside(b)) - Number(needs.outside(a)) || worth(b) - worth(a))

  const ask = async (link: Link): Promise<void> => {
    asking.add(link)
    let channel: Channel | undefined
    try {
      channel = await needs.open(link, RELAY_PROTOCOL)
      const answer = await askOver(needs.clock, channel, frame({ type: RELAY_FRAME.reserve }), CIRCUIT_WAIT_MS)
      if (answer.type !== RELAY_FRAME.reserved)
        throw new Error(refusedSchema.safeParse(decodeControl(answer.control)).data?.why ?? 'it said no')
      if (stopped || !needs.wanted()) throw new Error('no place is wanted any more')
      keep(link, channel)
    } catch (error) {
      refused.set(link, needs.clock.now())
      channel?.close().catch(() => undefined)
      needs.logger.info({ err: error, relay: link.peer }, 'no place at a relay')
      later ??= needs.clock.after(RESERVE_AGAIN_MS, () => {
        later = undefined
        review()
      })
    } finally {
      asking.delete(link)
      review()
    }
  }

  const keep = (link: Link, channel: Channel): void => {
    kept.set(link, channel)
    needs.logger.info({ relay: link.peer }, 'reachable through a relay')
    needs.changed()
    void channel.closed.then(() => {
      if (!kept.delete(link) || stopped) return
      needs.changed()
      review()
    })
  }

  const review = (): void => {
    if (stopped) return
    if (!needs.wanted()) {
      for (const channel of kept.values()) channel.close().catch(() => undefined)
      return
    }
    const free = WANTED_RELAYS - kept.size - asking.size
    for (const link of free > 0 ? candidates().slice(0, free) : []) void ask(link)
  }

  return {
    review,
    circuits: () => {
      const ways = [...kept.keys()].flatMap((link) => {
        const addresses = needs.addressesOf(link)
        const far = addresses.filter((one) => !isLoopback(one))
        // the loopback leads to it on this machine only
        const best = far.length > 0 ? far : addresses
        return best.slice(0, ADDRESSES_PER_RELAY).map((address) => circuitThrough(address, link.peer))
      })
      return [...new Set(ways)]
    },
    stop() {
      stopped = true
      later?.()
      for (const channel of kept.values()) channel.close().catch(() => undefined)
    },
  }
}

/** Whom we have dialled can be dialled. */
function worth(link: Link): number {
  return link.connection.direction === 'outbound' ? 1 : 0
}
