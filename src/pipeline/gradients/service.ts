/**
 * A peer's part of data-parallel training: it computes shares of the steps of origins that ask, each session in a child process of
 * its own, and carries what the sessions of its own runs say and hear.
 */
import { toWeftError } from '../../errors.ts'
import { encodeControl, frame } from '../../net/index.ts'
import type { Frame, Network } from '../../net/index.ts'
import { gradientTaskDigest } from '../../training/index.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import { TrainingRefusedError } from '../adapters/errors.ts'
import { messageFrames, MessageReader } from '../graph/messages.ts'
import type { Message, MessageHead } from '../graph/messages.ts'
import type { Tensors } from '../graph/tensors.ts'
import { PeerLostError } from '../ring/errors.ts'
import { createLinks } from '../ring/links.ts'
import type { Link, Links } from '../ring/links.ts'
import { decodeRingError } from '../ring/protocol.ts'
import { RemoteError } from '../ring/remote-error.ts'
import { admitOrigin, refusalOf, refusedNow } from '../ring/site-gate.ts'
import type { SiteGate } from '../ring/site-gate.ts'
import { errorControl } from '../told.ts'
import { MAX_GRADIENT_BYTES } from './host/protocol.ts'
import type { GradientHosts, LentGradientHost } from './hosts.ts'
import {
  decodeGradientBatch,
  decodeGradientOpen,
  decodeGradientTell,
  GRADIENT,
  GRADIENT_PROTOCOL,
  TASK,
} from './protocol.ts'
import type { GradientOpen } from './protocol.ts'

/** Sessions that one other peer may have open here: each is a process. */
const MAX_SESSIONS_A_PEER = 4
/** Of all others together. */
const MAX_SESSIONS = 16
/** A step's beginning, two batches and what is to be told of two shares are under way at most (mesh-gradients.ts). */
const MAX_UNDER_WAY = 8
/** Examples of one batch. */
const MAX_BATCH_BYTES = 2 ** 28
/** Between the tensors of a message: 64 bytes each. */
const MAX_GAPS = 2 ** 20
/** A session of which nothing is heard for so long is freed: its origin's close was lost. */
const SILENCE_MS = 600_000

export interface GradientServiceNeeds extends Pick<SiteGate, 'admits' | 'refusal' | 'admit' | 'again'> {
  readonly self: string
  readonly network: Network | null
  readonly clock: Clock
  readonly hosts: GradientHosts
  /** Whether examples of a run of this peer, by its name, may go to another. @throws where the site does not let them */
  permitData?(peer: string, name: string): void
  count(name: string, by?: number): void
}

/** A session of a run of this peer. */
export interface GradientListener {
  readonly peer: string
  /** Of the run. */
  readonly name: string
  heard(message: Message): void
  failed(error: Error): void
}

interface OpenSession {
  readonly origin: Link
  readonly request: number
  readonly open: GradientOpen
  readonly lent: LentGradientHost
  underWay: number
  silence: CancelTimer
}

export class GradientService {
  readonly #needs: GradientServiceNeeds
  readonly #links: Links
  readonly #readers = new WeakMap<Link, MessageReader>()
  readonly #sessions = new Map<string, OpenSession>()
  /** Being opened; false once their origin has closed them again. */
  readonly #opening = new Map<string, boolean>()
  readonly #listeners = new Map<number, GradientListener>()

  constructor(needs: GradientServiceNeeds) {
    this.#needs = needs
    this.#links = createLinks({
      self: needs.self,
      network: needs.network,
      clock: needs.clock,
      protocol: GRADIENT_PROTOCOL,
      receive: (from, part) => this.#receive(from, part),
      fault: ({ request }, error) => this.#listeners.get(request)?.failed(toWeftError(error)),
      ended: (link) => this.peerLost(link.peer),
    })
  }

  /** Returns how to end that. */
  listen(request: number, listener: GradientListener): () => void {
    this.#listeners.set(request, listener)
    return () => this.#listeners.delete(request)
  }

  /** Frames of one message, with none of another between. @throws where the site does not let examples go there */
  async send(head: MessageHead, tensors: Tensors): Promise<void> {
    const { peer, name } = this.#listeners.get(head.request)!
    if (head.type === GRADIENT.open && peer !== this.#needs.self) this.#needs.permitData?.(peer, name)
    await Promise.all(Array.from(messageFrames(head, tensors), (part) => this.#links.send(peer, part)))
  }

  close(peer: string, request: number): void {
    this.#links.send(peer, frame({ type: GRADIENT.close, request })).catch(() => undefined)
  }

  /** Nothing more comes from this peer: its sessions here are freed, our own at it fail. */
  peerLost(peer: string, why = 'its connection ended'): void {
    for (const session of this.#sessions.values()) if (session.origin.peer === peer) this.#free(session)
    for (const key of this.#opening.keys()) if (key.startsWith(`${peer}/`)) this.#opening.set(key, false)
    for (const listener of this.#listeners.values())
      if (listener.peer === peer) listener.failed(new PeerLostError(peer, why))
  }

  /** The site allows something else now: sessions that it does not any more end here, and our own at such peers. */
  review(): void {
    for (const [session, error] of refusedNow(this.#needs, this.#sessions.values(), ({ open }) => open.digest))
      this.#fail(session, error)
    for (const listener of this.#listeners.values()) {
      const { peer, name } = listener
      const error = peer === this.#needs.self ? undefined : refusalOf(() => this.#needs.permitData?.(peer, name))
      if (error !== undefined) listener.failed(error)
    }
  }

  async stop(): Promise<void> {
    for (const session of this.#sessions.values()) this.#free(session)
    await this.#links.stop()
  }

  #receive(from: Link, part: Frame): void {
    if (part.type === GRADIENT.close) return this.#close(from, part)
    if (part.type === GRADIENT.error) return this.#failed(from, part)
    let reader = this.#readers.get(from)
    if (reader === undefined) this.#readers.set(from, (reader = new MessageReader(MAX_GRADIENT_BYTES)))
    // What it throws ends the channel: nobody can tell where the next message begins.
    const message = reader.take(part)
    if (message === null) return
    const { type } = message.head
    if (type === GRADIENT.open) void this.#open(from, message)
    else if (type === GRADIENT.begin || type === GRADIENT.batch || type === GRADIENT.tell)
      void this.#asked(from, message)
    else this.#told(from, message)
  }

  async #open(from: Link, { head: { request }, control, tensors }: Message): Promise<void> {
    const key = keyOf(from.peer, request)
    if (this.#opening.has(key) || this.#sessions.has(key)) return this.#needs.count('frames_refused')
    let lent: LentGradientHost | undefined
    try {
      const open = decodeGradientOpen(control)
      admitOrigin(this.#needs, from.peer, open.digest, false)
      this.#checkTask(open, tensors)
      this.#checkRoom(from.peer)
      this.#opening.set(key, true)
      lent = await this.#needs.hosts.lend(open, tensors)
      if (this.#opening.get(key) !== true) return lent.done()
      const session: OpenSession = { origin: from, request, open, lent, underWay: 0, silence: () => undefined }
      this.#sessions.set(key, session)
      this.#heard(session)
      void lent.host.ended.then((error) => this.#fail(session, error))
      this.#needs.count('training_sessions')
      const { kernel, threads, host } = lent
      const answer = encodeControl({ pid: host.pid, kernel, threads, tensors: [] })
      await from.send(frame({ type: GRADIENT.opened, request, control: answer }))
    } catch (error) {
      lent?.done()
      this.#refuse(from, request, error)
    } finally {
      this.#opening.delete(key)
    }
  }

  #checkTask({ digest }: GradientOpen, tensors: Tensors): void {
    const task = tensors.get(TASK)
    if (task?.type !== 'uint8' || tensors.size !== 1) throw new TrainingRefusedError('the task is missing')
    if (gradientTaskDigest(task.data as Uint8Array) !== digest)
      throw new TrainingRefusedError('the task is not of the digest that was said')
  }

  #checkRoom(peer: string): void {
    if (peer === this.#needs.self) return
    const held = [...this.#sessions.keys(), ...this.#opening.keys()].filter(
      (key) => !key.startsWith(`${this.#needs.self}/`),
    )
    const own = held.filter((key) => key.startsWith(`${peer}/`))
    if (own.length >= MAX_SESSIONS_A_PEER)
      throw new TrainingRefusedError(`${MAX_SESSIONS_A_PEER} sessions of one peer are open already`)
    if (held.length >= MAX_SESSIONS) throw new TrainingRefusedError(`${MAX_SESSIONS} sessions are open already`)
  }

  async #asked(from: Link, { head, control, tensors, bytes }: Message): Promise<void> {
    const session = this.#sessions.get(keyOf(from.peer, head.request))
    if (session === undefined) return this.#needs.count('frames_refused')
    this.#heard(session)
    try {
      checkSize(session, head.type, bytes)
      if (++session.underWay > MAX_UNDER_WAY) throw new TrainingRefusedError('more is under way than any run needs')
      const { host } = session.lent
      if (head.type === GRADIENT.begin) await host.ask('begin', {}, tensors)
      else if (head.type === GRADIENT.batch) {
        const { tensors: loss } = await host.ask('batch', decodeGradientBatch(control), tensors)
        this.#needs.count('gradient_batches')
        await this.#answer(session, GRADIENT.computed, loss)
      } else {
        const { tensors: gradients } = await host.ask('tell', decodeGradientTell(control))
        await this.#answer(session, GRADIENT.gradients, gradients)
      }
      session.underWay--
    } catch (error) {
      this.#fail(session, error)
    }
  }

  async #answer({ origin, request }: OpenSession, type: number, tensors: Tensors): Promise<void> {
    await Promise.all(Array.from(messageFrames({ type, request, control: {} }, tensors), (part) => origin.send(part)))
  }

  /** To a run of this peer: only from the peer that its session is at. */
  #told(from: Link, message: Message): void {
    const listener = this.#listeners.get(message.head.request)
    if (listener?.peer !== from.peer) return this.#needs.count('frames_refused')
    listener.heard(message)
  }

  #failed(from: Link, part: Frame): void {
    const listener = this.#listeners.get(part.request)
    if (listener?.peer !== from.peer) return this.#needs.count('frames_refused')
    listener.failed(new RemoteError(from.peer, decodeRingError(part)))
  }

  #close(from: Link, { request }: Frame): void {
    const key = keyOf(from.peer, request)
    if (this.#opening.has(key)) this.#opening.set(key, false)
    const session = this.#sessions.get(key)
    if (session !== undefined) this.#free(session)
  }

  /** Its origin is told too: it may be there, and only slow. */
  #heard(session: OpenSession): void {
    const why = `nothing came for ${SILENCE_MS / 60_000} minutes`
    session.silence()
    session.silence = this.#needs.clock.after(SILENCE_MS, () =>
      this.#fail(session, new PeerLostError(session.origin.peer, why)),
    )
  }

  #free(session: OpenSession): void {
    const key = keyOf(session.origin.peer, session.request)
    if (this.#sessions.get(key) !== session) return
    this.#sessions.delete(key)
    session.silence()
    session.lent.done()
  }

  #fail(session: OpenSession, error: unknown): void {
    const key = keyOf(session.origin.peer, session.request)
    if (this.#sessions.get(key) !== session) return
    this.#free(session)
    this.#refuse(session.origin, session.request, error)
  }

  #refuse(to: Link, request: number, error: unknown): void {
    to.send(frame({ type: GRADIENT.error, request, control: errorControl(error) })).catch(() => undefined)
  }
}

/** What is under way is held here: parameters as many as were said, and batches that a host could take. */
function checkSize({ open }: OpenSession, type: number, bytes: number): void {
  const most = type === GRADIENT.begin ? 4 * open.parameters + MAX_GAPS : MAX_BATCH_BYTES
  if (bytes > most) throw new TrainingRefusedError(`${bytes} bytes, and ${most} are the most of such a message`)
}

function keyOf(origin: string, request: number): string {
  return `${origin}/${request}`
}
