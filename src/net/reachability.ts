/**
 * Can others dial this peer? Whoever has dialled it says yes; whoever was dialled by it is asked to try. The one who is
 * asked dials what the asker has announced on that very connection, three addresses at most, seldom, and says only
 * whether the asker itself answered there.
 */
import type { Connection, Libp2p } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { z } from 'zod'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { withPeer } from './addresses.ts'
import { askOver } from './ask.ts'
import {
  DIAL_BACK_ADDRESSES,
  DIAL_BACK_AGAIN_MS,
  DIAL_BACK_EVERY_MS,
  DIAL_BACK_WAIT_MS,
  MAX_DIAL_BACKS,
  VANTAGES,
} from './constants.ts'
import { decodeControl, encodeControl } from './control.ts'
import { FrameError } from './errors.ts'
import { frame } from './frame.ts'
import { isRelayed } from './link-view.ts'
import type { Link, Links } from './links.ts'
import type { Channel, Reachability } from './types.ts'

export const DIAL_BACK_PROTOCOL = '/weft/dial-back/1'
const ASK = 1
const TOLD = 2
const LATER = 3

const toldSchema = z.object({ reached: z.boolean() })

interface ReachabilityNeeds {
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly links: Links
  libp2p(): Libp2p
  /** Whether anything is listened on. */
  listens(): boolean
  open(link: Link, protocol: string): Promise<Channel>
  /** What a peer announced in its greeting, as it may be dialled from here; never circuits. */
  announced(link: Link): readonly string[]
  changed(): void
}

export interface ReachabilityView {
  state(): Reachability
  /** It was asked and could not dial this peer. */
  outside(link: Link): boolean
  joined(link: Link): void
  left(link: Link): void
  /** Our addresses are others now: what was found out holds no longer. */
  forget(): void
  /** The serving side of `DIAL_BACK_PROTOCOL`. */
  serve(channel: Channel, link: Link): void
  /** This connection was made only to see whether it can be made. */
  isTrial(connection: Connection): boolean
}

export function createReachability(needs: ReachabilityNeeds): ReachabilityView {
  /** Whether they can dial this peer, by connection. */
  const found = new Map<Link, boolean>()
  const asked = new Set<Link>()
  const lastAsked = new WeakMap<Link, number>()
  const trials = new Set<string>()

  const note = (link: Link, reached: boolean): void => {
    if (link.state !== 'joined') return
    found.set(link, reached)
    needs.changed()
    // a firewall may be opened
    if (!reached) needs.clock.after(DIAL_BACK_AGAIN_MS, () => void (found.has(link) && ask(link)))
  }

  const ask = async (link: Link): Promise<void> => {
    asked.add(link)
    try {
      const channel = await needs.open(link, DIAL_BACK_PROTOCOL)
      try {
        const told = await askOver(needs.clock, channel, frame({ type: ASK }), 2 * DIAL_BACK_WAIT_MS)
        if (told.type === TOLD) note(link, toldSchema.parse(decodeControl(told.control)).reached)
      } finally {
        channel.close().catch(() => undefined)
      }
    } catch (error) {
      needs.logger.debug({ err: error, peer: link.peer }, 'a peer does not say whether it can dial this one')
    }
  }

  const look = (): void => {
    if (!needs.listens()) return
    for (const { peer } of needs.links.joined()) {
      const link = needs.links.direct(peer)
      if (asked.size >= VANTAGES) return
      if (link !== undefined && !found.has(link) && !asked.has(link)) void ask(link)
    }
  }

  const mayAsk = (link: Link): boolean => {
    if (isRelayed(link) || trials.size >= MAX_DIAL_BACKS || trials.has(link.peer)) return false
    return needs.clock.now() - (lastAsked.get(link) ?? -Infinity) >= DIAL_BACK_EVERY_MS
  }

  const dialBack = async (link: Link): Promise<boolean> => {
    lastAsked.set(link, needs.clock.now())
    trials.add(link.peer)
    const addresses = needs.announced(link).slice(0, DIAL_BACK_ADDRESSES)
    try {
      const tries = addresses.map(async (address) => {
        const signal = AbortSignal.timeout(DIAL_BACK_WAIT_MS)
        const way = multiaddr(withPeer(address, link.peer))
        const connection = await needs.libp2p().dial(way, { signal, force: true })
        connection.close().catch((error: Error) => connection.abort(error))
      })
      return await Promise.any(tries).then(
        () => true,
        () => false,
      )
    } finally {
      trials.delete(link.peer)
    }
  }

  return {
    state() {
      if (!needs.listens()) return 'private'
      const answers = [...found.values()]
      if (answers.includes(false)) return 'private'
      return answers.length > 0 ? 'public' : 'unknown'
    },
    outside: (link) => found.get(link) === false,
    joined(link) {
      if (!isRelayed(link) && link.connection.direction === 'inbound') note(link, true)
      look()
    },
    left(link) {
      asked.delete(link)
      if (found.delete(link)) needs.changed()
    },
    forget() {
      found.clear()
      asked.clear()
      needs.changed()
      look()
    },
    serve(channel, link) {
      channel.onFrame(async ({ type }) => {
        if (type !== ASK) throw new FrameError('type', `frame ${type} where a dial is asked for`)
        if (!mayAsk(link)) return channel.send(frame({ type: LATER }))
        const reached = await dialBack(link)
        needs.telemetry?.count('dial_backs', 1, { outcome: reached ? 'ok' : 'failed' })
        await channel.send(frame({ type: TOLD, control: encodeControl({ reached }) }))
      })
    },
    isTrial: (connection) =>
      connection.direction === 'outbound' && connection.direct && trials.has(connection.remotePeer.toString()),
  }
}
