/**
 * This peer as a relay: it keeps places for members that cannot be dialled, and carries circuits between members that
 * it is connected to directly. What goes through is sealed between the two ends (noise, with the network key). In a
 * cluster it carries those that have an invite as well (newcomers.ts), to admins alone.
 */
import type { Stream } from '@libp2p/interface'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { answerSchema, CIRCUIT_PROTOCOL, talkOver } from './circuit-wire.ts'
import type { CircuitArrival, CircuitTalk } from './circuit-wire.ts'
import { CIRCUIT_WAIT_MS, NEWCOMER_LIMITS } from './constants.ts'
import type { RelayLimits } from './constants.ts'
import { encodeControl } from './control.ts'
import { FrameError } from './errors.ts'
import { frame } from './frame.ts'
import type { Link, Links } from './links.ts'
import { isRelayed, remoteAddress } from './link-view.ts'
import { createNewcomers } from './newcomers.ts'
import { splice } from './splice.ts'
import type { Channel, Membership } from './types.ts'

/** A channel that stays open for as long as the place is kept. */
export const RELAY_PROTOCOL = '/weft/relay/1'
export const RELAY_FRAME = { reserve: 1, reserved: 2, refused: 3 } as const
/** What a member must be admitted to, at the relay, to be either end of a circuit. */
export const RELAY_PURPOSE = 'relay'
/** What a member must be admitted to so that newcomers are carried to it: only who lets others in. */
export const INVITE_PURPOSE = 'invite'

interface RelayServerNeeds {
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly membership: Membership
  readonly links: Links
  /** Undefined: this peer is no relay. */
  readonly limits: RelayLimits | undefined
}

/** One answer for all that is not to be: who is here is no business of those outside. */
const NO_WAY = { ok: false, why: 'there is no way in here' }

export interface RelayServer {
  /** Somebody wants to be reachable through this peer. */
  reserve(channel: Channel, link: Link): void
  /** Somebody wants to be carried to `to`. The stream is answered in any case; never rejects. */
  connect(talk: CircuitTalk, link: Link, to: string): Promise<void>
  /** Somebody who has not greeted wants to be carried to an admin. As above; it is told nothing but yes or no. */
  knock(talk: CircuitTalk, link: Link, to: string): Promise<void>
  readonly reservations: number
  readonly circuits: number
  /** Circuits with an end that is not admitted any more end. */
  review(): void
  stop(): void
}

export function createRelayServer(needs: RelayServerNeeds): RelayServer {
  const { links, limits, membership, telemetry } = needs
  const reserved = new Map<string, Channel>()
  /** Made or being made: who is at its ends, and how to end it. */
  const circuits = new Set<{ readonly ends: readonly string[]; end(why: string): void }>()
  const ofPeer = (peer: string): number => [...circuits].filter(({ ends }) => ends.includes(peer)).length

  const refusal = (from: Link, to: string): string | undefined => {
    if (limits === undefined) return 'it is no relay'
    if (isRelayed(from)) return 'it relays for direct connections only'
    const target = links.direct(to)
    if (target === undefined || from.peer === to) return 'it is not connected to that peer'
    if (![from.peer, to].every((peer) => membership.admits(peer, RELAY_PURPOSE))) return 'not for this peer'
    if (circuits.size >= limits.circuits) return 'it carries as many circuits as it may'
    if ([from.peer, to].some((peer) => ofPeer(peer) >= limits.circuitsPerPeer)) return 'too many circuits of one peer'
    return undefined
  }

  const newcomers = createNewcomers(needs.clock)
  /** Of newcomers; they take no place of a member's. */
  const knocks = new Map<string, { readonly to: string; end(why: string): void }>()
  const mayKnock = (link: Link, to: string): boolean =>
    limits !== undefined &&
    !isRelayed(link) &&
    links.direct(to) !== undefined &&
    [RELAY_PURPOSE, INVITE_PURPOSE].every((purpose) => membership.admits(to, purpose))

  const arriveAt = async (target: Link, question: CircuitArrival): Promise<Stream | string> => {
    const signal = AbortSignal.timeout(CIRCUIT_WAIT_MS)
    const stream = await target.connection.newStream(CIRCUIT_PROTOCOL, { signal })
    try {
      const talk = talkOver(stream, signal)
      await talk.say(question)
      const { ok, why } = await talk.hear(answerSchema)
      if (ok) return talk.bytes()
      stream.abort(new Error('refused'))
      return why ?? 'that peer said no'
    } catch (error) {
      stream.abort(error as Error)
      throw error
    }
  }

  const carry = (near: Stream, far: Stream, ends: readonly string[]): void => {
    telemetry?.count('relay_circuits')
    const joint = splice(near, far, {
      clock: needs.clock,
      bytes: limits?.bytes,
      milliseconds: limits?.milliseconds,
      carried: (bytes) => telemetry?.count('relay_bytes', bytes),
      ended: () => void circuits.delete(circuit),
    })
    const circuit = { ends, end: (why: string) => joint.end(why) }
    circuits.add(circuit)
  }

  return {
    get reservations() {
      return reserved.size
    },
    get circuits() {
      return circuits.size
    },
    reserve(channel, link) {
      channel.onFrame(async ({ type }) => {
        if (type !== RELAY_FRAME.reserve) throw new FrameError('type', `frame ${type} where a place is asked for`)
        const full = limits !== undefined && reserved.size >= limits.reservations && !reserved.has(link.peer)
        const why =
          limits === undefined ? 'it is no relay' : isRelayed(link) ? 'not over a relay' : full ? 'full' : null
        if (why !== null) {
          telemetry?.count('relay_refused')
          return channel.send(frame({ type: RELAY_FRAME.refused, control: encodeControl({ why }) }))
        }
        const before = reserved.get(link.peer)
        if (before !== channel) telemetry?.count('relay_reservations')
        reserved.set(link.peer, channel)
        if (before !== undefined && before !== channel) void before.close().catch(() => undefined)
        await channel.send(frame({ type: RELAY_FRAME.reserved, control: encodeControl({ ...limits }) }))
      })
      void channel.closed.then(() => {
        if (reserved.get(link.peer) === channel) reserved.delete(link.peer)
      })
    },
    async connect(talk, link, to) {
      const why = refusal(link, to)
      if (why !== undefined) {
        telemetry?.count('relay_refused')
        return talk.say({ ok: false, why })
      }
      const making = { ends: [link.peer, to], end: () => undefined }
      circuits.add(making)
      try {
        const far = await arriveAt(links.direct(to)!, { from: link.peer })
        if (typeof far === 'string') return await talk.say({ ok: false, why: far })
        await talk.say({ ok: true })
        carry(talk.bytes(), far, making.ends)
      } catch (error) {
        needs.logger.info({ err: error, from: link.peer, to }, 'a circuit could not be made')
        await talk.say({ ok: false, why: 'that peer does not answer' }).catch(() => undefined)
      } finally {
        circuits.delete(making)
      }
    },
    async knock(talk, link, to) {
      const leave = mayKnock(link, to) ? newcomers.enter(link.peer, remoteAddress(link)) : undefined
      if (leave === undefined) {
        telemetry?.count('relay_refused')
        return talk.say(NO_WAY)
      }
      try {
        const far = await arriveAt(links.direct(to)!, { from: link.peer, newcomer: true })
        if (typeof far === 'string') {
          leave()
          return await talk.say(NO_WAY)
        }
        await talk.say({ ok: true })
        telemetry?.count('relay_circuits')
        const { bytes, milliseconds } = NEWCOMER_LIMITS
        const ended = (): void => {
          knocks.delete(link.peer)
          leave()
        }
        const carried = (count: number): void => telemetry?.count('relay_bytes', count)
        const joint = splice(talk.bytes(), far, { clock: needs.clock, bytes, milliseconds, carried, ended })
        knocks.set(link.peer, { to, end: (why) => joint.end(why) })
      } catch (error) {
        leave()
        needs.logger.info({ err: error, from: link.peer, to }, 'a newcomer could not be carried')
        await talk.say(NO_WAY).catch(() => undefined)
      }
    },
    review() {
      for (const [from, knock] of knocks)
        if (membership.isRemoved(from) || !membership.admits(knock.to, INVITE_PURPOSE))
          knock.end('not for these peers any more')
      for (const circuit of circuits)
        if (!circuit.ends.every((peer) => membership.admits(peer, RELAY_PURPOSE)))
          circuit.end('not for these peers any more')
    },
    stop() {
      for (const circuit of [...circuits, ...knocks.values()]) circuit.end('the relay stops')
      for (const channel of reserved.values()) channel.close().catch(() => undefined)
    },
  }
}
