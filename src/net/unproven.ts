/**
 * How much the other end may send while nothing is agreed on yet. libp2p reads names of protocols a byte at a time, as fast as
 * they come, and nothing else runs meanwhile: four megabytes of 0xFF over one connection that had proven nothing held a peer up
 * for three seconds (measured). A handshake of ours takes some hundred bytes.
 */
import type { MessageStream, MultiaddrConnection, Upgrader } from '@libp2p/interface'
import type { AbstractMessageStream } from '@libp2p/utils'
import { MAX_UNAGREED_BYTES } from './constants.ts'
import { HelloFailedError } from './discovery-errors.ts'

type Heard = Pick<AbstractMessageStream, 'onData'>

/**
 * Ends a stream that brings more than `MAX_UNAGREED_BYTES` while `agreed` says no; what is over it is read by nobody.
 * @param over called once, when it has been ended
 */
export function capUnagreed(stream: MessageStream, remote: string, agreed: () => boolean, over: () => void): void {
  // every stream of libp2p has it: what arrives goes through here, and only then to whoever listens
  const heard = stream as MessageStream & Heard
  const onData = heard.onData.bind(heard)
  let bytes = 0
  heard.onData = (data) => {
    if (agreed()) return onData(data)
    bytes += data.byteLength
    if (bytes <= MAX_UNAGREED_BYTES) return onData(data)
    if (stream.status !== 'open') return
    stream.abort(new HelloFailedError(remote, `it sent ${bytes} bytes before anything was agreed on`))
    over()
  }
}

/**
 * The same of connections, until their peers have proven who they are and how streams are told apart.
 * @param over called with the address of who came and sent too much
 */
export function cappedUpgrader(upgrader: Upgrader, over: (address: string) => void): Upgrader {
  const capped = (connection: MultiaddrConnection): (() => void) => {
    const address = connection.remoteAddr.toString()
    let isAgreed = false
    capUnagreed(
      connection,
      address,
      () => isAgreed,
      () => over(address),
    )
    return () => void (isAgreed = true)
  }
  return {
    async upgradeInbound(connection, options) {
      const agreed = capped(connection)
      await upgrader.upgradeInbound(connection, options)
      agreed()
    },
    async upgradeOutbound(connection, options) {
      const agreed = capped(connection)
      const upgraded = await upgrader.upgradeOutbound(connection, options)
      agreed()
      return upgraded
    },
    createInboundAbortSignal: (signal) => upgrader.createInboundAbortSignal(signal),
    getConnectionEncrypters: () => upgrader.getConnectionEncrypters(),
    getStreamMuxers: () => upgrader.getStreamMuxers(),
  }
}
