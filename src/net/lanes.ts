/**
 * Lanes: a TCP connection of its own for a channel whose round trips matter, such as the ring's. Over noise and yamux
 * each small frame is sealed twice (its window update is a packet too) by code in JavaScript; a lane is TLS, which the
 * platform does natively (`bench/net-channel.ts` has the difference). Who may have one is decided over the greeted
 * connection, which also hands out its key, and a lane ends with that connection. Where none can be had (a port that
 * is filtered, an older peer) the channel is an ordinary stream.
 */
import { connect } from 'node:tls'
import type { Socket } from 'node:net'
import { z } from 'zod'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { hostOf } from './addresses.ts'
import { channelOverSocket, channelOverStream } from './channel-carriers.ts'
import { LANE_WAIT_MS, MAX_LANES_PER_LINK } from './constants.ts'
import { decodeControl, encodeControl } from './control.ts'
import { ChannelClosedError, FrameError } from './errors.ts'
import { frame } from './frame.ts'
import type { Frame } from './frame.ts'
import { createLaneDoor, LANE_TLS } from './lane-door.ts'
import type { Link } from './links.ts'
import { isRelayed, remoteAddress } from './link-view.ts'
import type { Channel } from './types.ts'

export const LANE_PROTOCOL = '/weft/lane/1'
const ASK = 1
const OFFER = 2
const NONE = 3

/** Between keep-alives of a lane that carries nothing: translators of addresses forget idle connections. */
const KEEP_ALIVE_MS = 15_000

const askSchema = z.object({
  protocol: z.string().max(64),
  /** Address by which the asking side reaches this one. */
  host: z.union([z.ipv4(), z.ipv6()]),
})
const offerSchema = z.object({
  port: z.int().min(1).max(65_535),
  name: z.string().regex(/^[0-9a-f]{32}$/),
  key: z.instanceof(Uint8Array).refine((key) => key.length === 32),
})

export interface LanesNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  /** Multiaddrs that are listened on, with their real ports. */
  listening(): readonly string[]
  /** Hands an arrived channel to whoever serves the protocol; undefined: nobody does, or not for this peer. */
  server(link: Link, protocol: string): ((channel: Channel) => void) | undefined
}

export interface Lanes {
  /** The serving side of `LANE_PROTOCOL`. */
  serve(channel: Channel, link: Link): void
  /** A lane for this protocol; undefined where there is none to be had. @throws the reason of the signal */
  open(link: Link, protocol: string, signal: AbortSignal | undefined): Promise<Channel | undefined>
  /**
   * The same as one try, for who tries more and more seldom, also where one was tried in vain: that it failed, as on a line that
   * loses packets, takes lanes from nobody else. Never throws.
   */
  tryOpen(link: Link, protocol: string): Promise<Channel | undefined>
  /** The connection is gone, and its lanes with it. */
  drop(link: Link): void
  stop(): Promise<void>
}

export function createLanes(needs: LanesNeeds): Lanes {
  const door = createLaneDoor(needs)
  const open = new Map<Link, Set<Channel>>()
  /** Tickets that are out, by connection: lanes that may yet arrive. */
  const awaited = new Map<Link, number>()
  /** Connections on which a lane was tried in vain: not again, since each try costs its deadline. */
  const without = new WeakSet<Link>()
  const keep = (link: Link, socket: Socket): Channel => {
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const channel = channelOverSocket(socket, link.peer, needs.telemetry)
    const all = open.get(link) ?? new Set()
    open.set(link, all.add(channel))
    void channel.closed.then(() => {
      all.delete(channel)
      if (all.size === 0) open.delete(link)
    })
    if (link.state !== 'joined') channel.abort(new ChannelClosedError(link.peer))
    return channel
  }
  const countTicket = (link: Link, more: 1 | -1): void => {
    const count = (awaited.get(link) ?? 0) + more
    if (count === 0) awaited.delete(link)
    else awaited.set(link, count)
  }
  const offer = async (link: Link, asked: Frame): Promise<Frame> => {
    const ask = askSchema.safeParse(decodeControl(asked.control))
    if (asked.type !== ASK || !ask.success) throw new FrameError('type', 'no question for a lane')
    const serve = needs.server(link, ask.data.protocol)
    const host = listeningHost(needs.listening(), ask.data.host)
    if (serve === undefined || host === undefined) return frame({ type: NONE })
    if ((open.get(link)?.size ?? 0) + (awaited.get(link) ?? 0) >= MAX_LANES_PER_LINK) return frame({ type: NONE })
    const arrived = (socket: Socket): void => {
      const channel = keep(link, socket)
      needs.telemetry?.count('lanes_opened')
      serve(channel)
    }
    countTicket(link, 1)
    const ended = (): void => countTicket(link, -1)
    const { port, name, key } = await door.ticket(host, arrived, ended).catch((error: unknown) => {
      ended()
      throw error
    })
    return frame({ type: OFFER, control: encodeControl({ port, name, key }) })
  }
  const reach = async (
    link: Link,
    host: string,
    protocol: string,
    signal: AbortSignal | undefined,
  ): Promise<Channel> => {
    const late = AbortSignal.timeout(LANE_WAIT_MS)
    const either = signal === undefined ? late : AbortSignal.any([late, signal])
    const { port, name, key } = await ask(link, { protocol, host }, either)
    const socket = await dial(host, port, { name, key }, either)
    needs.telemetry?.count('lanes_opened')
    return keep(link, socket)
  }
  return {
    serve(channel, link) {
      channel.onFrame(async (asked) => {
        const answer = await offer(link, asked).catch((error: unknown) => {
          if (error instanceof FrameError) throw error
          needs.logger.warn({ err: error }, 'no listener for lanes')
          return frame({ type: NONE })
        })
        await channel.send(answer)
      })
    },
    async open(link, protocol, signal) {
      if (without.has(link)) return undefined
      const host = laneHost(link)
      if (host === undefined) {
        without.add(link)
        needs.telemetry?.count('lanes_missed')
        return undefined
      }
      try {
        return await reach(link, host, protocol, signal)
      } catch (error) {
        signal?.throwIfAborted()
        without.add(link)
        needs.telemetry?.count('lanes_missed')
        needs.logger.info({ err: error, peer: link.peer, protocol }, 'no lane; the channel is a stream')
        return undefined
      }
    },
    async tryOpen(link, protocol) {
      const host = laneHost(link)
      return host === undefined ? undefined : reach(link, host, protocol, undefined).catch(() => undefined)
    },
    drop(link) {
      for (const channel of open.get(link) ?? []) channel.abort(new ChannelClosedError(link.peer))
      open.delete(link)
    },
    async stop() {
      for (const channels of open.values())
        for (const channel of channels) channel.abort(new ChannelClosedError(channel.remote))
      await door.stop()
    },
  }
}

/** Where a lane to it would go; undefined over a relay, whose address is its own, and where nobody waits for a lane of ours. */
function laneHost(link: Link): string | undefined {
  return isRelayed(link) ? undefined : hostOf(`${remoteAddress(link)}/`)
}

async function ask(
  link: Link,
  question: z.infer<typeof askSchema>,
  signal: AbortSignal,
): Promise<z.infer<typeof offerSchema>> {
  const channel = channelOverStream(await link.connection.newStream(LANE_PROTOCOL, { signal }), link.peer)
  const { promise, resolve, reject } = Promise.withResolvers<Frame>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  channel.onFrame(resolve)
  void channel.closed.then((reason) => reject(reason ?? new ChannelClosedError(link.peer)))
  try {
    // Where the connection is just lost both fail, and a rejection that nobody hears of ends the process.
    const [answer] = await Promise.all([promise, channel.send(frame({ type: ASK, control: encodeControl(question) }))])
    if (answer.type !== OFFER) throw new ChannelClosedError(link.peer, 'it offers no lane')
    return offerSchema.parse(decodeControl(answer.control))
  } finally {
    signal.removeEventListener('abort', onAbort)
    channel.close().catch(() => undefined)
  }
}

function dial(
  host: string,
  port: number,
  ticket: { readonly name: string; readonly key: Uint8Array },
  signal: AbortSignal,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connect({
    ...LANE_TLS,
    host,
    port,
    pskCallback: () => ({ psk: ticket.key, identity: ticket.name }),
    // There is no certificate: that the other end has the key of the ticket says who it is.
    checkServerIdentity: () => undefined,
  })
  const onAbort = (): void => {
    socket.destroy()
    reject(signal.reason as Error)
  }
  socket.once('error', reject)
  socket.once('close', () => reject(new ChannelClosedError(host)))
  socket.once('secureConnect', () => resolve(socket))
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  return promise.finally(() => signal.removeEventListener('abort', onAbort))
}

/** Which of our listening hosts a connection to `host` would reach. */
function listeningHost(listening: readonly string[], host: string): string | undefined {
  const wildcard = host.includes(':') ? '::' : '0.0.0.0'
  const hosts = listening.map(hostOf)
  return hosts.find((one) => one === host) ?? hosts.find((one) => one === wildcard)
}
