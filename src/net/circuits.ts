/** The ends of circuits: a peer is reached through a relay, and arrives through one. */
import { peerIdFromString } from '@libp2p/peer-id'
import type { Connection, Stream, Upgrader } from '@libp2p/interface'
import type { Logger } from '../telemetry/index.ts'
import { orAbort } from '../util/index.ts'
import type { Clock } from '../util/index.ts'
import { circuitThrough, relayOf, withPeer } from './addresses.ts'
import { CircuitConnection } from './circuit-connection.ts'
import { circuitTo } from './circuit-dial.ts'
import { CIRCUIT_PROTOCOL, knockSchema, questionSchema, talkOver } from './circuit-wire.ts'
import type { CircuitTalk } from './circuit-wire.ts'
import { CIRCUIT_WAIT_MS, MAX_RELAYS_TRIED, NEWCOMER_LIMITS, RELAY_TURN_MS, WANTED_RELAYS } from './constants.ts'
import { isRelayed, remoteAddress } from './link-view.ts'
import type { Link, Links } from './links.ts'
import { createNewcomers } from './newcomers.ts'
import type { RelayServer } from './relay-server.ts'

/** The next relay is asked when the one before has not brought us there after this. */
const NEXT_RELAY_MS = 400

interface CircuitsNeeds {
  readonly clock: Clock
  readonly self: string
  readonly logger: Logger
  readonly links: Links
  readonly server: RelayServer
  upgrader(): Upgrader
  /** Where a joined peer is dialled. */
  addressOf(link: Link): string
  /** Whether a peer may come in at all; its greeting asks again. `newcomer`: to hand in an invite, and for nothing else. */
  admits(peer: string, newcomer: boolean): boolean
  /** One that may not has asked for it; `address` names the relay, which alone says so. */
  turnedAway(peer: string, address: string): void
  /** Dials a relay that is not connected; undefined: it did not join. */
  dialRelay(peer: string, addresses: readonly string[], signal: AbortSignal): Promise<Link | undefined>
}

export interface Circuits {
  /** The stream of a circuit, at the relay or at its far end. */
  serve(stream: Stream, link: Link): Promise<void>
  /** The same of one that has not greeted this peer: it may ask for an admin. */
  knocked(stream: Stream, link: Link): Promise<void>
  /** Tries relays until the peer has joined through one; else why not. Never rejects. */
  reach(peer: string, hints: readonly string[], signal: AbortSignal): Promise<{ joined: boolean; why: string }>
  /** Whether anybody could be asked for a way to this peer. */
  mayReach(peer: string): boolean
}

export function createCircuits(needs: CircuitsNeeds): Circuits {
  const { links } = needs
  /** Peers of a version that knows no circuits. */
  const without = new WeakSet<Link>()

  /** That came through relays and are no members yet. */
  const newcomers = createNewcomers(needs.clock, { ...NEWCOMER_LIMITS, circuitsPerHost: NEWCOMER_LIMITS.circuits })

  const arrive = async (talk: CircuitTalk, relay: Link, from: string, newcomer: boolean): Promise<void> => {
    const way = circuitThrough(remoteAddress(relay), relay.peer)
    const leave = newcomer ? newcomers.enter(from, way) : () => undefined
    if (leave === undefined) return talk.say({ ok: false, why: 'that peer has no room for more newcomers' })
    if (!needs.admits(from, newcomer)) {
      leave()
      needs.turnedAway(from, way)
      return talk.say({ ok: false, why: 'that peer does not let this one in' })
    }
    let connection: CircuitConnection | undefined
    try {
      await talk.say({ ok: true })
      connection = new CircuitConnection(talk.bytes(), 'inbound', withPeer(way, from))
      connection.addEventListener('close', leave)
      await needs.upgrader().upgradeInbound(connection, { signal: AbortSignal.timeout(CIRCUIT_WAIT_MS) })
    } catch (error) {
      leave()
      connection?.abort(error as Error)
      throw error
    }
  }

  /** @throws why there is no connection */
  const through = (relay: Link, peer: string, signal: AbortSignal): Promise<Connection> => {
    const address = withPeer(circuitThrough(needs.addressOf(relay), relay.peer), peer)
    return circuitTo(relay.connection, { protocol: CIRCUIT_PROTOCOL, peer, address }, needs.upgrader(), signal)
  }

  const attempt = async (relay: Link, peer: string, signal: AbortSignal): Promise<string | undefined> => {
    try {
      const connection = await through(relay, peer, signal)
      const joined = await links.link(connection)?.settled
      return joined === true ? undefined : `${relay.peer}: the greeting failed`
    } catch (error) {
      // what libp2p rejects with may be an event, which has no message
      const { name, message } = error instanceof Error ? error : new Error('the stream has ended')
      if (name === 'UnsupportedProtocolError') without.add(relay)
      return `${relay.peer}: ${message.slice(0, 80)}`
    }
  }

  const known = (peer: string): Link[] =>
    links.joined().flatMap(({ peer: relay }) => {
      const link = relay === peer ? undefined : links.direct(relay)
      return link === undefined || without.has(link) ? [] : [link]
    })

  /** Relays that the peer itself names come first; those that are not connected are dialled last. */
  async function* relaysFor(peer: string, hints: readonly string[], signal: AbortSignal): AsyncGenerator<Link> {
    const named = new Map<string, string[]>()
    for (const relay of hints.map(relayOf))
      if (relay !== undefined && relay.peer !== peer)
        named.set(relay.peer, [...(named.get(relay.peer) ?? []), relay.address])
    const all = known(peer)
    yield* all.filter((link) => named.has(link.peer))
    yield* all.filter((link) => !named.has(link.peer))
    const unknown = [...named].filter(([relay]) => links.direct(relay) === undefined)
    for (const [relay, addresses] of unknown.slice(0, WANTED_RELAYS)) {
      const link = signal.aborted ? undefined : await needs.dialRelay(relay, addresses, signal)
      if (link !== undefined) yield link
    }
  }

  return {
    async serve(stream, link) {
      try {
        const talk = talkOver(stream)
        const question = await talk.hear(questionSchema)
        if ('to' in question) await needs.server.connect(talk, link, peerIdFromString(question.to).toString())
        else await arrive(talk, link, peerIdFromString(question.from).toString(), question.newcomer === true)
      } catch (error) {
        needs.logger.info({ err: error, peer: link.peer }, 'a circuit was not made')
        stream.abort(error as Error)
      }
    },
    async knocked(stream, link) {
      try {
        const talk = talkOver(stream)
        const { to } = await talk.hear(knockSchema)
        await needs.server.knock(talk, link, peerIdFromString(to).toString())
      } catch (error) {
        needs.logger.info({ err: error, peer: link.peer }, 'a newcomer was not carried')
        stream.abort(error as Error)
      }
    },
    async reach(peer, hints, signal) {
      // both sides lose a direct way at once: one of them goes first, so that there are seldom two circuits
      if (needs.self > peer) await needs.clock.sleep(RELAY_TURN_MS, signal).catch(() => undefined)
      const arriving = links.of(peer).find((link) => isRelayed(link) && link.state !== 'refused')
      if (arriving !== undefined && (await orAbort(arriving.settled, signal).catch(() => false)))
        return { joined: true, why: '' }
      const whys: string[] = []
      const ending = new AbortController()
      const either = AbortSignal.any([signal, ending.signal])
      const { promise: joined, resolve: join } = Promise.withResolvers<true>()
      const attempts: Promise<void>[] = []
      for await (const relay of relaysFor(peer, hints, either)) {
        if (signal.aborted || attempts.length >= MAX_RELAYS_TRIED) break
        const one = attempt(relay, peer, either).then((why) => {
          if (why === undefined) join(true)
          else whys.push(why)
        })
        attempts.push(one)
        const patience = needs.clock.sleep(NEXT_RELAY_MS, either).catch(() => undefined)
        if ((await Promise.race([joined, one, patience])) === true) break
      }
      const over = orAbort(Promise.all(attempts), signal).catch(() => undefined)
      const won = await Promise.race([joined, over.then(() => false)])
      ending.abort()
      return { joined: won, why: whys.slice(0, 2).join('; ') || 'no relay is known' }
    },
    mayReach: (peer) => known(peer).length > 0,
  }
}
