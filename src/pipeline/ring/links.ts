/** The ring's channels: one kept open to each neighbour, opened when it is first needed; this peer is its own neighbour. */
import { frame } from '../../net/index.ts'
import type { Channel, Frame, Network } from '../../net/index.ts'
import { RING_PROTOCOL } from './protocol.ts'

export interface Links {
  /** @throws ChannelClosedError, PeerUnreachableError */
  send(peer: string, message: Frame): Promise<void>
  stop(): Promise<void>
}

export interface LinksInit {
  readonly self: string
  /** Null: this peer alone. */
  readonly network: Network | null
  receive(from: string, message: Frame): void
  /** A neighbour's channel has ended; what it carried is lost. */
  lost(peer: string): void
  /** Payload bytes that went over a network. */
  sent(bytes: number): void
  received(bytes: number): void
}

export function createLinks(init: LinksInit): Links {
  const channels = new Map<string, Promise<Channel>>()
  const accept = (channel: Channel): void => {
    channel.onFrame((message) => {
      init.received(message.payload.length)
      init.receive(channel.remote, message)
    })
    void channel.closed.then(() => init.lost(channel.remote))
  }
  init.network?.handle(RING_PROTOCOL, 'compute', accept)
  const open = (peer: string): Promise<Channel> => {
    const known = channels.get(peer)
    if (known !== undefined) return known
    const opening = init.network!.open(peer, RING_PROTOCOL).then((channel) => {
      accept(channel)
      void channel.closed.then(() => channels.delete(peer))
      return channel
    })
    channels.set(peer, opening)
    opening.catch(() => channels.delete(peer))
    return opening
  }
  return {
    async send(peer, message) {
      if (peer === init.self) {
        queueMicrotask(() => init.receive(init.self, message))
        return
      }
      if (init.network === null) throw new TypeError(`no network to reach ${peer}`)
      const channel = await open(peer)
      init.sent(message.payload.length)
      await channel.send(message)
    },
    async stop() {
      const open = await Promise.allSettled(channels.values())
      for (const result of open) if (result.status === 'fulfilled') await result.value.close().catch(() => undefined)
    },
  }
}

/** A frame of the ring out of one of another type, for another request and hop. */
export function forward(message: Frame, change: Partial<Frame> & Pick<Frame, 'type'>): Frame {
  return frame({ ...message, ...change })
}
