/**
 * A peer's part of the flow of graphs: it opens parts in graph hosts for origins that ask, takes values from those alone
 * that may send them, passes on what its parts make, and is the origin of its own requests.
 */
import { toWeftError } from '../../../errors.ts'
import { encodeControl, frame } from '../../../net/index.ts'
import type { Frame, Network } from '../../../net/index.ts'
import type { CancelTimer, Clock } from '../../../util/index.ts'
import { PeerLostError } from '../../ring/errors.ts'
import { createLinks } from '../../ring/links.ts'
import type { Link, Links } from '../../ring/links.ts'
import { decodeRingError } from '../../ring/protocol.ts'
import { RemoteError } from '../../ring/remote-error.ts'
import { admitOnward, refusedNow, refusedOver, refuseOrigin } from '../../ring/site-gate.ts'
import type { SiteGate } from '../../ring/site-gate.ts'
import { errorControl } from '../../told.ts'
import { FlowRefusedError } from '../errors.ts'
import { FlowStage } from '../flow/stage.ts'
import type { Target } from '../flow/routes.ts'
import type { GraphHost } from '../host/graph-host.ts'
import { messageFrames, MessageReader } from '../messages.ts'
import type { Message, MessageHead } from '../messages.ts'
import type { Tensors } from '../tensors.ts'
import { decodeFlowOpen, decodeFlowOpened, FLOW, FLOW_PROTOCOL, MAX_MESSAGE_BYTES, SKELETON } from './protocol.ts'
import type { FlowOpen } from './protocol.ts'

/** Parts that one other peer may have open here. */
const MAX_PARTS_A_PEER = 16
/** Units that may arrive ahead of the one that runs: origins let in one a part and two more. */
const MAX_AHEAD = 512
/** Parts end this long after their own deadline, in case the origin's close was lost. */
const DEADLINE_MARGIN_MS = 5_000
const ENDED = 'its connection ended'

export interface LentHost {
  readonly host: GraphHost
  /** It is not needed any more. */
  readonly done: () => void
}

export interface GraphStageTable {
  /** The host that has this part loaded for `origin`, its weights fetched first. */
  open(open: FlowOpen, skeleton: Uint8Array, origin: string): Promise<LentHost>
}

export interface FlowServiceNeeds extends SiteGate {
  readonly self: string
  readonly network: Network | null
  readonly clock: Clock
  readonly stages: GraphStageTable
  count(name: string, by?: number): void
}

/** What an origin hears of its request. */
export interface FlowListener {
  opened(part: number, pid: number): void
  results(part: number, unit: number, tensors: Tensors, bytes: number): void
  failed(error: Error): void
}

/** A request of this peer, and where it goes. */
interface FlowOrigin {
  readonly digest: string
  readonly route: readonly string[]
  readonly listener: FlowListener
}

interface OpenPart {
  readonly origin: Link
  readonly request: number
  readonly part: number
  readonly open: FlowOpen
  readonly stage: FlowStage
  readonly sources: ReadonlyMap<string, readonly Target[]>
  next: number
  readonly done: () => void
  readonly expire: CancelTimer
}

export class FlowService {
  readonly #needs: FlowServiceNeeds
  readonly #links: Links
  readonly #readers = new WeakMap<Link, MessageReader>()
  readonly #parts = new Map<string, OpenPart>()
  /** Parts that are being opened; false once their origin has closed them again. */
  readonly #opening = new Map<string, boolean>()
  readonly #origins = new Map<number, FlowOrigin>()
  #nextSession = 1

  constructor(needs: FlowServiceNeeds) {
    this.#needs = needs
    this.#links = createLinks({
      self: needs.self,
      network: needs.network,
      clock: needs.clock,
      protocol: FLOW_PROTOCOL,
      receive: (from, part) => this.#receive(from, part),
      fault: ({ request }, error) => this.#origins.get(request)?.listener.failed(toWeftError(error)),
      ended: (link) => this.peerLost(link.peer),
    })
  }

  /** This peer is the origin of `request` from now on. Returns how to end that. */
  listen(request: number, where: Omit<FlowOrigin, 'listener'>, listener: FlowListener): () => void {
    this.#origins.set(request, { ...where, listener })
    return () => this.#origins.delete(request)
  }

  /** Frames of one message, with none of another between. */
  async send(peer: string, head: MessageHead, tensors: Tensors): Promise<void> {
    if (head.type === FLOW.open && peer !== this.#needs.self)
      this.#needs.permit?.(peer, decodeFlowOpen(head.control).digest)
    await Promise.all(Array.from(messageFrames(head, tensors), (part) => this.#links.send(peer, part)))
  }

  close(peer: string, request: number, part: number): void {
    this.#links.send(peer, frame({ type: FLOW.close, request, hop: part })).catch(() => undefined)
  }

  /** Nothing more comes from this peer: its parts here are freed, our own over it fail. */
  peerLost(peer: string, why = ENDED): void {
    for (const part of this.#parts.values()) {
      if (part.origin.peer === peer || part.open.route.includes(peer)) this.#fail(part, new PeerLostError(peer, why))
    }
    for (const key of this.#opening.keys()) if (key.startsWith(`${peer}/`)) this.#opening.set(key, false)
    for (const { route, listener } of this.#origins.values()) {
      if (route.includes(peer)) listener.failed(new PeerLostError(peer, why))
    }
  }

  /** The site allows something else now: parts that it does not any more end here, and our own requests over such peers. */
  review(): void {
    for (const [part, error] of refusedNow(this.#needs, this.#parts.values(), digestOf, onwardOf))
      this.#fail(part, error)
    for (const { digest, route, listener } of this.#origins.values()) {
      const error = route.map((peer) => refusedOver(this.#needs, peer, digest)).find((each) => each !== undefined)
      if (error !== undefined) listener.failed(error)
    }
  }

  async stop(): Promise<void> {
    for (const part of this.#parts.values()) this.#free(part)
    await this.#links.stop()
  }

  #receive(from: Link, part: Frame): void {
    if (part.type === FLOW.close) return this.#close(from, part)
    if (part.type === FLOW.error) return this.#failed(from, part)
    let reader = this.#readers.get(from)
    if (reader === undefined) this.#readers.set(from, (reader = new MessageReader(MAX_MESSAGE_BYTES)))
    // What it throws ends the channel: nobody can tell where the next message begins.
    const message = reader.take(part)
    if (message === null) return
    if (part.type === FLOW.open) void this.#open(from, message)
    else if (part.type === FLOW.values) this.#values(from, message)
    else this.#toOrigin(from, message)
  }

  async #open(from: Link, { head, control, tensors }: Message): Promise<void> {
    const { request, hop: part } = head
    const key = keyOf(from.peer, request, part)
    // The first of two stays; the second must not end what the first has begun.
    if (this.#opening.has(key) || this.#parts.has(key)) return this.#needs.count('frames_refused')
    try {
      const open = decodeFlowOpen(control)
      if (from.peer !== this.#needs.self) refuseOrigin(this.#needs, from.peer)
      const skeleton = tensors.get(SKELETON)
      if (open.route[part] !== this.#needs.self || skeleton?.type !== 'uint8') {
        throw new FlowRefusedError('the route does not name this peer at this place', { from: from.peer, part })
      }
      const held = [...this.#parts.keys(), ...this.#opening.keys()].filter((each) => each.startsWith(`${from.peer}/`))
      if (from.peer !== this.#needs.self && held.length >= MAX_PARTS_A_PEER) {
        throw new FlowRefusedError(`${MAX_PARTS_A_PEER} parts of one peer are open already`, { from: from.peer })
      }
      this.#opening.set(key, true)
      if (from.peer !== this.#needs.self) this.#needs.admit?.(from.peer, open.digest)
      admitOnward(this.#needs, from.peer, open.digest, onwardOf({ open }))
      const { host, done } = await this.#needs.stages.open(open, skeleton.data as Uint8Array, from.peer)
      if (this.#opening.get(key) !== true) return done()
      this.#parts.set(key, this.#partOf(from, request, part, open, host, done))
      this.#needs.count('parts_opened')
      await from.send(
        frame({ type: FLOW.opened, request, hop: part, control: encodeControl({ pid: host.pid, tensors: [] }) }),
      )
    } catch (error) {
      this.#refuse(from, request, part, error)
    } finally {
      this.#opening.delete(key)
    }
  }

  #partOf(from: Link, request: number, part: number, open: FlowOpen, host: GraphHost, done: () => void): OpenPart {
    const deliver = (target: Target, unit: number, tensors: Tensors): void => {
      const peer = target === 'origin' ? null : open.route[target]
      const head = { request, step: unit, control: { origin: from.peer } }
      const sent =
        peer === null
          ? this.#answer(from, { ...head, type: FLOW.results, hop: part }, tensors)
          : peer === undefined
            ? Promise.reject(new FlowRefusedError('a value has no place to go'))
            : this.send(peer, { ...head, type: FLOW.values, hop: target as number }, tensors)
      sent.catch((error: unknown) => this.#fail(own, error))
    }
    const stage = new FlowStage({
      host,
      session: this.#nextSession++,
      routes: open.routes,
      units: open.units,
      decode: open.decode,
      deliver,
      fail: (error) => this.#fail(own, error),
      ran: ({ bytes, kept }) => {
        own.next++
        this.#needs.count('graph_runs')
        this.#needs.count('boundary_bytes', bytes)
        this.#needs.count('state_kept', kept)
      },
      busy: () => undefined,
    })
    const own: OpenPart = {
      origin: from,
      request,
      part,
      open,
      stage,
      sources: new Map(open.sources),
      next: 0,
      done,
      expire: this.#needs.clock.after(open.deadline + DEADLINE_MARGIN_MS, () => this.#free(own)),
    }
    return own
  }

  async #answer(to: Link, head: MessageHead, tensors: Tensors): Promise<void> {
    await Promise.all(Array.from(messageFrames(head, tensors), (part) => to.send(part)))
  }

  #values(from: Link, { head, control, tensors }: Message): void {
    const origin = typeof control['origin'] === 'string' ? control['origin'] : ''
    const own = this.#parts.get(keyOf(origin, head.request, head.hop))
    if (own === undefined) return this.#needs.count('frames_refused')
    const { open, sources, stage } = own
    const peerOf = (source: Target): string | undefined => (source === 'origin' ? own.origin.peer : open.route[source])
    const inTurn = head.step >= own.next && head.step < Math.min(open.units, own.next + MAX_AHEAD)
    const allowed = [...tensors.keys()].every((name) =>
      sources.get(name)?.some((source) => peerOf(source) === from.peer),
    )
    if (!inTurn || !allowed || (tensors.size === 0 && from.peer !== own.origin.peer)) {
      // Only who opened a part can end it by what it sends.
      if (from.peer === own.origin.peer)
        this.#fail(own, new FlowRefusedError('values are out of turn', { unit: head.step }))
      return this.#needs.count('frames_refused')
    }
    stage.feed(head.step, tensors)
  }

  #toOrigin(from: Link, { head, control, tensors, bytes }: Message): void {
    const origin = this.#origins.get(head.request)
    if (origin === undefined || origin.route[head.hop] !== from.peer) return this.#needs.count('frames_refused')
    if (head.type === FLOW.opened) origin.listener.opened(head.hop, decodeFlowOpened(control))
    else if (head.type === FLOW.results) origin.listener.results(head.hop, head.step, tensors, bytes)
  }

  #failed(from: Link, part: Frame): void {
    const origin = this.#origins.get(part.request)
    if (origin === undefined || origin.route[part.hop] !== from.peer) return this.#needs.count('frames_refused')
    origin.listener.failed(new RemoteError(from.peer, decodeRingError(part)))
  }

  #close(from: Link, { request, hop }: Frame): void {
    const key = keyOf(from.peer, request, hop)
    if (this.#opening.has(key)) this.#opening.set(key, false)
    const own = this.#parts.get(key)
    if (own !== undefined) this.#free(own)
  }

  #free(own: OpenPart): void {
    const key = keyOf(own.origin.peer, own.request, own.part)
    if (this.#parts.get(key) !== own) return
    this.#parts.delete(key)
    own.expire()
    own.stage.end()
    own.done()
    this.#needs.count('parts_freed')
  }

  #fail(own: OpenPart, error: unknown): void {
    const key = keyOf(own.origin.peer, own.request, own.part)
    if (this.#parts.get(key) !== own) return
    this.#free(own)
    this.#refuse(own.origin, own.request, own.part, error)
  }

  #refuse(to: Link, request: number, part: number, error: unknown): void {
    to.send(frame({ type: FLOW.error, request, hop: part, control: errorControl(error) })).catch(() => undefined)
  }
}

function digestOf({ open }: Pick<OpenPart, 'open'>): string {
  return open.digest
}

/** Whom the values of a part go to. */
function onwardOf({ open }: Pick<OpenPart, 'open'>): (string | undefined)[] {
  const { sends, last } = open.routes
  return [...sends, ...last].map(({ target }) => (target === 'origin' ? undefined : open.route[target]))
}

function keyOf(origin: string, request: number, part: number): string {
  return `${origin}/${request}/${part}`
}
