/** Protocols served to joined peers, and channels opened to them; the membership is asked for each. */
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import { channelOverStream } from './channel-carriers.ts'
import { HELLO_WAIT_MS, MAX_STREAMS_PER_PROTOCOL } from './constants.ts'
import { NotAdmittedError, PeerUnreachableError } from './discovery-errors.ts'
import { ProtocolUnsupportedError } from './errors.ts'
import type { Link, Links } from './links.ts'
import type { Channel, Membership } from './types.ts'

interface ServingNeeds {
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly membership: Membership
  readonly links: Links
  libp2p(): Libp2p
}

export interface Serving {
  handle(protocol: string, purpose: string, handler: (channel: Channel) => void): void
  /** @throws ProtocolUnsupportedError, PeerUnreachableError, or the reason of the signal */
  open(link: Link, protocol: string, signal: AbortSignal | undefined): Promise<Channel>
}

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

export function createServing(needs: ServingNeeds): Serving {
  const accept = (stream: Stream, peer: string, purpose: string, handler: (channel: Channel) => void): void => {
    if (!needs.membership.admits(peer, purpose)) {
      needs.telemetry?.count('frames_refused')
      stream.abort(new NotAdmittedError(peer, `not for ${purpose}`))
      return
    }
    const channel = channelOverStream(stream, peer, needs.telemetry)
    try {
      handler(channel)
    } catch (error) {
      needs.logger.error({ err: error, peer, protocol: stream.protocol }, 'a handler failed')
      channel.abort(error as Error)
    }
  }
  return {
    handle(protocol, purpose, handler) {
      const { logger } = needs
      register({ logger, libp2p: needs.libp2p() }, protocol, MAX_STREAMS_PER_PROTOCOL, async (stream, connection) => {
        const peer = connection.remotePeer.toString()
        if (needs.links.link(connection)?.state === 'joined') return accept(stream, peer, purpose, handler)
        // its greeting is about to end: what the dialler sends behind it waits in the window
        stream.pause()
        const joined = await needs.links.admits(connection)
        if (!joined) return stream.abort(new NotAdmittedError(peer, 'it has not greeted'))
        accept(stream, peer, purpose, handler)
        if (stream.readStatus === 'paused') stream.resume()
      })
    },
    async open(link, protocol, signal) {
      const deadline = AbortSignal.timeout(HELLO_WAIT_MS)
      const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
      const options = { signal: either, maxOutboundStreams: MAX_STREAMS_PER_PROTOCOL }
      try {
        return channelOverStream(await link.connection.newStream(protocol, options), link.peer, needs.telemetry)
      } catch (error) {
        signal?.throwIfAborted()
        const { name, message } = error as Error
        if (name === 'UnsupportedProtocolError') throw new ProtocolUnsupportedError(link.peer, protocol)
        throw new PeerUnreachableError(link.peer, message)
      }
    },
  }
}
