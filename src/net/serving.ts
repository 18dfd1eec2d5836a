/** Protocols served to joined peers, and channels opened to them; the membership is asked for each. */
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { channelOverStream } from './channel-carriers.ts'
import { HELLO_WAIT_MS, MAX_STREAMS_PER_PROTOCOL } from './constants.ts'
import type { Defence, Offence } from './defence.ts'
import { NotAdmittedError, PeerUnreachableError } from './discovery-errors.ts'
import { ControlError, FrameError, ProtocolUnsupportedError } from './errors.ts'
import { HELLO_PROTOCOL } from './hello.ts'
import { createLanes, LANE_PROTOCOL } from './lanes.ts'
import { isRelayed } from './link-view.ts'
import type { Link, Links } from './links.ts'
import { watchNegotiation } from './negotiation.ts'
import type { NegotiationNeeds } from './negotiation.ts'
import type { Channel, Membership } from './types.ts'
import { createUnspoken } from './unspoken.ts'

interface ServingNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly membership: Membership
  readonly defence?: Defence | undefined
  readonly links: Links
  libp2p(): Libp2p
  /** Multiaddrs that are listened on, with their real ports. */
  listening(): readonly string[]
}

export interface Serving {
  start(): void
  handle(protocol: string, purpose: string, handler: (channel: Channel, link: Link) => void): void
  /** The same for streams that carry no frames. */
  handleStreams(protocol: string, purpose: string, handler: (stream: Stream, link: Link) => void, early?: Early): void
  handleEarly(protocol: string, purpose: string, handler: (channel: Channel) => void, early?: Early): void
  /** Ends channels for what their peers are not admitted to any more. */
  review(): void
  /** Milliseconds since anything but upkeep (protocols that every connection has) went over a relayed connection. */
  quietFor(link: Link): number
  /** @throws ProtocolUnsupportedError, PeerUnreachableError, or the reason of the signal */
  open(link: Link, protocol: string, signal: AbortSignal | undefined): Promise<Channel>
  /** The same, over a lane where one can be had. */
  openLane(link: Link, protocol: string, signal: AbortSignal | undefined): Promise<Channel>
  /** A lane or nothing, and no harm to other lanes. Never throws. */
  tryLane(link: Link, protocol: string): Promise<Channel | undefined>
  /** A connection is gone. */
  left(link: Link): void
  stop(): Promise<void>
}

/**
 * Served also while the greeting is under way: `greets`, as a part of it, or `asks`, in place of it: who asks need not greet for
 * as long as the stream lasts.
 */
export type Early = 'greets' | 'asks'

type Handler = (channel: Channel, link: Link) => void

type StreamHandler = (stream: Stream, connection: Connection) => void | Promise<void>

/** Streams beyond `streams` of this protocol on one connection are refused. */
export function register(
  needs: { libp2p: Libp2p; logger: Logger },
  protocol: string,
  streams: number,
  on: StreamHandler,
): void {
  const options = { maxInboundStreams: streams, maxOutboundStreams: streams }
  needs.libp2p.handle(protocol, on, options).catch((error: unknown) => {
    needs.logger.error({ err: error, protocol }, 'a protocol cannot be served')
  })
}

/** Every connection is greeted; `opened` hears of it first. What comes to nothing before that is counted. */
export function serveGreetings(
  needs: NegotiationNeeds & { readonly libp2p: Libp2p; readonly logger: Logger },
  links: Links,
  opened: (connection: Connection) => void,
): void {
  needs.libp2p.addEventListener('connection:open', ({ detail }) => {
    watchNegotiation(detail, needs)
    opened(detail)
  })
  needs.libp2p.addEventListener('connection:close', ({ detail }) => links.closed(detail))
  register(needs, HELLO_PROTOCOL, 1, (stream, connection) => links.hello(stream, connection))
}

export function createServing(needs: ServingNeeds): Serving {
  const served = new Map<string, { readonly purpose: string; readonly handler: Handler }>()
  const lanes = createLanes({
    ...needs,
    server: (link, protocol) => {
      const one = served.get(protocol)
      if (one === undefined) offend(link, 'scan')
      if (one === undefined || !needs.membership.admits(link.peer, one.purpose)) return undefined
      return (channel) => hand(channel, link, protocol, one.handler)
    },
  })
  /** Channels that are served now, with what they are for. */
  const open = new Map<Channel, string>()
  const hand = (channel: Channel, link: Link, protocol: string, handler: Handler): void => {
    open.set(channel, served.get(protocol)?.purpose ?? 'connect')
    void channel.closed.then((error) => {
      open.delete(channel)
      if (error instanceof FrameError || error instanceof ControlError) offend(link, 'malformed')
    })
    try {
      handler(channel, link)
    } catch (error) {
      needs.logger.error({ err: error, peer: link.peer, protocol }, 'a handler failed')
      channel.abort(error as Error)
    }
  }
  const offend = (link: Link, offence: Offence): void => void needs.defence?.offend(`peer:${link.peer}`, offence)
  const unspoken = createUnspoken(needs.clock)
  const used = new WeakMap<Link, number>()
  const watchUse = (stream: Stream, link: Link, purpose: string): void => {
    if (purpose === 'connect' || !isRelayed(link)) return
    const use = (): void => void used.set(link, needs.clock.now())
    const send = stream.send.bind(stream)
    stream.send = (data) => {
      use()
      return send(data)
    }
    stream.addEventListener('message', use)
    use()
  }
  const handleStreams: Serving['handleStreams'] = (protocol, purpose, handler, early) => {
    const { logger, links } = needs
    const accept = (stream: Stream, link: Link): void => {
      const within = needs.defence?.allows(link.peer, purpose) !== false
      if (within && needs.membership.admits(link.peer, purpose)) {
        if (early === 'asks') links.waitFor(link, stream)
        return handler(stream, link)
      }
      needs.telemetry?.count('frames_refused')
      stream.abort(new NotAdmittedError(link.peer, within ? `not for ${purpose}` : `too often for ${purpose}`))
      if (!within) offend(link, 'flood')
      else if (!needs.membership.admits(link.peer, 'connect')) offend(link, 'scan')
    }
    register({ logger, libp2p: needs.libp2p() }, protocol, MAX_STREAMS_PER_PROTOCOL, async (stream, connection) => {
      const link = links.link(connection)
      if (link?.state === 'joined' || (early !== undefined && link?.state === 'greeting')) return accept(stream, link)
      // its greeting is about to end: what the dialler sends behind it waits in the window
      stream.pause()
      const joined = await links.admits(connection)
      if (!joined || link === undefined)
        return stream.abort(new NotAdmittedError(connection.remotePeer.toString(), 'it has not greeted'))
      accept(stream, link)
      if (stream.readStatus === 'paused') stream.resume()
    })
  }
  const handle = (protocol: string, purpose: string, handler: Handler): void => {
    served.set(protocol, { purpose, handler })
    handleStreams(protocol, purpose, (stream, link) => {
      watchUse(stream, link, purpose)
      hand(channelOverStream(stream, link.peer, needs.telemetry), link, protocol, handler)
    })
  }
  const openChannel: Serving['open'] = async (link, protocol, signal) => {
    const deadline = AbortSignal.timeout(HELLO_WAIT_MS)
    const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
    const options = { signal: either, maxOutboundStreams: MAX_STREAMS_PER_PROTOCOL }
    if (unspoken.has(link, protocol)) throw new ProtocolUnsupportedError(link.peer, protocol)
    try {
      const stream = await link.connection.newStream(protocol, options)
      watchUse(stream, link, served.get(protocol)?.purpose ?? 'unknown')
      return channelOverStream(stream, link.peer, needs.telemetry)
    } catch (error) {
      signal?.throwIfAborted()
      const { name, message } = error as Error
      if (name === 'UnsupportedProtocolError') {
        unspoken.note(link, protocol)
        throw new ProtocolUnsupportedError(link.peer, protocol)
      }
      throw new PeerUnreachableError(link.peer, message)
    }
  }
  return {
    start: () => handle(LANE_PROTOCOL, 'connect', (channel, link) => lanes.serve(channel, link)),
    handle,
    handleStreams,
    handleEarly(protocol, purpose, handler, early = 'greets') {
      served.set(protocol, { purpose, handler })
      const serve = (stream: Stream, link: Link): void =>
        hand(channelOverStream(stream, link.peer, needs.telemetry), link, protocol, handler)
      handleStreams(protocol, purpose, serve, early)
    },
    review() {
      for (const [channel, purpose] of open) {
        if (needs.membership.admits(channel.remote, purpose)) continue
        needs.telemetry?.count('frames_refused')
        channel.abort(new NotAdmittedError(channel.remote, `not for ${purpose} any more`))
      }
    },
    quietFor: (link) => needs.clock.now() - (used.get(link) ?? link.openedAt),
    open: openChannel,
    openLane: async (link, protocol, signal) =>
      (await lanes.open(link, protocol, signal)) ?? (await openChannel(link, protocol, signal)),
    tryLane: (link, protocol) => lanes.tryOpen(link, protocol),
    left: (link) => lanes.drop(link),
    stop: () => lanes.stop(),
  }
}
