/** Channels over a libp2p stream (between peers) and over a socket (a lane; a peer and its stage hosts). */
import type { Socket } from 'node:net'
import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { FrameChannel } from './channel.ts'
import type { Meter, Wire } from './channel.ts'
import { ChannelClosedError } from './errors.ts'
import type { FrameTrust } from './frame.ts'
import type { Channel } from './types.ts'

/**
 * A channel over a libp2p stream. The listener for data is attached here and now, so call it in the tick in which the
 * stream appeared.
 */
export function channelOverStream(stream: Stream, remote: string, meter?: Meter): Channel {
  const pauseLater = (): void => {
    // pausing inside a 'message' event leaves yamux un-paused: resume() sets its state after it has dispatched
    queueMicrotask(() => {
      if (wanted === 'paused' && stream.readStatus === 'readable') stream.pause()
    })
  }
  let wanted: 'paused' | 'readable' = 'readable'
  const wire: Wire = {
    write: (parts) => {
      try {
        return stream.send(new Uint8ArrayList(...parts)) || !stream.writableNeedsDrain
      } catch (error) {
        queueMicrotask(() => channel.abort(error as Error))
        return false
      }
    },
    pause: () => {
      wanted = 'paused'
      pauseLater()
    },
    resume: () => {
      wanted = 'readable'
      queueMicrotask(() => {
        if (wanted === 'readable' && stream.readStatus === 'paused') stream.resume()
      })
    },
    end: () => void stream.close().catch((error: unknown) => stream.abort(error as Error)),
    destroy: (reason) => stream.abort(reason),
  }
  const channel = new FrameChannel(remote, wire, meter)
  stream.addEventListener('message', ({ data }) => {
    if (data instanceof Uint8Array) channel.receive(data)
    else for (const part of data) channel.receive(part)
  })
  // the 'drain' event, never onDrain(): its promise is not renewed after the first use. The stream goes on with its
  // own queue in a microtask; a frame is admitted only when that left room
  stream.addEventListener('drain', () => {
    queueMicrotask(() => {
      if (!stream.writableNeedsDrain) channel.drained()
    })
  })
  stream.addEventListener('end', () => {
    if (stream.status !== 'aborted' && stream.status !== 'reset') channel.finished()
  })
  stream.addEventListener('close', (event) => channel.ended(event.error))
  if (stream.status !== 'open') queueMicrotask(() => channel.ended(new ChannelClosedError(remote)))
  return channel
}

/** A channel over a connected socket; the caller has checked who is at the other end. */
export function channelOverSocket(socket: Socket, remote: string, meter?: Meter): Channel {
  return overSocket(socket, remote, 'peers', meter)
}

/** A channel between a peer and a process of its own, over a socket that both have from the start. Both ends must use it. */
export function channelToOwn(socket: Socket, remote: string): Channel {
  return overSocket(socket, remote, 'own')
}

function overSocket(socket: Socket, remote: string, trust: FrameTrust, meter?: Meter): Channel {
  socket.setNoDelay(true)
  const wire: Wire = {
    trust,
    write: (parts) => {
      // corked, so that header and payload leave in one writev
      socket.cork()
      let room = true
      for (const part of parts) room = socket.write(part)
      socket.uncork()
      return room && !socket.writableNeedDrain
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
  }
  const channel = new FrameChannel(remote, wire, meter)
  let failure: Error | undefined
  socket.on('data', (bytes: Buffer) => {
    channel.receive(bytes)
    if (trust === 'own') release(bytes)
  })
  socket.on('drain', () => channel.drained())
  socket.on('end', () => channel.finished())
  socket.on('error', (error) => (failure = error))
  socket.on('close', () => channel.ended(failure ?? new ChannelClosedError(remote)))
  if (socket.destroyed) queueMicrotask(() => channel.ended(new ChannelClosedError(remote)))
  return channel
}

/**
 * Gives back the memory of a chunk that has been read, where it fills a buffer of its own. Large tensors come in
 * hundreds of chunks, and the collector, which counts them, ran for 30% of the time that the peer was busy (measured).
 */
function release({ buffer, length }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer?.(0)
}
