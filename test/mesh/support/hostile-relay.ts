/**
 * A member gone bad that carries whoever asks to whoever it is connected to, says of them that they are whom it likes, and keeps
 * each byte that goes through: an own program on libp2p, greeted as a member by the others.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { CircuitConnection } from '../../../src/net/circuit-connection.ts'
import { answerSchema, CIRCUIT_PROTOCOL, questionSchema, talkOver } from '../../../src/net/circuit-wire.ts'
import type { CircuitAnswer } from '../../../src/net/circuit-wire.ts'
import { encodeFrame, FrameDecoder } from '../../../src/net/frame.ts'
import { PING_PROTOCOL } from '../../../src/net/heartbeat.ts'
import { greet } from '../../../src/net/hello-stream.ts'
import { HELLO_PROTOCOL } from '../../../src/net/hello.ts'
import type { Verdict } from '../../../src/net/hello.ts'
import { frame } from '../../../src/net/index.ts'
import { startNode } from '../../../src/net/libp2p-node.ts'
import type { RunningNode } from '../../../src/net/libp2p-node.ts'
import { networkSecrets } from '../../../src/net/secrets.ts'
import type { Identity } from '../../../src/trust/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { random } from '../../trust/support/cluster.ts'

interface Door {
  readonly doorKey: Uint8Array
}

function program(identity: Identity, { doorKey }: Door): Promise<RunningNode> {
  return startNode(
    {
      privateKey: identity.privateKey,
      secrets: networkSecrets('', doorKey),
      instance: random.bytes(16),
      note: () => undefined,
      keepsOut: () => false,
      prepare: () => undefined,
    },
    ['/ip4/127.0.0.1/tcp/0'],
  )
}

/** What it was told, word by word, goes to `told`. @returns what was said of it at the end; undefined: nothing */
async function greeting(
  identity: Identity,
  door: Door,
  stream: Stream,
  connection: Connection,
  role: 'dialler' | 'listener',
  told: Uint8Array[],
): Promise<Verdict | undefined> {
  stream.addEventListener('message', ({ data }) => void told.push(data.slice()))
  const welcome: Verdict = { verdict: 'welcome' }
  let verdict: Verdict | undefined
  await greet(systemClock(), stream, {
    role,
    self: identity.id,
    remote: connection.remotePeer.toString(),
    versions: { min: 1, max: 1 },
    proofKey: networkSecrets('', door.doorKey).proof,
    nonce: random.bytes(32),
    about: { software: '9', name: 'helper', network: '', instance: 'ab'.repeat(16), epoch: 7, addresses: [] },
    judge: () => Promise.resolve(welcome),
    decision: () => Promise.resolve(welcome),
    heard: (got) => (verdict = got),
    joined: () => undefined,
  }).catch(() => undefined)
  return verdict
}

export interface Brought {
  /** What the relay was told of it: whether it may come. */
  readonly answer: CircuitAnswer
  readonly verdict: Verdict | undefined
  /** Whether a request was served: an echo. */
  readonly served: boolean
}

export interface HostileRelay {
  readonly address: string
  /** What it has carried, and what it was told in greetings. */
  readonly carried: Uint8Array[]
  readonly told: Uint8Array[]
  /** Somebody with this identity, whatever the relay says who it is, is carried to a peer and asks it for something. */
  bring(as: Identity, claimed: string, to: string, protocol: string): Promise<Brought>
  stop(): Promise<void>
}

export async function hostileRelay(identity: Identity, door: Door): Promise<HostileRelay> {
  const { libp2p, listening } = await program(identity, door)
  const [carried, told]: [Uint8Array[], Uint8Array[]] = [[], []]
  const nodes: RunningNode[] = []
  const ask = async (from: string, to: string): Promise<{ answer: CircuitAnswer; bytes: () => Stream }> => {
    const target = libp2p.getConnections().find(({ remotePeer }) => remotePeer.toString() === to)
    const talk = talkOver(await target!.newStream(CIRCUIT_PROTOCOL))
    await talk.say({ from })
    return { answer: await talk.hear(answerSchema), bytes: () => talk.bytes() }
  }
  const pass = (from: Stream, to: Stream): void => {
    from.addEventListener('message', ({ data }) => {
      carried.push(data.slice())
      to.send(data)
    })
  }
  await libp2p.handle(HELLO_PROTOCOL, (stream, connection) => {
    void greeting(identity, door, stream, connection, 'listener', told)
  })
  await libp2p.handle(PING_PROTOCOL, (stream) => {
    const decoder = new FrameDecoder()
    stream.addEventListener('message', ({ data }) => {
      for (const got of decoder.push(data.subarray()))
        for (const part of encodeFrame({ ...got, type: 2 })) stream.send(part)
    })
  })
  await libp2p.handle(CIRCUIT_PROTOCOL, async (stream, connection) => {
    const talk = talkOver(stream)
    const question = await talk.hear(questionSchema)
    if (!('to' in question)) return
    const { answer, bytes } = await ask(connection.remotePeer.toString(), question.to)
    await talk.say(answer)
    if (!answer.ok) return
    const [near, far] = [talk.bytes(), bytes()]
    pass(near, far)
    pass(far, near)
  })
  return {
    address: `${listening[0]!}/p2p/${identity.id}`,
    carried,
    told,
    async bring(as, claimed, to, protocol) {
      const { answer, bytes } = await ask(claimed, to)
      if (!answer.ok) return { answer, verdict: undefined, served: false }
      const node = await program(as, door)
      nodes.push(node)
      const address = `${listening[0]!}/p2p/${identity.id}/p2p-circuit/p2p/${to}`
      const connection = await node.upgrader
        .upgradeOutbound(new CircuitConnection(bytes(), 'outbound', address), { signal: AbortSignal.timeout(10_000) })
        .catch(() => undefined)
      if (connection === undefined) return { answer, verdict: undefined, served: false }
      const hello = await connection.newStream(HELLO_PROTOCOL).catch(() => undefined)
      const verdict = hello === undefined ? undefined : await greeting(as, door, hello, connection, 'dialler', [])
      const request = await connection.newStream(protocol).catch(() => undefined)
      return { answer, verdict, served: request !== undefined && (await isAnswered(request)) }
    },
    async stop() {
      await Promise.all([libp2p, ...nodes.map((one) => one.libp2p)].map(async (one) => one.stop()))
    },
  }
}

function isAnswered(stream: Stream): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  stream.addEventListener('message', () => resolve(true))
  stream.addEventListener('close', () => resolve(false))
  stream.addEventListener('remoteCloseWrite', () => resolve(false))
  try {
    for (const part of encodeFrame(frame({ type: 1 }))) stream.send(part)
  } catch {
    resolve(false)
  }
  return promise
}

/** For whoever dials it: the address with which a peer is reached through this one. */
export const throughRelay = (relay: HostileRelay, to: string): string =>
  multiaddr(`${relay.address}/p2p-circuit/p2p/${to}`).toString()
