/**
 * Channels between peers that compute: one kept open to each neighbour, opened when it is first needed. An answer goes back over the
 * channel that its question came by: after a cut, another channel to the same peer may be one that is dead already.
 */
import { DTYPE, frame } from '../../net/index.ts'
import type { Channel, Frame, Network } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { errorControl } from '../told.ts'
import { PeerLostError } from './errors.ts'
import { RING, RING_PROTOCOL } from './protocol.ts'

/** Where a frame came from, and where its answer goes. */
export interface Link {
  readonly peer: string
  send(message: Frame): Promise<void>
}

export interface Links {
  /** Over this peer's own channel to the neighbour. @throws ChannelClosedError, PeerUnreachableError, PeerLostError */
  send(peer: string, message: Frame): Promise<void>
  /** Opens this peer's own channel to a neighbour that rows will go to: with its lane that takes several round trips. */
  prepare(peer: string): void
  stop(): Promise<void>
}

/** A neighbour that cannot be reached in this time is as good as lost. */
const OPEN_DEADLINE_MS = 2_500

export interface LinksInit {
  readonly clock: Clock
  /** @default the ring's */
  readonly protocol?: string
  readonly self: string
  /** Null: this peer alone. */
  readonly network: Network | null
  /** Its channel takes in no more than it may hold until what this returns is done. */
  receive(from: Link, message: Frame): void | Promise<void>
  /** This peer has sent itself a frame that `receive` throws on: there is no channel that could end. */
  fault(message: Frame, error: unknown): void
  /** A channel has ended, and what it carried is lost; `own`: it is the one that `send` used. */
  ended(link: Link, own: boolean): void
}

export function createLinks(init: LinksInit): Links {
  const { protocol = RING_PROTOCOL } = init
  const channels = new Map<string, Promise<Link>>()
  const opened = new Set<Channel>()
  const accept = (channel: Channel, own: boolean): Link => {
    const link: Link = {
      peer: channel.remote,
      send: (message) => channel.send(message),
    }
    opened.add(channel)
    channel.onFrame((message) => init.receive(link, message))
    void channel.closed.then(() => {
      opened.delete(channel)
      init.ended(link, own)
    })
    return link
  }
  init.network?.handle(protocol, 'compute', (channel) => void accept(channel, false))

  const open = async (network: Network, peer: string): Promise<Link> => {
    const late = new AbortController()
    const cancel = init.clock.after(OPEN_DEADLINE_MS, () =>
      late.abort(new PeerLostError(peer, `it was not reached in ${OPEN_DEADLINE_MS / 1000} s`)),
    )
    try {
      const channel = await network.openLane(peer, protocol, late.signal)
      void channel.closed.then(() => channels.delete(peer))
      return accept(channel, true)
    } finally {
      cancel()
    }
  }
  const self: Link = {
    peer: init.self,
    send: (message) => {
      queueMicrotask(() => {
        try {
          init.receive(self, message)?.catch((error: unknown) => init.fault(message, error))
        } catch (error) {
          init.fault(message, error)
        }
      })
      return Promise.resolve()
    },
  }
  const linkTo = (network: Network, peer: string): Promise<Link> => {
    const known = channels.get(peer)
    if (known !== undefined) return known
    const link = open(network, peer)
    channels.set(peer, link)
    link.catch(() => channels.delete(peer))
    return link
  }
  return {
    async send(peer, message) {
      if (peer === init.self || init.network === null) return self.send(message)
      await (await linkTo(init.network, peer)).send(message)
    },
    prepare(peer) {
      // One that is not reached now is told of when there is something to send.
      if (peer !== init.self && init.network !== null) linkTo(init.network, peer).catch(() => undefined)
    },
    async stop() {
      await Promise.all([...opened].map((channel) => channel.close().catch(() => undefined)))
    },
  }
}

/** Of a frame that answers one with rows. */
export const NO_PAYLOAD = { dtype: DTYPE.none, dims: [], payload: new Uint8Array(0) } as const

/** Why what a frame asked for is not done. */
export function failureOf(message: Frame, error: unknown): Frame {
  return forward(message, { type: RING.error, ...NO_PAYLOAD, control: errorControl(error) })
}

/** A frame of the ring out of one of another type, for another request and hop. */
export function forward(message: Frame, change: Partial<Frame> & Pick<Frame, 'type'>): Frame {
  return frame({ ...message, ...change })
}
