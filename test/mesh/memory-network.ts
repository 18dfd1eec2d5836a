/**
 * A double of the transport only: peers of one process, channels that carry encoded frames in order, with delay, cuts
 * and damage on request. Everything above it is the real thing.
 */
import { encodeFrame, FrameDecoder, ProtocolUnsupportedError } from '../../src/net/index.ts'
import type { Channel, ConnectedPeer, Frame, Network, NetworkEvents } from '../../src/net/index.ts'
import type { Clock } from '../../src/util/index.ts'

export interface MemoryHub {
  network(id: string): Network
  connect(left: string, right: string): void
  /** All connect to all. */
  connectAll(): void
  disconnect(left: string, right: string): void
  /** Frames sent so far, all channels together. */
  frames(): number
  /** The transport from one to the other takes nothing more: sends do not end until `flow`. */
  stall(from: string, to: string): void
  flow(): void
  /** Frames that wait for `flow`. */
  stalled(): number
  /** Looks at each frame on its way; undefined drops it, an Error breaks the channel. */
  tamper(change: ((frame: Frame, from: string, to: string) => Frame | Error | undefined) | undefined): void
}

export interface MemoryHubInit {
  readonly clock: Clock
  /** Milliseconds one way. @default 0: in the next tick */
  readonly delay?: () => number
}

interface Node {
  readonly network: Network
  readonly handlers: Map<string, (channel: Channel) => void>
  readonly listeners: Set<NetworkEvents>
  readonly peers: Map<string, ConnectedPeer>
  readonly channels: Set<End>
}

export function createMemoryHub(init: MemoryHubInit): MemoryHub {
  const nodes = new Map<string, Node>()
  /** Pairs that dialling does not bring together again; `connect` does. */
  const cut = new Set<string>()
  let frames = 0
  let change: Parameters<MemoryHub['tamper']>[0]
  const later = (action: () => void): void => {
    const delay = init.delay?.() ?? 0
    if (delay === 0) setImmediate(action)
    else init.clock.after(delay, action)
  }
  let flowing: PromiseWithResolvers<void> | undefined
  let dam: string | undefined
  let waiting = 0
  const passage = (from: string, to: string): Promise<void> | undefined => {
    if (flowing === undefined || dam !== `${from} ${to}`) return undefined
    waiting += 1
    return flowing.promise
  }
  const carry = (frame: Frame, from: string, to: string): Frame | Error | undefined => {
    frames += 1
    return change === undefined ? frame : change(frame, from, to)
  }

  const open = (from: string, to: string, protocol: string): Promise<Channel> => {
    const handler = nodes.get(to)?.handlers.get(protocol)
    if (!nodes.get(from)!.peers.has(to)) return Promise.reject(new Error(`${to} does not answer`))
    if (handler === undefined) return Promise.reject(new ProtocolUnsupportedError(to, protocol))
    const near = new End(from, to, { carry, later, passage })
    const far = new End(to, from, { carry, later, passage })
    near.other = far
    far.other = near
    for (const end of [near, far]) {
      const node = nodes.get(end.own)!
      node.channels.add(end)
      void end.closed.then(() => node.channels.delete(end))
    }
    handler(far)
    return Promise.resolve(near)
  }

  const hub: MemoryHub = {
    frames: () => frames,
    stall(from, to) {
      dam = `${from} ${to}`
      flowing = Promise.withResolvers<void>()
    },
    flow() {
      flowing?.resolve()
      flowing = undefined
      waiting = 0
    },
    stalled: () => waiting,
    tamper: (next) => void (change = next),
    network(id) {
      const node: Node = {
        handlers: new Map(),
        listeners: new Set(),
        peers: new Map(),
        channels: new Set(),
        network: {
          id,
          addresses: () => [`/memory/${id}`],
          interfaces: () => [],
          reach: () => ({ reachability: 'unknown', circuits: [], relaying: { reservations: 0, circuits: 0 } }),
          connected: () => [...node.peers.values()],
          refusals: () => [],
          handle: (protocol, _purpose, handler) => void node.handlers.set(protocol, handler),
          handleEarly: (protocol, _purpose, handler) => void node.handlers.set(protocol, handler),
          review: () => undefined,
          open: (peer, protocol, signal) => {
            signal?.throwIfAborted()
            return open(id, peer, protocol)
          },
          openLane: (peer, protocol) => open(id, peer, protocol),
          keep: (address) => {
            const peer = address.split('/').at(-1)!
            if (nodes.has(peer) && !cut.has(`${id} ${peer}`)) setImmediate(() => hub.connect(id, peer))
          },
          lookUp: () => undefined,
          watch: () => () => undefined,
          ping: () => Promise.resolve(1),
          decide: () => undefined,
          on: (events) => {
            node.listeners.add(events)
            return () => void node.listeners.delete(events)
          },
          stop: () => {
            for (const peer of node.peers.keys()) hub.disconnect(id, peer)
            nodes.delete(id)
            return Promise.resolve()
          },
        },
      }
      nodes.set(id, node)
      return node.network
    },
    connect(left, right) {
      if (nodes.get(left)?.peers.has(right) !== false || !nodes.has(right)) return
      cut.delete(`${left} ${right}`)
      cut.delete(`${right} ${left}`)
      for (const [own, other, direction] of [
        [left, right, 'outbound'],
        [right, left, 'inbound'],
      ] as const) {
        const addresses = [`/memory/${other}`]
        const peer = { id: other, addresses, rtt: 1, version: '0.1.0', name: other, direction, protocol: 1 }
        nodes.get(own)!.peers.set(other, peer)
      }
      for (const [own, other] of [
        [left, right],
        [right, left],
      ] as const) {
        const peer = nodes.get(own)!.peers.get(other)!
        for (const events of nodes.get(own)!.listeners) events.connected?.(peer)
      }
    },
    connectAll() {
      const ids = [...nodes.keys()]
      for (const [index, left] of ids.entries()) for (const right of ids.slice(index + 1)) hub.connect(left, right)
    },
    disconnect(left, right) {
      for (const [own, other] of [
        [left, right],
        [right, left],
      ] as const) {
        const node = nodes.get(own)
        cut.add(`${own} ${other}`)
        if (node?.peers.delete(other) !== true) continue
        for (const end of node.channels) if (end.remote === other) end.abort(new Error('the link was cut'))
        for (const events of node.listeners) events.disconnected?.(other, 'lost')
      }
    },
  }
  return hub
}

interface Carrier {
  readonly carry: (frame: Frame, from: string, to: string) => Frame | Error | undefined
  readonly later: (action: () => void) => void
  readonly passage: (from: string, to: string) => Promise<void> | undefined
}

class End implements Channel {
  readonly own: string
  readonly remote: string
  readonly closed: Promise<Error | undefined>
  other: End | undefined
  readonly #carrier: Carrier
  readonly #end = Promise.withResolvers<Error | undefined>()
  readonly #inbox: Frame[] = []
  #handler: ((frame: Frame) => void | Promise<void>) | undefined
  #ended = false
  #busy = false
  /** Keeps the order of frames, whatever the delay of each. */
  #line: Promise<void> = Promise.resolve()

  constructor(own: string, remote: string, carrier: Carrier) {
    this.own = own
    this.remote = remote
    this.#carrier = carrier
    this.closed = this.#end.promise
  }

  async send(frame: Frame): Promise<void> {
    if (this.#ended) throw new Error(`the channel to ${this.remote} has ended`)
    await this.#carrier.passage(this.own, this.remote)
    const carried = this.#carrier.carry(frame, this.own, this.remote)
    if (carried === undefined) return
    if (carried instanceof Error) {
      this.abort(carried)
      throw carried
    }
    const bytes = Buffer.concat(encodeFrame(carried))
    const arrived = new Promise<void>((resolve) => this.#carrier.later(resolve))
    this.#line = this.#line.then(() => arrived).then(() => this.other?.receive(bytes))
    await this.#line
  }

  receive(bytes: Uint8Array): void {
    if (this.#ended) return
    try {
      this.#inbox.push(...new FrameDecoder().push(bytes))
    } catch (error) {
      this.abort(error as Error)
    }
    void this.#work()
  }

  async #work(): Promise<void> {
    if (this.#busy || this.#handler === undefined) return
    this.#busy = true
    try {
      for (let frame = this.#inbox.shift(); frame !== undefined && !this.#ended; frame = this.#inbox.shift()) {
        await this.#handler(frame)
      }
    } catch (error) {
      this.abort(error as Error)
    }
    this.#busy = false
  }

  onFrame(handler: (frame: Frame) => void | Promise<void>): void {
    this.#handler = handler
    void this.#work()
  }

  async close(): Promise<void> {
    await this.#line.catch(() => undefined)
    this.#finish(undefined)
    this.other?.abort(undefined)
  }

  abort(reason: Error | undefined): void {
    if (this.#ended) return
    this.#finish(reason)
    setImmediate(() => this.other?.abort(reason))
  }

  #finish(reason: Error | undefined): void {
    this.#ended = true
    this.#end.resolve(reason)
  }
}
