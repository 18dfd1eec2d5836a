/** A circuit as libp2p sees it: a connection whose bytes go over a stream to the relay. Noise and yamux run inside. */
import type { Stream } from '@libp2p/interface'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import type { SendResult } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import type { Uint8ArrayList } from 'uint8arraylist'

export class CircuitConnection extends AbstractMultiaddrConnection {
  readonly #stream: Stream
  #wanted: 'paused' | 'readable' = 'readable'

  /** @param address of the other end, with its id: `/ip4/../p2p/RELAY/p2p-circuit/p2p/PEER` */
  constructor(stream: Stream, direction: 'inbound' | 'outbound', address: string) {
    super({ remoteAddr: multiaddr(address), direction, log: stream.log.newScope('circuit') })
    this.#stream = stream
    stream.addEventListener('message', ({ data }) => this.onData(data))
    // as in channelOverStream: the stream goes on with its own queue first, and may be full again
    stream.addEventListener('drain', () => {
      queueMicrotask(() => {
        if (!stream.writableNeedsDrain) this.safeDispatchEvent('drain')
      })
    })
    stream.addEventListener('remoteCloseWrite', () => {
      this.onRemoteCloseWrite()
      this.close().catch((error: Error) => this.abort(error))
    })
    stream.addEventListener('close', (event) => this.onTransportClosed(event.error))
  }

  sendData(data: Uint8ArrayList): SendResult {
    const sentBytes = data.byteLength
    return { sentBytes, canSendMore: this.#stream.send(data) || !this.#stream.writableNeedsDrain }
  }

  async sendClose(): Promise<void> {
    await this.#stream.close()
  }

  sendReset(error: Error): void {
    this.#stream.abort(error)
  }

  sendPause(): void {
    this.#want('paused')
  }

  sendResume(): void {
    this.#want('readable')
  }

  /** Pausing inside a 'message' event leaves yamux un-paused: resume() sets its state after it has dispatched. */
  #want(wanted: 'paused' | 'readable'): void {
    this.#wanted = wanted
    queueMicrotask(() => {
      const { readStatus } = this.#stream
      if (this.#wanted === 'paused' && readStatus === 'readable') this.#stream.pause()
      if (this.#wanted === 'readable' && readStatus === 'paused') this.#stream.resume()
    })
  }
}
