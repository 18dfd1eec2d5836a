/**
 * yamux as libp2p takes it, but for one thing (8.0.3): it announces streams, room in them and its own end in turns where
 * an error has nobody to catch it, and so ends the process. Where a connection has closed just then, as it does when the
 * other side is killed, that is the end of the connection alone.
 */
import type { MessageStream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'
import type { YamuxMuxerInit } from '@libp2p/yamux'

/** Types of frames that nobody waits for; who sends data or a ping has to learn that it did not go. */
const WINDOW_UPDATE = 1
const GO_AWAY = 3

/** What is replaced in a muxer. */
interface FrameSender extends StreamMuxer {
  sendFrame(header: { readonly type: number }, data?: unknown): boolean
}

export function sparedYamux(init?: YamuxMuxerInit): () => StreamMuxerFactory {
  const muxers = yamux(init)
  return () => {
    const factory: StreamMuxerFactory = muxers()
    const create = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection) => {
      const muxer = create(connection)
      spare(muxer as FrameSender, connection)
      return muxer
    }
    return factory
  }
}

function spare(muxer: FrameSender, connection: MessageStream): void {
  const send = muxer.sendFrame.bind(muxer)
  muxer.sendFrame = (header, data) => {
    try {
      return send(header, data)
    } catch (error) {
      if (header.type !== WINDOW_UPDATE && header.type !== GO_AWAY) throw error
      // Nothing can be written any more, so nothing on this connection can end well.
      if (muxer.status === 'open') {
        muxer.abort(error as Error)
        connection.abort(error as Error)
      }
      return true
    }
  }
}
