/**
 * A generation over the parts of a decoder export, from its origin's side. Caches stay in the part that makes them, and
 * the part that has the head answers with a token, so that a step costs ids and boundary values alone.
 */
import { stateBytes } from '../../../models/index.ts'
import type { DecoderLayout } from '../../../models/index.ts'
import { Inbox } from '../../../util/index.ts'
import { packForced, packIds } from '../../host/token-ids.ts'
import { createFollower } from '../../origin/follower.ts'
import type { Arrival, OriginSession, SessionRequest } from '../../origin/session.ts'
import { requestNumber } from '../../origin/token-frames.ts'
import { DeadlineError } from '../../ring/errors.ts'
import { FlowRefusedError, GraphRequestError } from '../errors.ts'
import { originFeeds } from '../flow/routes.ts'
import { openingOf } from '../mesh/infer.ts'
import type { MeshInferInit, MeshInferNeeds, MeshPart } from '../mesh/infer.ts'
import { FLOW, SKELETON } from '../mesh/protocol.ts'
import type { FlowOpen } from '../mesh/protocol.ts'
import type { Tensors } from '../tensors.ts'
import { decodeSampled } from './sampled.ts'
import { carriesOf, stepFeeds } from './steps.ts'
import type { Replay } from './surviving.ts'

export interface DecodeInit extends Pick<MeshInferInit, 'digest' | 'optimization'> {
  readonly parts: readonly MeshPart[]
  readonly layout: DecoderLayout
  /** Rows of a prompt that one step takes in. */
  readonly chunkRows: number
  readonly session: SessionRequest
  readonly replay?: Replay | undefined
}

/** @throws PeerLostError, RemoteError, FlowRefusedError, DeadlineError, the signal's reason */
export async function openDecoding(needs: MeshInferNeeds, init: DecodeInit): Promise<OriginSession> {
  init.session.signal.throwIfAborted()
  const decoding = new Decoding(needs, init)
  try {
    await decoding.open()
    return decoding
  } catch (error) {
    decoding.close()
    throw error
  }
}

class Decoding implements OriginSession {
  readonly #needs: MeshInferNeeds
  readonly #init: DecodeInit
  readonly #parts: readonly MeshPart[]
  readonly #head: number
  readonly #request: number
  readonly #pids = new Map<number, number>()
  readonly #opened = new Inbox<number>()
  readonly #arrivals = new Inbox<Arrival>()
  readonly #undo: (() => void)[] = []
  readonly #follower
  /** Time of the clock at which the deadline is over. */
  readonly #until: number
  #unit = 0
  #replayed = 0
  /** By unit that is not answered yet: the position behind its rows. */
  readonly #sent = new Map<number, number>()

  constructor(needs: MeshInferNeeds, init: DecodeInit) {
    this.#needs = needs
    this.#init = init
    this.#parts = init.parts.map((part) => onlyWanted(part, init.layout))
    this.#head = this.#parts.findIndex(({ outputs }) => outputs.some(({ name }) => name === init.layout.logits))
    if (this.#head < 0) throw new GraphRequestError('no part of the model makes its logits')
    this.#request = requestNumber(needs.random)
    this.#until = (init.session.since ?? needs.clock.now()) + init.session.deadline
    this.#follower = createFollower(init.session.follow, (id, position) => void this.send([id], position))
  }

  get hops(): OriginSession['hops'] {
    return this.#parts.map(({ peer, blocks: [from, to] }, part) => ({ peer, pid: this.#pids.get(part)!, from, to }))
  }

  /** Whole milliseconds of the deadline; a part is given one at least. */
  get #left(): number {
    return Math.max(1, Math.ceil(this.#until - this.#needs.clock.now()))
  }

  async open(): Promise<void> {
    const { flow, watch, clock } = this.#needs
    const { deadline, signal } = this.#init.session
    const route = this.#parts.map(({ peer }) => peer)
    const abort = (): void => this.#fail(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    this.#undo.push(
      () => signal.removeEventListener('abort', abort),
      flow.listen(
        this.#request,
        { digest: this.#init.digest, route },
        {
          opened: (part, pid) => {
            this.#pids.set(part, pid)
            this.#opened.push(part)
          },
          results: (part, unit, tensors) => this.#take(part, unit, tensors),
          failed: (error) => this.#fail(error),
        },
      ),
      ...[...new Set(route)].map((peer) => watch(peer)),
      clock.after(this.#left, () => this.#fail(new DeadlineError(deadline))),
    )
    for (const [part, { skeleton }] of this.#parts.entries()) {
      const tensor = { type: 'uint8', dims: [skeleton.length], data: skeleton } as const
      this.#give(part, FLOW.open, 0, { ...this.#openOf(part) }, new Map([[SKELETON, tensor]]))
    }
    for (let count = 0; count < this.#parts.length; count++) await this.#opened.take()
  }

  async take(): Promise<Arrival> {
    const next = await this.#arrivals.take()
    this.#follower.taken(this.#arrivals.length)
    return next
  }

  send(ids: readonly number[], position: number): Promise<void> {
    const { layout } = this.#init
    const unit = this.#unit++
    this.#sent.set(unit, position + ids.length)
    const all = stepFeeds(layout, ids, position)
    for (const [part, names] of originFeeds(this.#parts, carriesOf(layout), unit).entries()) {
      const tensors = new Map(names.map((name) => [name, all.get(name)!]))
      this.#give(part, FLOW.values, unit, { origin: this.#needs.self }, tensors)
    }
    return Promise.resolve()
  }

  close(): void {
    for (const [part, { peer }] of this.#parts.entries()) this.#needs.flow.close(peer, this.#request, part)
    for (const action of this.#undo.splice(0)) action()
  }

  #take(part: number, unit: number, tensors: Tensors): void {
    const logits = tensors.get(this.#init.layout.logits)
    const takenTo = this.#sent.get(unit)
    if (part !== this.#head || logits === undefined || takenTo === undefined) {
      return this.#fail(new FlowRefusedError('a result was not asked for', { unit }))
    }
    this.#sent.delete(unit)
    try {
      const token = decodeSampled(logits)
      if (token === null) return this.#arrivals.push({ takenTo })
      if (this.#replay(token.id)) return
      this.#follower.arrived(token.id, this.#arrivals.length)
      const { runMs, ...rest } = token
      this.#arrivals.push({ token: { ...rest, computeMs: runMs } })
    } catch (error) {
      this.#fail(error)
    }
  }

  #replay(chosen: number): boolean {
    const { tokens, differs } = this.#init.replay ?? { tokens: [] }
    const known = tokens[this.#replayed]
    if (known === undefined) return false
    this.#replayed++
    if (known !== chosen) differs?.()
    this.#follower.arrived(known, 0)
    return true
  }

  #fail(reason: unknown): void {
    const error = reason instanceof Error ? reason : new FlowRefusedError(String(reason))
    this.#opened.fail(error)
    this.#arrivals.fail(error)
  }

  #openOf(part: number): FlowOpen {
    const { layout, session, chunkRows } = this.#init
    const { follow } = session
    const first = Math.ceil(follow.start / chunkRows) - 1
    // One more than there are: what is carried is wanted by nobody after the last.
    const units = { count: first + follow.limit + 1 }
    return {
      ...openingOf(
        { ...this.#init, parts: this.#parts, carries: carriesOf(layout), units, deadline: this.#left },
        part,
      ),
      decode: this.#decodePart(part, first),
    }
  }

  #decodePart(part: number, first: number): NonNullable<FlowOpen['decode']> {
    const { layout, session } = this.#init
    const { logits, caches } = layout
    const made = new Set(this.#parts[part]!.outputs.map(({ name }) => name))
    const kept = caches.filter(({ output }) => made.has(output))
    const most = kept.reduce((sum, cache) => sum + stateBytes(cache, session.positions), 0)
    const { sampler, follow } = session
    if (part !== this.#head) return { most, head: null }
    const { forced: _, ...plain } = sampler
    const own = { ...plain, history: packIds(sampler.history), generated: [], ...packForced(sampler) }
    return { most, head: { logits, sampler: own, first, position: follow.start } }
  }

  #give(part: number, type: number, step: number, control: Record<string, unknown>, tensors: Tensors): void {
    const { peer } = this.#parts[part]!
    const head = { type, request: this.#request, hop: part, step, control }
    this.#needs.flow.send(peer, head, tensors).catch((error: unknown) => this.#fail(error))
  }
}

/** Of what a decoder gives beside logits and caches, nothing is asked for. */
function onlyWanted(part: MeshPart, { logits, caches }: DecoderLayout): MeshPart {
  const wanted = new Set([logits, ...caches.map(({ output }) => output)])
  const outputs = part.outputs.map((output) => ({ ...output, ofGraph: output.ofGraph && wanted.has(output.name) }))
  return { ...part, outputs }
}
