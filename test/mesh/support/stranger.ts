/** An own program on libp2p that knows the door of a cluster: it greets, opens every protocol there is, and notes every word. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { isCircuit, parseAddress, relayOf, withPeer } from '../../../src/net/addresses.ts'
import { circuitTo } from '../../../src/net/circuit-dial.ts'
import { KNOCK_PROTOCOL } from '../../../src/net/circuit-wire.ts'
import { encodeControl, frame } from '../../../src/net/index.ts'
import type { Frame } from '../../../src/net/index.ts'
import { encodeFrame, FrameDecoder } from '../../../src/net/frame.ts'
import { greet } from '../../../src/net/hello-stream.ts'
import { HELLO_PROTOCOL } from '../../../src/net/hello.ts'
import type { Verdict } from '../../../src/net/hello.ts'
import { startNode } from '../../../src/net/libp2p-node.ts'
import { networkSecrets } from '../../../src/net/secrets.ts'
import type { Identity } from '../../../src/trust/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { random } from '../../trust/support/cluster.ts'

/** Every protocol that a source of weft names, so that none is forgotten when one is added. */
export const PROTOCOLS = [...new Set(namesIn(join(import.meta.dirname, '../../../src')))].sort()

function namesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [...readFileSync(join(folder, file), 'utf8').matchAll(/'(\/weft\/[a-z-]+\/\d+)'/g)])
    .map((match) => match[1]!)
}

export interface Heard {
  readonly protocol: string
  /** Whether the stream was opened by the other side. */
  readonly called: boolean
  readonly frames: Frame[]
  /** As they came. */
  readonly bytes: Uint8Array[]
}

export interface Stranger {
  readonly heard: Heard[]
  readonly verdicts: Verdict[]
  readonly address: string
  /** Dials, greets by the book, says its first messages to every protocol, and stays for as long as it is let. */
  visit(address: string): Promise<void>
  stop(): Promise<void>
}

/** @param cluster all that whoever has had an invite knows: the id, from which the key of the door follows */
export async function stranger(identity: Identity, cluster: string, doorKey: Uint8Array): Promise<Stranger> {
  const secrets = networkSecrets('', doorKey)
  const heard: Heard[] = []
  const verdicts: Verdict[] = []
  const listenTo = (stream: Stream, protocol: string, called: boolean): Heard => {
    const one: Heard = { protocol, called, frames: [], bytes: [] }
    const decoder = new FrameDecoder()
    heard.push(one)
    stream.addEventListener('message', ({ data }) => {
      const bytes = data.subarray()
      one.bytes.push(bytes)
      one.frames.push(...decoder.push(bytes))
    })
    return one
  }
  const ask = (stream: Stream, protocol: string): void => {
    for (const message of questions(protocol, cluster)) {
      try {
        for (const part of encodeFrame(message)) stream.send(part)
      } catch {
        return
      }
    }
  }
  const hello = async (stream: Stream, connection: Connection, role: 'dialler' | 'listener'): Promise<void> => {
    listenTo(stream, HELLO_PROTOCOL, role === 'listener')
    const verdict: Verdict = { verdict: 'welcome' }
    await greet(systemClock(), stream, {
      role,
      self: identity.id,
      remote: connection.remotePeer.toString(),
      versions: { min: 1, max: 1 },
      proofKey: secrets.proof,
      nonce: random.bytes(32),
      about: {
        software: '9',
        name: 'stranger',
        network: '',
        instance: 'ab'.repeat(16),
        epoch: 7,
        addresses: [],
        // more than anybody here has: reason enough to be asked for it
        log: { height: 1_000, hash: 'cd'.repeat(32) },
      },
      judge: () => Promise.resolve(verdict),
      decision: () => Promise.resolve(verdict),
      heard: (got) => void verdicts.push(got),
      joined: () => undefined,
    }).catch(() => undefined)
  }
  const { libp2p, listening, upgrader } = await startNode(
    {
      privateKey: identity.privateKey,
      secrets,
      instance: random.bytes(16),
      note: () => undefined,
      keepsOut: () => false,
      prepare: (node) => {
        for (const protocol of PROTOCOLS)
          void node.handle(protocol, (stream, connection) => {
            if (protocol === HELLO_PROTOCOL) void hello(stream, connection, 'listener')
            else {
              listenTo(stream, protocol, true)
              ask(stream, protocol)
            }
          })
      },
    },
    ['/ip4/127.0.0.1/tcp/0'],
  )
  /** By a relay where the address is a circuit. */
  const reached = async (address: string): Promise<Connection> => {
    const relay = isCircuit(address) ? relayOf(address) : undefined
    if (relay === undefined) return libp2p.dial(multiaddr(address), { force: true })
    const near = await libp2p.dial(multiaddr(withPeer(relay.address, relay.peer)))
    const target = { protocol: KNOCK_PROTOCOL, peer: parseAddress(address)!.peer!, address }
    return circuitTo(near, target, upgrader, AbortSignal.timeout(5_000))
  }
  return {
    heard,
    verdicts,
    address: `${listening[0]!}/p2p/${identity.id}`,
    async visit(address) {
      const connection = await reached(address)
      const closed = new Promise((resolve) => connection.addEventListener('close', resolve, { once: true }))
      const greeting = await connection.newStream(HELLO_PROTOCOL)
      for (const protocol of PROTOCOLS.filter((one) => one !== HELLO_PROTOCOL)) {
        const stream = await connection.newStream(protocol).catch(() => undefined)
        if (stream === undefined) continue
        listenTo(stream, protocol, false)
        ask(stream, protocol)
      }
      await hello(greeting, connection, 'dialler')
      await closed
    },
    stop: async () => {
      await libp2p.stop()
    },
  }
}

/** The first messages that each protocol might answer; of those whose messages others know, these. */
function questions(protocol: string, cluster: string): Frame[] {
  const control = (type: number, value: unknown): Frame => frame({ type, control: encodeControl(value) })
  const enrol = [
    control(1, { invite: '0123456789abcdef', nonce: random.bytes(32), mac: random.bytes(32) }),
    control(4, { secret: random.bytes(16), name: 'x' }),
  ]
  const membership = [control(6, {}), control(2, { heads: [[0, cluster]] }), control(1, { height: 0, hash: cluster })]
  if (protocol === '/weft/enrol/1') return enrol
  return protocol === '/weft/membership/1' ? membership : [...enrol, ...membership]
}
