/** A peer's part of the ring behind real channels, its stage host a recorder; origins and neighbours with their own programs. */
import { tmpdir } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { decodeControl, DTYPE, encodeControl, frame } from '../../../src/net/index.ts'
import type { Channel, Frame, FrameInit } from '../../../src/net/index.ts'
import { HOST } from '../../../src/pipeline/host/protocol.ts'
import type { StageHost } from '../../../src/pipeline/host/stage-host.ts'
import { RowDigest } from '../../../src/pipeline/ring/digest.ts'
import type { StageTable } from '../../../src/pipeline/ring/new-hop.ts'
import { RING, RING_PROTOCOL } from '../../../src/pipeline/ring/protocol.ts'
import type { RouteOpen } from '../../../src/pipeline/ring/protocol.ts'
import { RingService } from '../../../src/pipeline/ring/service.ts'
import type { RingNeeds } from '../../../src/pipeline/ring/service.ts'
import { systemClock } from '../../../src/util/index.ts'
import { createMemoryHub } from '../../mesh/memory-network.ts'
import type { MemoryHub } from '../../mesh/memory-network.ts'

export const SELF = 'stage'
export const REQUEST = 7

/** What a peer's ring gives to its stage host, and a way to say what comes of it. */
export interface RecordedHost extends StageHost {
  readonly given: Frame[]
  /** Of frames of one type, the sessions in the host that they are of, in order. */
  sessions(type: number): readonly number[]
  say(message: Frame): void
  /** Until it resolves nothing more is taken. */
  busy: Promise<void> | undefined
}

export function recordedHost(): RecordedHost {
  let handler: (message: Frame) => void = () => undefined
  const given: Frame[] = []
  const host: RecordedHost = {
    pid: 1,
    given,
    busy: undefined,
    sessions: (type) => given.filter((each) => each.type === type).map(({ request }) => request),
    say: (message) => handler(message),
    load: () => Promise.reject(new Error('everything is loaded')),
    send: (message) => {
      given.push(message)
      if (message.type === HOST.open)
        queueMicrotask(() => handler(frame({ type: HOST.opened, request: message.request })))
      return host.busy ?? Promise.resolve()
    },
    onFrame: (set) => (handler = set),
    stats: () => Promise.reject(new Error('nobody asks')),
    ended: new Promise(() => undefined),
    stop: () => Promise.resolve(),
  }
  return host
}

/** Another peer, which says what it likes. */
export interface Stranger {
  readonly id: string
  readonly heard: Frame[]
  readonly channel: Channel
  say(init: FrameInit): Promise<void>
  open(change?: Partial<RouteOpen>, head?: Partial<FrameInit>): Promise<void>
}

export interface StageRing {
  readonly ring: RingService
  readonly host: RecordedHost
  readonly hub: MemoryHub
  readonly counted: Map<string, number>
  readonly stranger: (id: string) => Promise<Stranger>
}

export function stageRing(needs: Partial<RingNeeds> = {}, stages: Partial<StageTable> = {}): StageRing {
  const clock = systemClock()
  const hub = createMemoryHub({ clock })
  const host = recordedHost()
  const counted = new Map<string, number>()
  const ring = new RingService({
    self: SELF,
    network: hub.network(SELF),
    clock,
    stages: { host: () => Promise.resolve(host), ...stages },
    directory: tmpdir(),
    sign: () => new Uint8Array(64),
    count: (name, by = 1) => void counted.set(name, (counted.get(name) ?? 0) + by),
    ...needs,
  })
  const stranger = async (id: string): Promise<Stranger> => {
    const own = hub.network(id)
    hub.connectAll()
    const channel = await own.open(SELF, RING_PROTOCOL)
    const heard: Frame[] = []
    channel.onFrame((message) => void heard.push(message))
    own.handle(RING_PROTOCOL, 'compute', (incoming) => incoming.onFrame((message) => void heard.push(message)))
    const say = async (init: FrameInit): Promise<void> => {
      await channel.send(frame({ request: REQUEST, ...init }))
      await settled()
    }
    const open = (change: Partial<RouteOpen> = {}, head: Partial<FrameInit> = {}): Promise<void> =>
      say({ ...opening(change), ...head })
    return { id, heard, channel, say, open }
  }
  return { ring, host, hub, counted, stranger }
}

/** Of the first of one hop, unless something else is said. */
export function opening(change: Partial<RouteOpen> = {}): FrameInit {
  const plain = { digest: 'a'.repeat(64), positions: 100, deadline: 60_000, sampler: null }
  const control = encodeControl({ ...plain, route: [{ peer: SELF, from: 0, to: 4 }], ...change })
  return { type: RING.open, request: REQUEST, control }
}

/** Rows of a session, one frame after the other, by their running digest. */
export function rowsFrames(width = 4): (position: number, count: number, more?: Partial<FrameInit>) => FrameInit {
  const digest = new RowDigest()
  return (position, count, more = {}) => {
    const payload = new Uint8Array(count * width * 2)
    const content = { dtype: DTYPE.f16, dims: [count, width], payload, digest: digest.next(payload) }
    return { type: RING.rows, position, rows: count, ...content, ...more }
  }
}

/** Codes and reasons of the errors among frames. */
export function refusals(heard: readonly Frame[]): readonly unknown[] {
  return heard
    .filter(({ type }) => type === RING.error)
    .map(({ control }) => {
      const { code, why } = decodeControl(control) as { code: string; why: string }
      return { code, why }
    })
}

export const opened = (host: RecordedHost): readonly number[] => host.sessions(HOST.open)
export const closed = (host: RecordedHost): readonly number[] => host.sessions(HOST.close)

/** What is under way inside this process has come to rest. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate()
}
