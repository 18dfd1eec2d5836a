/** The libp2p node with weft's settings (shared/reference/libp2p.md, A5 and A10): TCP, noise, yamux, nothing that dials by itself. */
import type {
  Connection,
  DialTransportOptions,
  Libp2p,
  MultiaddrConnection,
  PrivateKey,
  Transport,
  Upgrader,
} from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import type { TCPSocketOptions } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { onAbort } from '../util/index.ts'
import type { Arrivals } from './arrivals.ts'
import { hostOf, isAnyAddress, isCircuit, portOf } from './addresses.ts'
import {
  ADDRESS_WAIT_MS,
  DIAL_WAIT_MS,
  INBOUND_PER_SECOND,
  INITIAL_WINDOW_BYTES,
  MAX_CONNECTIONS,
  MAX_STREAMS,
  MAX_UNPROVEN,
  MAX_WINDOW_BYTES,
  READ_BUFFER_BYTES,
  UPGRADE_WAIT_MS,
  WRITE_BUFFER_BYTES,
} from './constants.ts'
import type { Defence } from './defence.ts'
import { createDoor } from './door.ts'
import { UNKNOWN_HOST } from './doorstep.ts'
import { ListenError, PortInUseError } from './errors.ts'
import { weftNoise } from './noise.ts'
import type { HandshakeNote } from './noise.ts'
import type { NetworkSecrets } from './secrets.ts'
import { sparedYamux } from './spared-muxer.ts'
import { cappedUpgrader } from './unproven.ts'

/** Tried first when nobody names an address, so that firewalls and bookmarks have something to hold on to. */
export const DEFAULT_PORT = 7334
const FREE_PORT = '/ip4/0.0.0.0/tcp/0'

interface NodeInit {
  readonly privateKey: PrivateKey
  readonly secrets: NetworkSecrets
  readonly instance: Uint8Array
  readonly defence?: Defence | undefined
  readonly arrivals?: Arrivals
  note(note: HandshakeNote): void
  /** Whether a peer that has proven its id is cut off. */
  keepsOut(peer: string, connection: MultiaddrConnection): boolean
  /** Registers what must be there before the first connection. */
  prepare(libp2p: Libp2p): void
}

export interface RunningNode {
  readonly libp2p: Libp2p
  /** What makes a connection out of bytes both ways: for circuits, which come over streams. */
  readonly upgrader: Upgrader
  /** What is listened on, with the real ports. */
  readonly listening: readonly string[]
  /** A connection that leaves from a port of this machine's, on which nothing listens. */
  readonly from: DialFrom
}

/**
 * @param address with the id of the peer
 * @param isDialler false: both have dialled and met, and the other side speaks first
 * @throws why there is no connection
 */
export type DialFrom = (address: string, port: number, isDialler: boolean, signal: AbortSignal) => Promise<Connection>

/**
 * Starts on the addresses that were named, all of them; or on the default port, else on a free one. Null: on none.
 * @throws PortInUseError, ListenError
 */
export async function startNode(init: NodeInit, listen: readonly string[] | null): Promise<RunningNode> {
  if (listen === null || listen.length > 0) return start(init, listen ?? [])
  try {
    return await start(init, [`/ip4/0.0.0.0/tcp/${DEFAULT_PORT}`])
  } catch (error) {
    if (!(error instanceof PortInUseError)) throw error
    return start(init, [FREE_PORT])
  }
}

async function start(init: NodeInit, listen: readonly string[]): Promise<RunningNode> {
  let upgrader: Upgrader
  let transport: Transport
  const libp2p = await create(init, listen, (...found) => ([upgrader, transport] = found))
  init.prepare(libp2p)
  try {
    await libp2p.start()
  } catch (error) {
    await libp2p.stop()
    throw explain(error as Error, listen)
  }
  const actual = libp2p.getMultiaddrs().map((one) => one.toString().replace(/\/p2p\/.*$/, ''))
  const from: DialFrom = async (address, localPort, initiator, signal) => {
    // libp2p gives all of these to Node's socket, which a signal destroys whenever it comes: also after the dial is over
    const dialling = new AbortController()
    const stop = onAbort(signal, (reason) => dialling.abort(reason))
    try {
      const options = { upgrader, signal: dialling.signal, initiator, localPort } as DialTransportOptions
      return await transport.dial(multiaddr(address), options)
    } finally {
      stop()
    }
  }
  return { libp2p, upgrader: upgrader!, listening: listen.map((one) => withRealPort(one, listen, actual)), from }
}

function create(
  init: NodeInit,
  listen: readonly string[],
  use: (upgrader: Upgrader, transport: Transport) => void,
): Promise<Libp2p> {
  const door = createDoor((peer, connection) => init.keepsOut(peer, connection), init.defence, init.arrivals)
  // libp2p gives all of these to Node's server, and names a few
  const listenOpts = { blockList: door.step } as TCPSocketOptions
  return createLibp2p({
    start: false,
    privateKey: init.privateKey,
    addresses: { listen: [...listen] },
    transports: [
      (components) => {
        const upgrader = cappedUpgrader(components.upgrader, (address) => flooded(address, init.defence))
        const transport = upgradedBy(tcp({ listenOpts })(components), upgrader)
        use(upgrader, transport)
        return transport
      },
    ],
    connectionEncrypters: [
      weftNoise({ ...init, turn: async (address) => init.arrivals?.turn(hostOf(`${address ?? ''}/`) ?? UNKNOWN_HOST) }),
    ],
    streamMuxers: [
      sparedYamux({
        maxInboundStreams: MAX_STREAMS,
        maxOutboundStreams: MAX_STREAMS,
        streamOptions: {
          initialStreamWindowSize: INITIAL_WINDOW_BYTES,
          maxStreamWindowSize: MAX_WINDOW_BYTES,
          maxReadBufferLength: READ_BUFFER_BYTES,
          maxWriteBufferLength: WRITE_BUFFER_BYTES,
        },
      }),
    ],
    connectionGater: door.gater,
    connectionManager: {
      maxConnections: MAX_CONNECTIONS,
      inboundConnectionThreshold: INBOUND_PER_SECOND,
      maxIncomingPendingConnections: MAX_UNPROVEN,
      inboundUpgradeTimeout: UPGRADE_WAIT_MS,
      dialTimeout: DIAL_WAIT_MS,
      addressDialTimeout: ADDRESS_WAIT_MS,
      // our own dialler tries for as long as it takes; libp2p's gives up after five times
      reconnectRetries: 0,
    },
    // it would cut a peer that is busy for 15 s; our own heart-beat knows better
    connectionMonitor: { enabled: false },
  })
}

/** libp2p hands its own upgrader to a transport with each call. */
function upgradedBy(transport: Transport, upgrader: Upgrader): Transport {
  const [dial, createListener] = [transport.dial.bind(transport), transport.createListener.bind(transport)]
  transport.dial = (address, options) =>
    dial(address, { ...options, upgrader: isAnswering(options) ? answering(upgrader) : upgrader })
  transport.createListener = (options) => createListener({ ...options, upgrader })
  return transport
}

function isAnswering(options: object): boolean {
  return 'initiator' in options && options.initiator === false
}

/** Of two that both have dialled one speaks first. Who is which the muxer reads from the socket, not from what it is told. */
function answering(upgrader: Upgrader): Upgrader {
  return {
    ...upgrader,
    upgradeOutbound: (connection, options) =>
      upgrader.upgradeOutbound(Object.assign(connection, { direction: 'inbound' as const }), options),
  }
}

/** Somebody has sent more than a handshake, and has not proven who it is. */
function flooded(address: string, defence: Defence | undefined): void {
  const host = isCircuit(address) ? undefined : hostOf(`${address}/`)
  if (host !== undefined) defence?.offend(`host:${host}`, 'malformed')
}

function explain(error: Error, listen: readonly string[]): Error {
  if (!error.message.includes('EADDRINUSE')) return new ListenError(listen, firstCause(error.message))
  const taken = listen.find((one) => error.message.includes(`${one}: `))
  return new PortInUseError(taken ?? listen.join(', '))
}

/** libp2p's message is a paragraph; the system's error stands in it. */
function firstCause(text: string): string {
  return /\b(listen [A-Z]+[^\n]*|[A-Z]{5,}:[^\n]*)/.exec(text)?.[0] ?? text.split('\n').at(-1) ?? text
}

function withRealPort(one: string, all: readonly string[], actual: readonly string[]): string {
  if (portOf(one) !== 0) return one
  const family = one.slice(0, 5)
  const named = new Set(all.filter((other) => !isAnyAddress(other)).map(hostOf))
  const match = actual.find(
    (other) =>
      other.startsWith(family) && (isAnyAddress(one) ? !named.has(hostOf(other)) : hostOf(other) === hostOf(one)),
  )
  return one.replace('/tcp/0', `/tcp/${match === undefined ? 0 : portOf(match)}`)
}
