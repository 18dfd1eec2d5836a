/**
 * Where lanes arrive: a TLS listener (RFC 4279, pre-shared keys) beside libp2p's. It has no certificate and no name, and
 * knows nobody but the holders of tickets: a ticket and its key are handed out over a greeted connection, serve once,
 * and soon expire. While no ticket is out, whoever connects is cut off at once.
 */
import { createServer } from 'node:tls'
import type { Server, TLSSocket } from 'node:tls'
import type { AddressInfo, Socket } from 'node:net'
import type { Clock, RandomSource } from '../util/index.ts'
import { LANE_WAIT_MS, MAX_LANE_SOCKETS } from './constants.ts'

/**
 * The cipher of noise, in one native pass for each record; the key is agreed on anew for each lane (ECDHE), so that it
 * opens nothing later. TLS 1.2 because Node takes no external keys in 1.3.
 */
export const LANE_TLS = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const

const TICKET_BYTES = 16
const KEY_BYTES = 32

export interface Ticket {
  readonly port: number
  /** Hex; the identity in the handshake. */
  readonly name: string
  readonly key: Uint8Array
  /** Nobody may come by it any more. */
  withdraw(): void
}

interface Expected {
  readonly key: Uint8Array
  readonly arrived: (socket: Socket) => void
  /** It is of no more use; the second call does nothing. */
  readonly end: () => void
}

export interface LaneDoor {
  /**
   * A ticket for the listener on `host`, which is opened when it is first needed. `ended` is called once: before the
   * holder's arrival, or when nobody may come by the ticket any more. @throws the system's error, without `ended`
   */
  ticket(host: string, arrived: (socket: Socket) => void, ended: () => void): Promise<Ticket>
  stop(): Promise<void>
}

export function createLaneDoor(needs: { readonly clock: Clock; readonly random: RandomSource }): LaneDoor {
  const servers = new Map<string, Promise<Server>>()
  const expected = new Map<string, Expected>()
  const take = (socket: TLSSocket): Expected | undefined => {
    const name = names.get(socket)
    const one = name === undefined ? undefined : expected.get(name)
    one?.end()
    return one
  }
  /** Which ticket a socket has shown; its handshake fails unless it also has the key. */
  const names = new WeakMap<object, string>()
  const listen = async (host: string): Promise<Server> => {
    const server = createServer({
      ...LANE_TLS,
      handshakeTimeout: LANE_WAIT_MS,
      pskCallback: (socket: TLSSocket, name: string) => {
        names.set(socket, name)
        return expected.get(name)?.key ?? null
      },
    })
    server.maxConnections = MAX_LANE_SOCKETS
    server.on('connection', (socket: Socket) => {
      socket.on('error', () => socket.destroy())
      if (expected.size === 0) socket.destroy()
    })
    server.on('tlsClientError', (_error, socket) => socket.destroy())
    server.on('secureConnection', (socket) => {
      const one = take(socket)
      if (one === undefined) socket.destroy()
      else one.arrived(socket)
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port: 0 }, resolve)
    })
    server.on('error', () => undefined)
    return server
  }
  return {
    async ticket(host, arrived, ended) {
      let server = servers.get(host)
      if (server === undefined) {
        server = listen(host)
        servers.set(host, server)
        server.catch(() => servers.delete(host))
      }
      const { port } = (await server).address() as AddressInfo
      const name = Buffer.from(needs.random.bytes(TICKET_BYTES)).toString('hex')
      const key = needs.random.bytes(KEY_BYTES)
      const end = (): void => {
        cancel()
        if (expected.delete(name)) ended()
      }
      const cancel = needs.clock.after(LANE_WAIT_MS, end)
      expected.set(name, { key, arrived, end })
      return { port, name, key, withdraw: end }
    },
    async stop() {
      expected.clear()
      for (const server of servers.values()) {
        const one = await server.catch(() => undefined)
        one?.close()
      }
    },
  }
}
