/** One of the crowd: a libp2p node of its own, with its own identity, that comes from its own address. */
import { connect } from 'node:net'
import { noise } from '@chainsafe/libp2p-noise'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import type { TCPSocketOptions } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { MESH_PROTOCOL } from '../../../src/mesh/gossip-wire.ts'
import { encodeFrame, FrameDecoder } from '../../../src/net/frame.ts'
import { PING_PROTOCOL } from '../../../src/net/heartbeat.ts'
import { greet } from '../../../src/net/hello-stream.ts'
import { HELLO_PROTOCOL } from '../../../src/net/hello.ts'
import type { Verdict } from '../../../src/net/hello.ts'
import { weftNoise } from '../../../src/net/noise.ts'
import { networkSecrets } from '../../../src/net/secrets.ts'
import { newIdentity } from '../../../src/trust/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { PROTOCOLS } from '../../mesh/support/stranger.ts'
import { random } from '../../trust/support/cluster.ts'
import { forgeries, lies, longAbout, longIdentify, LURES, topics } from './poison.ts'
import type { AttackJob, CrowdCounts, Target } from './talk.ts'

/** What one of them does besides coming again. */
export const HABITS = ['liar', 'holder', 'flooder', 'newcomer', 'knocker'] as const
export type Habit = (typeof HABITS)[number]

/** Connections that a holder and a knocker keep open at each member. */
const HELD = 12
/** After a refusal: it comes again. */
const AGAIN_MS = 500
const PATIENCE_MS = 20_000
/** Made-up protocols that are asked for on a connection. */
const INVENTED = 20

interface StrangerInit {
  readonly habit: Habit
  readonly key: Uint8Array | undefined
  /** It comes from here. */
  readonly host: string
  readonly counts: CrowdCounts
}

export interface Stranger {
  readonly id: string
  /** Where it listens. */
  readonly address: string
  attack(job: AttackJob): void
  stop(): Promise<void>
}

export async function startStranger({ habit, key, host, counts }: StrangerInit): Promise<Stranger> {
  const identity = newIdentity()
  const secrets = networkSecrets('', key)
  const clock = systemClock()
  let job: AttackJob | undefined
  let said: readonly Uint8Array[][] = []
  const ending = new AbortController()

  const send = (stream: Stream, parts: readonly Uint8Array[]): boolean => {
    try {
      for (const part of parts) stream.send(part)
      return true
    } catch {
      return false
    }
  }
  const listen = (stream: Stream): void => {
    let heard = false
    stream.addEventListener('message', () => {
      if (!heard) counts.answered++
      heard = true
    })
  }
  /** Who does not answer is cut off. */
  const answerPings = (stream: Stream): void => {
    const decoder = new FrameDecoder()
    stream.addEventListener('message', ({ data }) => {
      for (const got of decoder.push(data.subarray())) send(stream, encodeFrame({ ...got, type: 2 }))
    })
  }
  const lie = (stream: Stream): void => {
    listen(stream)
    for (const record of said) if (send(stream, record)) counts.records++
    if (habit === 'flooder' && send(stream, topics(identity.id))) counts.floods++
  }
  const hello = async (stream: Stream, connection: Connection, role: 'dialler' | 'listener'): Promise<boolean> => {
    const welcome: Verdict = { verdict: 'welcome' }
    let isIn = false
    await greet(clock, stream, {
      role,
      self: identity.id,
      remote: connection.remotePeer.toString(),
      versions: { min: 1, max: 1 },
      proofKey: secrets.proof,
      nonce: random.bytes(32),
      about: {
        software: '9',
        name: 'p',
        network: '',
        instance: 'ab'.repeat(16),
        epoch: 7,
        addresses: LURES,
        ...(habit === 'newcomer' ? { log: { height: 1_000, hash: 'cd'.repeat(32) } } : {}),
      },
      judge: () => Promise.resolve(welcome),
      decision: () => Promise.resolve(welcome),
      heard: ({ verdict }) => void counts[verdict === 'welcome' ? 'welcome' : 'refused']++,
      joined: () => void (isIn = true),
    }).catch(() => undefined)
    return isIn
  }
  const libp2p = await node(
    identity.privateKey,
    host,
    key === undefined
      ? noise()
      : weftNoise({
          secrets,
          instance: random.bytes(16),
          note: () => undefined,
        }),
  )
  for (const protocol of PROTOCOLS)
    void libp2p.handle(protocol, (stream, connection) => {
      if (protocol === HELLO_PROTOCOL) void hello(stream, connection, 'listener')
      else if (protocol === MESH_PROTOCOL) lie(stream)
      else if (protocol === PING_PROTOCOL) answerPings(stream)
    })
  await libp2p.start()

  const open = async (connection: Connection, protocol: string): Promise<Stream | undefined> => {
    const stream = await connection
      .newStream(protocol, { signal: AbortSignal.timeout(PATIENCE_MS) })
      .catch(() => undefined)
    if (stream !== undefined) counts.opened++
    return stream
  }
  const flood = async (connection: Connection): Promise<void> => {
    const greeting = await open(connection, HELLO_PROTOCOL)
    if (greeting !== undefined && send(greeting, longAbout())) counts.floods++
    for (const protocol of ['/ipfs/id/1.0.0', '/ipfs/id/push/1.0.0']) {
      const identify = await open(connection, protocol)
      if (identify === undefined) continue
      listen(identify)
      if (send(identify, [longIdentify()])) counts.floods++
    }
    for (let n = 0; n < INVENTED; n++) {
      counts.invented++
      if ((await open(connection, `/made-up/${n}/1.0.0`)) !== undefined) counts.served++
    }
  }
  const speak = async (connection: Connection): Promise<void> => {
    const greeting = await open(connection, HELLO_PROTOCOL)
    if (greeting === undefined) return
    const isIn = hello(greeting, connection, 'dialler')
    // it does not wait to be let in
    for (const protocol of PROTOCOLS.filter((one) => one !== HELLO_PROTOCOL && one !== MESH_PROTOCOL)) {
      const stream = await open(connection, protocol)
      if (stream !== undefined) listen(stream)
      if (connection.status !== 'open') return
    }
    await isIn
    if (identity.id < connection.remotePeer.toString()) {
      const stream = await open(connection, MESH_PROTOCOL)
      if (stream !== undefined) lie(stream)
    }
  }
  const behave = (connection: Connection): Promise<unknown> => {
    if (habit === 'holder') return Promise.resolve()
    return habit === 'flooder' && connection.timeline.open % 2 === 0 ? flood(connection) : speak(connection)
  }
  /** Comes again whenever it was turned away; a holder has one connection more each time, up to its number. */
  const visit = async (target: Target): Promise<void> => {
    const most = habit === 'holder' ? HELD : 1
    let open = 0
    while (!ending.signal.aborted) {
      counts.dialled++
      const signal = AbortSignal.timeout(PATIENCE_MS)
      const connection = await libp2p.dial(multiaddr(target.address), { signal, force: true }).catch(() => undefined)
      if (connection !== undefined) {
        counts.connected++
        open++
        const closed = new Promise<void>((resolve) =>
          connection.addEventListener('close', () => resolve(), { once: true }),
        )
        void closed.then(() => open--)
        await behave(connection)
        if (open >= most) await closed
      }
      await clock.sleep(AGAIN_MS)
    }
  }
  const knock = async (target: Target): Promise<void> => {
    const port = Number(/\/tcp\/(\d+)/.exec(target.address)![1])
    while (!ending.signal.aborted) {
      const socket = connect({ port, host: '127.0.0.1', localAddress: host })
      counts.knocked++
      await new Promise((resolve) => socket.on('error', resolve).on('close', resolve))
      await clock.sleep(AGAIN_MS)
    }
  }
  return {
    id: identity.id,
    address: libp2p.getMultiaddrs()[0]!.toString(),
    attack(given) {
      job = given
      void Promise.all([lies(identity, job), habit === 'flooder' ? forgeries(identity, job) : []]).then(
        ([own, forged]) => {
          said = [...own, ...forged]
          for (const target of given.targets)
            if (habit === 'knocker') for (let n = 0; n < HELD; n++) void knock(target)
            else void visit(target)
        },
      )
    },
    async stop() {
      ending.abort()
      await libp2p.stop()
    },
  }
}

function node(
  privateKey: ReturnType<typeof newIdentity>['privateKey'],
  host: string,
  encrypter: ReturnType<typeof noise>,
): Promise<Libp2p> {
  return createLibp2p({
    start: false,
    privateKey,
    addresses: { listen: [`/ip4/${host}/tcp/0`] },
    transports: [tcp({ dialOpts: { localAddress: host } as TCPSocketOptions })],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux({ streamOptions: { initialStreamWindowSize: 1 << 20, maxStreamWindowSize: 4 << 20 } })],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: {
      maxConnections: 10_000,
      inboundConnectionThreshold: 10_000,
      maxParallelDials: 1_000,
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false },
  })
}
