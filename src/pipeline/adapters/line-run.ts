/** Sessions at all stages of one route, and the step that goes through them. */
import type { AdapterForm, ModelManifest } from '../../models/index.ts'
import type { AnyTensor, Tensor } from '../../onnx/index.ts'
import { parametersOf, unrounded } from '../../training/index.ts'
import type { GradientForm, LineResult, LineStep } from '../../training/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import type { Tensors } from '../graph/tensors.ts'
import type { RouteSegment } from '../origin/route.ts'
import { requestNumber } from '../origin/token-frames.ts'
import { PeerLostError } from '../ring/errors.ts'
import { RemoteError } from '../ring/remote-error.ts'
import { TENSOR } from './host/protocol.ts'
import type { LentTrainHost, TrainHosts } from './hosts.ts'
import { TRAIN } from './protocol.ts'
import type { TrainService } from './service.ts'

export interface MeshLineNeeds {
  readonly self: string
  readonly service: TrainService
  readonly hosts: TrainHosts
  readonly clock: Clock
  readonly random: RandomSource
  /** While watched, a peer that freezes is known within 2.5 s. */
  watch(peer: string): () => void
  /** Who takes the blocks of a lost stage; undefined: nobody can. */
  replace(lost: RouteSegment, avoid: ReadonlySet<string>): readonly RouteSegment[] | undefined
  count(name: string, by?: number): void
}

export interface MeshLineInit {
  readonly manifest: ModelManifest
  readonly form: AdapterForm
  /** Rows of a text. */
  readonly length: number
  readonly gradients: GradientForm
  /** Layers alone, in order. */
  readonly route: readonly RouteSegment[]
}

export interface OpenHead {
  readonly lent: LentTrainHost
  /** In the host. */
  readonly session: number
}

export interface Lost {
  readonly peer: string
  /** The peer itself, not only a process there. */
  readonly isGone: boolean
}

interface Wanted {
  readonly step: number
  readonly work: LineStep
  readonly back: boolean
  readonly done: PromiseWithResolvers<LineResult>
  readonly losses: Float64Array
  readonly inputs: (Tensor | undefined)[]
  readonly gradients: Map<string, Tensor>
  sent: number
  /** Micro-batches that are through. */
  finished: number
  /** Places whose gradients are here. */
  readonly told: Set<number>
}

export class LineRun {
  lost: Lost | undefined
  readonly #needs: MeshLineNeeds
  readonly #init: MeshLineInit
  readonly #route: readonly RouteSegment[]
  readonly #head: OpenHead
  readonly #request: number
  readonly #undo: (() => void)[] = []
  readonly #opened = Promise.withResolvers<void>()
  /** Places that have not said they are open. */
  readonly #left: Set<number>
  #wanted: Wanted | undefined
  #failure: Error | undefined

  constructor(needs: MeshLineNeeds, init: MeshLineInit, route: readonly RouteSegment[], head: OpenHead) {
    this.#needs = needs
    this.#init = init
    this.#route = route
    this.#head = head
    this.#request = requestNumber(needs.random)
    this.#left = new Set(route.keys())
    this.#opened.promise.catch(() => undefined)
  }

  async open(signal?: AbortSignal): Promise<void> {
    const { service } = this.#needs
    const peers = this.#route.map(({ peer }) => peer)
    this.#undo.push(
      service.listen(
        this.#request,
        { digest: this.#init.manifest.digest, route: peers },
        {
          opened: (place) => {
            this.#left.delete(place)
            if (this.#left.size === 0) this.#opened.resolve()
          },
          rows: (step, micro, tensors) => void this.#said(step, micro, tensors),
          returned: (step, micro, tensors) => this.#returned(step, micro, tensors),
          gradients: (place, step, tensors) => this.#told(place, step, tensors),
          failed: (peer, error) => this.lose(peer, error),
        },
      ),
      ...[...new Set(peers)].map((peer) => this.#needs.watch(peer)),
    )
    const abort = (): void => this.lose(this.#needs.self, signal!.reason as Error)
    signal?.addEventListener('abort', abort, { once: true })
    this.#undo.push(() => signal?.removeEventListener('abort', abort))
    const { manifest, length, form, gradients } = this.#init
    const how = gradients === 'int8' ? { gradients } : {}
    for (const [place, { from, to }] of this.#route.entries()) {
      const control = { digest: manifest.digest, route: peers, from, to, length, form, ...how }
      this.#send(place, TRAIN.open, 0, control, new Map())
    }
    await this.#opened.promise
  }

  async through(step: number, work: LineStep, back: boolean, signal?: AbortSignal): Promise<LineResult> {
    signal?.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
    const wanted: Wanted = {
      step,
      work,
      back,
      done: Promise.withResolvers(),
      losses: new Float64Array(work.batches.length),
      inputs: [],
      gradients: new Map(),
      sent: 0,
      finished: 0,
      told: new Set(),
    }
    this.#wanted = wanted
    const { manifest, form } = this.#init
    for (const [place, { from, to }] of this.#route.entries()) {
      const own = parametersOf(manifest.shape, form, from, to)
      const tensors = new Map(own.map(({ name }) => [name, work.parameters[name]!]))
      const whole = work.whole === true && this.#init.gradients === 'int8' ? { whole: true } : {}
      this.#send(place, TRAIN.begin, step, { micros: work.batches.length, back, ...whole }, tensors)
    }
    this.#feed(wanted)
    try {
      return await wanted.done.promise
    } finally {
      this.#wanted = undefined
    }
  }

  lose(peer: string, error: Error): void {
    // What a peer tells of itself, it was there to tell.
    this.lost ??= { peer, isGone: peer !== this.#needs.self && !(error instanceof RemoteError) }
    this.#failure ??= error
    this.#opened.reject(error)
    this.#wanted?.done.reject(error)
  }

  close(): void {
    for (const [place, { peer }] of this.#route.entries()) this.#needs.service.close(peer, this.#request, place)
    for (const action of this.#undo.splice(0)) action()
  }

  /** One for each stage and the head, and one that is on its way. */
  #feed(wanted: Wanted): void {
    const { batches } = wanted.work
    while (wanted.sent < batches.length && wanted.sent - wanted.finished < this.#route.length + 2) {
      const micro = wanted.sent++
      const rows = batches[micro]!.rows
      this.#needs.count('micro_batches')
      const control = { micro, origin: this.#needs.self }
      this.#send(0, TRAIN.forward, wanted.step, control, new Map([[TENSOR.rows, rows]]))
    }
  }

  /** What left the last layer: the head says the loss, and its gradient goes back. */
  async #said(step: number, micro: number, tensors: Tensors): Promise<void> {
    const wanted = this.#wanted
    if (wanted?.step !== step || wanted.work.batches[micro] === undefined) return
    try {
      const { targets } = wanted.work.batches[micro]
      const asked = { session: this.#head.session, micro, weight: wanted.work.weight, wanted: wanted.back }
      const all: Tensors = new Map([
        ...tensors,
        [TENSOR.targets, { type: 'int32', dims: [targets.length], data: targets }],
      ])
      const { control, tensors: made } = await this.#head.lent.host.ask('loss', asked, all)
      wanted.losses[micro] = Number(control['loss'])
      if (wanted.back) {
        const last = this.#route.length - 1
        this.#send(last, TRAIN.backward, step, { micro, origin: this.#needs.self }, made)
        return
      }
      wanted.finished++
      this.#feed(wanted)
      this.#finish(wanted)
    } catch (error) {
      this.lose(this.#needs.self, error as Error)
    }
  }

  #returned(step: number, micro: number, tensors: Tensors): void {
    const wanted = this.#wanted
    const rows = wanted?.work.batches[micro]?.rows
    if (wanted?.step !== step || rows === undefined || wanted.inputs[micro] !== undefined) return
    const gradient = tensors.get(TENSOR.gradient)
    if (!isLike(gradient, rows.dims)) return this.#odd(0, 'gradients of the rows')
    wanted.inputs[micro] = gradient
    wanted.finished++
    this.#feed(wanted)
    this.#finish(wanted)
  }

  #told(place: number, step: number, tensors: Tensors): void {
    const wanted = this.#wanted
    const segment = this.#route[place]
    if (wanted?.step !== step || segment === undefined || wanted.told.has(place)) return
    const { manifest, form } = this.#init
    for (const { name, dims } of parametersOf(manifest.shape, form, segment.from, segment.to)) {
      const gradient = unrounded(tensors, name, dims)
      if (gradient === undefined) return this.#odd(place, `the gradient of ${name}`)
      wanted.gradients.set(name, gradient)
    }
    this.#needs.count('gradient_bytes', bytesOf(tensors))
    wanted.told.add(place)
    this.#finish(wanted)
  }

  /** A stage that sends what cannot be of this step is replaced as one that is lost. */
  #odd(place: number, what: string): void {
    const { peer } = this.#route[place]!
    this.lose(peer, new PeerLostError(peer, `${what} it sent are not of the shape that they have to be`))
  }

  #finish({ work, back, finished, told, losses, inputs, gradients, done }: Wanted): void {
    if (finished < work.batches.length || (back && told.size < this.#route.length)) return
    const loss = losses.reduce((sum, each) => sum + each, 0)
    done.resolve({ loss, gradients: Object.fromEntries(gradients), inputs: inputs as Tensor[] })
  }

  #send(place: number, type: number, step: number, control: Record<string, unknown>, tensors: Tensors): void {
    const { peer } = this.#route[place]!
    const head = { type, request: this.#request, hop: place, step, control }
    this.#needs.service.send(peer, head, tensors).catch((error: unknown) => this.lose(peer, error as Error))
  }
}

function bytesOf(tensors: Tensors): number {
  return [...tensors.values()].reduce((sum, one) => sum + (one.type === 'string' ? 0 : one.data.byteLength), 0)
}

function isLike(tensor: AnyTensor | undefined, dims: readonly number[]): tensor is Tensor {
  return tensor?.type === 'float32' && tensor.dims.length === dims.length && dims.every((d, i) => tensor.dims[i] === d)
}
