/** Somebody with a libp2p program of their own, who knows the door: it says what it likes, below all that weft's programs say. */
import type { Connection, Stream, StreamMuxer } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { startNode } from '../../src/net/libp2p-node.ts'
import { networkSecrets } from '../../src/net/secrets.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemRandom } from '../../src/util/index.ts'

export interface Scanner {
  readonly id: string
  /** One name has been asked for then. */
  connect(address: string): Promise<Connection>
  stop(): Promise<void>
}

export async function scanner(): Promise<Scanner> {
  const identity = newIdentity()
  const { libp2p } = await startNode(
    {
      privateKey: identity.privateKey,
      secrets: networkSecrets('test', undefined),
      instance: systemRandom().bytes(16),
      note: () => undefined,
      keepsOut: () => false,
      prepare: () => undefined,
    },
    [],
  )
  return {
    id: identity.id,
    async connect(address) {
      const connection = await libp2p.dial(multiaddr(address), { force: true })
      // the other end is done with the handshake too when it answers
      await askFor(connection, 1)
      return connection
    },
    stop: async () => {
      await libp2p.stop()
    },
  }
}

/** Asks for this many names that nobody speaks, all of them over streams of `each` names; how many were answered with a no. */
export async function askFor(connection: Connection, names: number, each = 1): Promise<number> {
  let refused = 0
  for (let from = 0; from < names && connection.status === 'open'; from += each) {
    const asked = Array.from({ length: Math.min(each, names - from) }, (_, index) => `/scan/${from + index}/1`)
    await connection.newStream(asked).catch((error: Error) => {
      if (error.name === 'UnsupportedProtocolError') refused += asked.length
    })
  }
  return refused
}

/** A stream on which nothing is agreed yet. */
export function bareStream(connection: Connection): Promise<Stream> {
  const { muxer } = connection as Connection & { readonly muxer: StreamMuxer }
  return Promise.resolve(muxer.createStream())
}

/** Bytes where frames of the multiplexer should be, sealed as all others. */
export function sendBelow(connection: Connection, bytes: Uint8Array): void {
  const { muxer } = connection as unknown as {
    readonly muxer: { readonly maConn: { send(data: Uint8Array): unknown } }
  }
  muxer.maConn.send(bytes)
}
