/**
 * A direct connection between two peers that nobody can dial: each connects to the relay from a port of its own, learns there
 * as what it is seen, tells the other over their circuit, and both connect from that port at once. Each translator has then let
 * something out to the other's address, and lets its answer in. The port is one on which nobody listens: from one that is listened
 * on Node cannot connect.
 */
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import type { Connection, Stream } from '@libp2p/interface'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { hostOf, isLoopback, portOf, relayOf, withPeer } from './addresses.ts'
import { outerSchema, talkOver } from './circuit-wire.ts'
import type { CircuitTalk, Outer } from './circuit-wire.ts'
import {
  CIRCUIT_WAIT_MS,
  MAX_PUNCHES,
  PUNCH_AGAIN_MS,
  PUNCH_EVERY_MS,
  PUNCH_TRY_MS,
  PUNCH_WAIT_MS,
  PUNCHES_IN_VAIN,
} from './constants.ts'
import type { DialFrom } from './libp2p-node.ts'
import { isRelayed, remoteAddress } from './link-view.ts'
import type { Link, Links } from './links.ts'

/** Over a circuit: each side says where it will be, and both go there. */
export const PUNCH_PROTOCOL = '/weft/punch/1'
/** Over a connection that is made for it alone, and need not greet: as what the asker is seen. */
export const SEEN_PROTOCOL = '/weft/seen/1'

/** Between two tries that came to nothing at once, at most: two translators that send resets are not to be in step. */
const PAUSE_MS = 120

interface PunchNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly self: string
  readonly links: Links
  from(): DialFrom
  /** Where a joined peer is dialled. */
  addressOf(link: Link): string
}

export interface Punch {
  /** Tries it with a peer that is reached through a relay; whether it joined. Never rejects. */
  through(peer: string, signal: AbortSignal): Promise<boolean>
  /** The other side of it. */
  serve(stream: Stream, link: Link): Promise<void>
  /** Says as what somebody is seen here. */
  seen(stream: Stream, link: Link): Promise<void>
  /** This connection is one to a relay, made only to be seen. */
  isTrial(connection: Connection): boolean
  /** Whether its other end is where it was met, and nobody can dial it there again. */
  isPunched(link: Link): boolean
}

/** A port, as what it is seen, and the connection that keeps the translator's mind on it. */
interface Place {
  readonly port: number
  readonly outer: Outer
  leave(): void
}

export function createPunch(needs: PunchNeeds): Punch {
  const { clock, links } = needs
  const underWay = new Set<string>()
  const lastServed = new Map<string, number>()
  /** Peers with which it came to nothing, how often and when last. */
  const inVain = new Map<string, { times: number; at: number }>()
  /** Relays to which such a connection is being made. */
  const trials = new Set<string>()
  const punched = new WeakSet<Connection>()
  /** Peers, and relays, of a version that knows nothing of it. */
  const without = new WeakSet<Link>()

  /** The relay that carries this connection, where it can see as what this peer comes; on one machine there is nothing between. */
  const relayFor = (relayed: Link): Link | undefined => {
    const relay = relayOf(remoteAddress(relayed))
    const known = relay === undefined ? undefined : links.direct(relay.peer)
    const sees = known !== undefined && !without.has(known) && !isLoopback(`${needs.addressOf(known)}/`)
    return sees ? known : undefined
  }

  const takePlace = async (relayed: Link, signal: AbortSignal): Promise<Place> => {
    const known = relayFor(relayed)
    if (known === undefined) throw new Error('nobody is there who sees this peer')
    const port = await freePort()
    const connection = await seenFrom(withPeer(needs.addressOf(known), known.peer), known.peer, port, signal)
    const leave = (): void => void connection.close().catch((error: Error) => connection.abort(error))
    try {
      const stream = await connection.newStream(SEEN_PROTOCOL, { signal })
      return { port, outer: await talkOver(stream, signal).hear(outerSchema), leave }
    } catch (error) {
      if (isUnsupported(error)) without.add(known)
      leave()
      throw error
    }
  }

  const seenFrom = async (address: string, relay: string, port: number, signal: AbortSignal): Promise<Connection> => {
    trials.add(relay)
    try {
      return await needs.from()(address, port, true, signal)
    } finally {
      trials.delete(relay)
    }
  }

  /** @throws why they have not met */
  const meet = async (peer: string, place: Place, there: Outer, signal: AbortSignal): Promise<boolean> => {
    const address = withPeer(`/ip4/${there.host}/tcp/${there.port}`, peer)
    for (;;) {
      try {
        const inTime = AbortSignal.any([signal, AbortSignal.timeout(PUNCH_TRY_MS)])
        const connection = await needs.from()(address, place.port, needs.self < peer, inTime)
        punched.add(connection)
        return (await links.link(connection)?.settled) === true
      } catch (error) {
        if (signal.aborted || links.direct(peer) !== undefined) throw error
        await clock.sleep((PAUSE_MS * needs.random.bytes(1)[0]!) / 256, signal)
      }
    }
  }

  /** @param first this side has begun, and says first where it is */
  const agree = async (link: Link, talk: CircuitTalk, first: boolean): Promise<boolean> => {
    const signal = AbortSignal.timeout(CIRCUIT_WAIT_MS)
    const place = await takePlace(link, signal)
    try {
      if (first) await talk.say(place.outer)
      const there = await talk.hear(outerSchema)
      if (!first) await talk.say(place.outer)
      return await meet(link.peer, place, there, AbortSignal.timeout(PUNCH_WAIT_MS))
    } finally {
      place.leave()
    }
  }

  const attempt = async (link: Link, stream: Stream, first: boolean): Promise<boolean> => {
    underWay.add(link.peer)
    try {
      const isMet = await agree(link, talkOver(stream), first)
      needs.telemetry?.count('holes_punched', 1, { outcome: isMet ? 'ok' : 'failed' })
      return isMet
    } catch (error) {
      needs.telemetry?.count('holes_punched', 1, { outcome: 'failed' })
      needs.logger.info({ err: error, peer: link.peer }, 'no way was made past the translators')
      return false
    } finally {
      underWay.delete(link.peer)
      stream.close().catch((error: Error) => stream.abort(error))
    }
  }

  const relayedLink = (peer: string): Link | undefined =>
    links.of(peer).findLast((link) => link.state === 'joined' && isRelayed(link))

  const isPointless = (peer: string): boolean => {
    const { times, at } = inVain.get(peer) ?? { times: 0, at: 0 }
    return times >= PUNCHES_IN_VAIN && clock.now() - at < PUNCH_AGAIN_MS
  }

  return {
    async through(peer, signal) {
      const link = relayedLink(peer)
      // one of the two begins
      const isTheirs = needs.self > peer || underWay.has(peer) || underWay.size >= MAX_PUNCHES
      if (link === undefined) inVain.delete(peer)
      if (link === undefined || isTheirs || without.has(link) || isPointless(peer)) return false
      if (relayFor(link) === undefined) return false
      let isMet = false
      try {
        const stream = await link.connection.newStream(PUNCH_PROTOCOL, { signal })
        isMet = await attempt(link, stream, true)
      } catch (error) {
        if (isUnsupported(error)) without.add(link)
        needs.logger.debug({ err: error, peer }, 'a peer does not meet this one between translators')
      }
      if (isMet) inVain.delete(peer)
      else inVain.set(peer, { times: (inVain.get(peer)?.times ?? 0) + 1, at: clock.now() })
      return isMet
    },
    async serve(stream, link) {
      const isOften = clock.now() - (lastServed.get(link.peer) ?? -Infinity) < PUNCH_EVERY_MS
      const isFull = underWay.has(link.peer) || underWay.size >= MAX_PUNCHES
      if (isOften || isFull || !isRelayed(link)) return stream.abort(new Error('not now'))
      lastServed.set(link.peer, clock.now())
      clock.after(PUNCH_EVERY_MS, () => lastServed.delete(link.peer))
      await attempt(link, stream, false)
    },
    async seen(stream, link) {
      const address = `${remoteAddress(link)}/`
      const outer = outerSchema.safeParse({ host: hostOf(address), port: portOf(address) })
      // over a circuit there is nothing to see, and on one machine nothing in between
      if (isRelayed(link) || !outer.success) return stream.abort(new Error('seen by nobody'))
      await talkOver(stream)
        .say(outer.data)
        .catch((error: Error) => stream.abort(error))
    },
    isTrial: (connection) => connection.direction === 'outbound' && trials.has(connection.remotePeer.toString()),
    isPunched: ({ connection }) => punched.has(connection),
  }
}

function isUnsupported(error: unknown): boolean {
  return error instanceof Error && error.name === 'UnsupportedProtocolError'
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
