/**
 * A peer's part of training over peers: it opens sessions in its training hosts for origins that ask, passes rows on and
 * gradients back, and is the origin of its own runs. A session belongs to the peer that opened it; another adapter on the
 * same blocks is another session, and neither sees the other's values.
 */
import { toWeftError } from '../../errors.ts'
import { encodeControl, frame } from '../../net/index.ts'
import type { Frame, Network } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { messageFrames, MessageReader } from '../graph/messages.ts'
import type { Message, MessageHead } from '../graph/messages.ts'
import type { Tensors } from '../graph/tensors.ts'
import { PeerLostError } from '../ring/errors.ts'
import { createLinks } from '../ring/links.ts'
import type { Link, Links } from '../ring/links.ts'
import { admitOrigin, refusedNow } from '../ring/site-gate.ts'
import type { SiteGate } from '../ring/site-gate.ts'
import { errorControl } from '../told.ts'
import { TrainingRefusedError } from './errors.ts'
import { MAX_TRAIN_BYTES, TENSOR } from './host/protocol.ts'
import type { LentTrainHost, TrainHosts } from './hosts.ts'
import { adapterBytes, BEFORE_FIRST, checkRange, checkRows, checkUnderWay, isNeighbour } from './open-stage.ts'
import { isSentTo, keptBytes, keptEarly, keyOf, notBegun, rowsIn } from './open-stage.ts'
import type { OpenStage, TrainListener, TrainOrigin } from './open-stage.ts'
import { TrainOrigins } from './origins.ts'
import { decodeMicro, decodeTrainBegin, decodeTrainOpen, TRAIN, TRAIN_PROTOCOL } from './protocol.ts'
import { SessionMemory } from './session-memory.ts'

/** Sessions that one other peer may have open here. */
const MAX_SESSIONS_A_PEER = 16
/** A session of which nothing is heard for so long is freed: its origin's close was lost. */
const SILENCE_MS = 600_000

export interface TrainServiceNeeds extends SiteGate {
  readonly self: string
  readonly network: Network | null
  readonly clock: Clock
  readonly hosts: TrainHosts
  count(name: string, by?: number): void
}

export class TrainService {
  readonly #needs: TrainServiceNeeds
  readonly #links: Links
  readonly #readers = new WeakMap<Link, MessageReader>()
  readonly #stages = new Map<string, OpenStage>()
  /** Being opened; false once their origin has closed them again. */
  readonly #opening = new Map<string, boolean>()
  readonly #origins: TrainOrigins
  #nextSession = 1

  constructor(needs: TrainServiceNeeds) {
    this.#needs = needs
    this.#origins = new TrainOrigins(needs.self)
    this.#links = createLinks({
      self: needs.self,
      network: needs.network,
      clock: needs.clock,
      protocol: TRAIN_PROTOCOL,
      receive: (from, part) => this.#receive(from, part),
      fault: ({ request }, error) => this.#origins.fault(request, error),
      ended: (link) => this.peerLost(link.peer),
    })
  }

  /** Sessions that are open at stages here. */
  get open(): number {
    return this.#stages.size
  }

  /** Number of a session in a host here, for the origin's own head. */
  newSession(): number {
    return this.#nextSession++
  }

  /** This peer is the origin of `request` from now on. Returns how to end that. */
  listen(request: number, where: Omit<TrainOrigin, 'listener'>, listener: TrainListener): () => void {
    return this.#origins.listen(request, where, listener)
  }

  /** Frames of one message, with none of another between. @throws where the site does not let its rows go there */
  async send(peer: string, head: MessageHead, tensors: Tensors): Promise<void> {
    // Whatever chose the route, this is where it begins to leave.
    if (head.type === TRAIN.open && peer !== this.#needs.self)
      this.#needs.permit?.(peer, decodeTrainOpen(head.control).digest)
    await Promise.all(Array.from(messageFrames(head, tensors), (part) => this.#links.send(peer, part)))
  }

  close(peer: string, request: number, place: number): void {
    this.#links.send(peer, frame({ type: TRAIN.close, request, hop: place })).catch(() => undefined)
  }

  /**
   * Nothing more comes from this peer: its sessions here are freed, our own over it fail. So do those of others in which it stands beside
   * this one: rows on their way are lost, and their origin, whose own connection may be sound, would wait for them.
   */
  peerLost(peer: string, why = 'its connection ended'): void {
    for (const stage of this.#stages.values()) {
      if (stage.origin.peer === peer) this.#free(stage)
      else if (isSentTo(stage, peer)) this.#fail(stage, new PeerLostError(peer, why))
    }
    for (const key of this.#opening.keys()) if (key.startsWith(`${peer}/`)) this.#opening.set(key, false)
    this.#origins.peerLost(peer, why)
  }

  /** The site allows something else now: sessions that it does not any more end here, and our own lose such peers. */
  review(): void {
    for (const [stage, error] of refusedNow(this.#needs, this.#stages.values(), ({ open }) => open.digest))
      this.#fail(stage, error)
    this.#origins.review(this.#needs)
  }

  async stop(): Promise<void> {
    for (const stage of this.#stages.values()) this.#free(stage)
    await this.#links.stop()
  }

  #receive(from: Link, part: Frame): void {
    if (part.type === TRAIN.close) return this.#close(from, part)
    if (part.type === TRAIN.error) return this.#unless(this.#origins.failed(from.peer, part))
    let reader = this.#readers.get(from)
    if (reader === undefined) this.#readers.set(from, (reader = new MessageReader(MAX_TRAIN_BYTES)))
    // What it throws ends the channel: nobody can tell where the next message begins.
    const message = reader.take(part)
    if (message === null) return
    const { type } = message.head
    if (type === TRAIN.open) void this.#open(from, message)
    else if (type === TRAIN.begin) void this.#begin(from, message)
    else if (type === TRAIN.forward || type === TRAIN.backward) void this.#rows(from, message)
    else this.#unless(this.#origins.told(from.peer, message))
  }

  #unless(isTaken: boolean): void {
    if (!isTaken) this.#needs.count('frames_refused')
  }

  async #open(from: Link, { head, control }: Message): Promise<void> {
    const { request, hop: place } = head
    const key = keyOf(from.peer, request, place)
    if (this.#opening.has(key) || this.#stages.has(key)) return this.#needs.count('frames_refused')
    let lent: LentTrainHost | undefined
    try {
      const open = decodeTrainOpen(control)
      admitOrigin(this.#needs, from.peer, open.digest, false)
      if (open.route[place] !== this.#needs.self) {
        throw new TrainingRefusedError('the route does not name this peer at this place', { place })
      }
      const held = [...this.#stages.keys(), ...this.#opening.keys()].filter((each) => each.startsWith(`${from.peer}/`))
      if (from.peer !== this.#needs.self && held.length >= MAX_SESSIONS_A_PEER) {
        throw new TrainingRefusedError(`${MAX_SESSIONS_A_PEER} sessions of one peer are open already`)
      }
      this.#opening.set(key, true)
      const { digest, from: first, to, length, form, gradients } = open
      lent = await this.#needs.hosts.lend(digest, first, to)
      checkRange(open, lent)
      const session = this.newSession()
      await lent.host.ask('open', { session, from: first, to, length, form, ...(gradients && { gradients }) })
      if (this.#opening.get(key) !== true) return this.#end(lent, session)
      const stage: OpenStage = {
        origin: from,
        request,
        place,
        open,
        lent,
        session,
        memory: new SessionMemory(this.#needs.hosts, lent.manifest),
        ...notBegun(),
      }
      this.#stages.set(key, stage)
      this.#heard(stage)
      void lent.host.ended.then((error) => this.#fail(stage, error))
      this.#needs.count('training_sessions')
      const answer = encodeControl({ pid: lent.host.pid, tensors: [] })
      await from.send(frame({ type: TRAIN.opened, request, hop: place, control: answer }))
    } catch (error) {
      lent?.done()
      this.#refuse(from, request, place, error)
    } finally {
      this.#opening.delete(key)
    }
  }

  async #begin(from: Link, { head, control, tensors }: Message): Promise<void> {
    const stage = this.#stages.get(keyOf(from.peer, head.request, head.hop))
    if (stage === undefined) return this.#needs.count('frames_refused')
    this.#heard(stage)
    try {
      stage.begun = decodeTrainBegin(control)
      stage.step = head.step
      stage.underWay = 0
      stage.returned = 0
      stage.memory.begin(adapterBytes(stage))
      const begun = stage.lent.host.ask('begin', { session: stage.session }, tensors)
      for (const early of stage.early.splice(0)) void this.#rows(early.from, early.message)
      await begun
    } catch (error) {
      this.#fail(stage, error)
    }
  }

  /** Rows on their way out, or gradients on their way back. */
  async #rows(from: Link, message: Message): Promise<void> {
    const { head, control, tensors } = message
    const said = decodeMicro(control)
    if (said === undefined) return this.#needs.count('frames_refused')
    const { micro, origin } = said
    const isTaken = this.#origins.rows(from.peer, message, micro, origin)
    if (isTaken === true) return
    const stage = this.#stages.get(keyOf(origin, head.request, head.hop))
    if (isTaken === false || stage === undefined || !isNeighbour(stage, from, head.type)) {
      return this.#needs.count('frames_refused')
    }
    this.#heard(stage)
    try {
      if (keptEarly(stage, { from, message })) return this.#needs.count('early_rows')
      if (stage.step !== head.step) return this.#needs.count('frames_refused')
      await (head.type === TRAIN.forward ? this.#forward(stage, micro, tensors) : this.#backward(stage, micro, tensors))
    } catch (error) {
      if (stage.step <= head.step) this.#fail(stage, error)
    }
  }

  async #forward(stage: OpenStage, micro: number, tensors: Tensors): Promise<void> {
    const { step, begun, session, lent, place, open } = stage
    checkRows(tensors, TENSOR.rows, stage, micro)
    if (begun.back) checkUnderWay(stage, ++stage.underWay)
    if (begun.back) stage.memory.keep(micro, keptBytes(stage, rowsIn(tensors, TENSOR.rows)))
    const { tensors: made } = await lent.host.ask('forward', { session, micro, keep: begun.back }, tensors)
    if (stage.step !== step) return
    this.#needs.count('forward_rows', rowsIn(made, TENSOR.rows))
    await this.#onward(stage, TRAIN.forward, place + 1, open.route[place + 1], micro, made)
  }

  async #backward(stage: OpenStage, micro: number, tensors: Tensors): Promise<void> {
    const { step, session, lent, place, open, begun, request, origin } = stage
    checkRows(tensors, TENSOR.gradient, stage, micro)
    stage.underWay--
    const { tensors: made } = await lent.host.ask('backward', { session, micro }, tensors)
    if (stage.step !== step) return
    stage.memory.returned(micro)
    this.#needs.count('backward_rows', rowsIn(made, TENSOR.gradient))
    await this.#onward(
      stage,
      TRAIN.backward,
      place === 0 ? BEFORE_FIRST : place - 1,
      open.route[place - 1],
      micro,
      made,
    )
    if (++stage.returned < begun.micros) return
    const { tensors: gradients } = await lent.host.ask('gradients', { session, whole: begun.whole === true })
    const head = { type: TRAIN.gradients, request, hop: place, step, control: {} }
    await Promise.all(Array.from(messageFrames(head, gradients), (part) => origin.send(part)))
  }

  async #onward(
    stage: OpenStage,
    type: number,
    hop: number,
    peer: string | undefined,
    micro: number,
    tensors: Tensors,
  ): Promise<void> {
    const { origin, request, step } = stage
    const head = { type, request, hop, step, control: { micro, origin: origin.peer } }
    if (peer !== undefined) {
      // Whatever the network calls it: the origin is to know that a step over another route may do.
      return this.send(peer, head, tensors).catch((error: unknown) => {
        throw new PeerLostError(peer, toWeftError(error).message)
      })
    }
    await Promise.all(Array.from(messageFrames(head, tensors), (part) => origin.send(part)))
  }

  #close(from: Link, { request, hop }: Frame): void {
    const key = keyOf(from.peer, request, hop)
    if (this.#opening.has(key)) this.#opening.set(key, false)
    const stage = this.#stages.get(key)
    if (stage !== undefined) this.#free(stage)
  }

  /** Its origin is told too: it may be there, and only slow. */
  #heard(stage: OpenStage): void {
    const why = `nothing came for ${SILENCE_MS / 60_000} minutes`
    stage.silence()
    stage.silence = this.#needs.clock.after(SILENCE_MS, () =>
      this.#fail(stage, new PeerLostError(stage.origin.peer, why)),
    )
  }

  #free(stage: OpenStage): void {
    const key = keyOf(stage.origin.peer, stage.request, stage.place)
    if (this.#stages.get(key) !== stage) return
    this.#stages.delete(key)
    stage.step = -1
    stage.memory.free()
    stage.silence()
    this.#end(stage.lent, stage.session)
  }

  #end({ host, done }: LentTrainHost, session: number): void {
    host.ask('close', { session }).catch(() => undefined)
    done()
  }

  #fail(stage: OpenStage, error: unknown): void {
    const key = keyOf(stage.origin.peer, stage.request, stage.place)
    if (this.#stages.get(key) !== stage) return
    this.#free(stage)
    this.#refuse(stage.origin, stage.request, stage.place, error)
  }

  #refuse(to: Link, request: number, place: number, error: unknown): void {
    to.send(frame({ type: TRAIN.error, request, hop: place, control: errorControl(error) })).catch(() => undefined)
  }
}
