/** A session of a run at one peer, as the origin sees it: it asks in order, and is answered in order. */
import type { AnyTensor, Tensor } from '../../onnx/index.ts'
import { unrounded } from '../../training/index.ts'
import type { GradientForm, ParameterForm, WeightedBatch } from '../../training/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import type { Message } from '../graph/messages.ts'
import type { Tensors } from '../graph/tensors.ts'
import { requestNumber } from '../origin/token-frames.ts'
import { PeerLostError } from '../ring/errors.ts'
import { decodeGradientOpened, GRADIENT, LOSS, TASK } from './protocol.ts'
import type { GradientOpen, GradientOpened } from './protocol.ts'
import type { GradientService } from './service.ts'

export interface RemoteNeeds {
  readonly service: GradientService
  readonly clock: Clock
  readonly random: RandomSource
  /** While watched, a peer that freezes is known within 2.5 s. */
  watch(peer: string): () => void
  count(name: string, by?: number): void
}

export interface RemoteInit {
  readonly peer: string
  /** Of the run. */
  readonly name: string
  readonly open: GradientOpen
  readonly task: Uint8Array
  readonly parameters: readonly ParameterForm[]
}

export interface ShareSum {
  /** Of its batches. */
  readonly losses: readonly number[]
  readonly gradients: Readonly<Record<string, Tensor>>
}

interface Expected {
  readonly type: number
  readonly taken: PromiseWithResolvers<Message>
}

/** Batches that are sent and not answered: one that is computed, and one that is on its way meanwhile. */
const BATCHES_UNDER_WAY = 2
/** One that is there and computes for so long is stuck, whatever it says of itself; it watches its own hosts long before. */
const SILENT_MS = 600_000

export class RemoteSession {
  readonly peer: string
  /** Why it has ended. */
  failure: Error | undefined
  /** What the peer says that it computes with; undefined: it is not open. */
  opened: GradientOpened | undefined
  readonly #needs: RemoteNeeds
  readonly #init: RemoteInit
  readonly #request: number
  readonly #expected: Expected[] = []
  readonly #undo: (() => void)[] = []

  constructor(needs: RemoteNeeds, init: RemoteInit) {
    this.#needs = needs
    this.#init = init
    this.peer = init.peer
    this.#request = requestNumber(needs.random)
    this.#undo.push(
      needs.service.listen(this.#request, {
        peer: init.peer,
        name: init.name,
        heard: (message) => this.#heard(message),
        failed: (error) => this.end(error),
      }),
      needs.watch(init.peer),
    )
  }

  /** @throws what the peer refuses with, PeerLostError, PeerUnreachableError */
  async open(): Promise<void> {
    const { open, task } = this.#init
    const tensors: Tensors = new Map([[TASK, { type: 'uint8', dims: [task.length], data: task }]])
    const { control } = await this.#ask(GRADIENT.open, { ...open }, tensors, GRADIENT.opened)
    try {
      this.opened = decodeGradientOpened(control)
    } catch (error) {
      throw this.#odd((error as Error).message)
    }
  }

  begin(parameters: Readonly<Record<string, Tensor>>): void {
    this.#send(GRADIENT.begin, {}, new Map(Object.entries(parameters)))
  }

  /** Shares of the step that was begun, one behind the other without a pause; those before an error are not lost by it. */
  async shares(all: readonly (readonly WeightedBatch[])[], whole: boolean): Promise<PromiseSettledResult<ShareSum>[]> {
    const sent: Promise<number>[] = []
    const sums: Promise<ShareSum>[] = []
    for (const batches of all) {
      const losses: Promise<number>[] = []
      for (const batch of batches) {
        await sent.at(-BATCHES_UNDER_WAY)?.catch(() => undefined)
        const loss = this.#batch(batch)
        loss.catch(() => undefined)
        sent.push(loss)
        losses.push(loss)
      }
      const sum = this.#tell(losses, whole)
      sum.catch(() => undefined)
      sums.push(sum)
    }
    return Promise.allSettled(sums)
  }

  /** Everything that is asked fails with this, and what comes from here on is nobody's. */
  end(error: Error): void {
    if (this.failure !== undefined) return
    this.failure = error
    for (const action of this.#undo.splice(0)) action()
    this.#needs.service.close(this.peer, this.#request)
    for (const { taken } of this.#expected.splice(0)) taken.reject(error)
  }

  async #tell(losses: readonly Promise<number>[], whole: boolean): Promise<ShareSum> {
    const { tensors } = await this.#ask(GRADIENT.tell, { whole }, new Map(), GRADIENT.gradients)
    this.#needs.count('gradient_bytes', bytesOf(tensors))
    return { losses: await Promise.all(losses), gradients: this.#checked(tensors) }
  }

  async #batch({ feeds, weight }: WeightedBatch): Promise<number> {
    this.#needs.count('micro_batches')
    const { tensors } = await this.#ask(GRADIENT.batch, { weight }, new Map(Object.entries(feeds)), GRADIENT.computed)
    const loss = tensors.get(LOSS)
    if (loss?.type !== 'float32' || loss.data.length !== 1) throw this.#odd('the loss it sent is no number')
    return (loss.data as Float32Array)[0]!
  }

  #ask(type: number, control: Record<string, unknown>, tensors: Tensors, answer: number): Promise<Message> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    const taken = Promise.withResolvers<Message>()
    this.#expected.push({ type: answer, taken })
    this.#send(type, control, tensors)
    const why = `it did not answer in ${SILENT_MS / 60_000} minutes`
    const cancel = this.#needs.clock.after(SILENT_MS, () => this.end(new PeerLostError(this.peer, why)))
    return taken.promise.finally(cancel)
  }

  #send(type: number, control: Record<string, unknown>, tensors: Tensors): void {
    if (this.failure !== undefined) return
    const head = { type, request: this.#request, control }
    this.#needs.service.send(head, tensors).catch((error: unknown) => this.end(error as Error))
  }

  #heard(message: Message): void {
    const first = this.#expected.shift()
    if (first?.type === message.head.type) return first.taken.resolve(message)
    const error = this.#odd('what it sent is out of turn')
    first?.taken.reject(error)
  }

  /** Of the shapes of the model, and nothing else. */
  #checked(tensors: Tensors): Readonly<Record<string, Tensor>> {
    const { parameters, open } = this.#init
    const form: GradientForm = open.gradients ?? 'float32'
    const entries = parameters.map(({ name, dims }): [string, Tensor] => {
      const tensor =
        form === 'float32' && tensors.get(name)?.type !== 'float32' ? undefined : unrounded(tensors, name, dims)
      if (tensor === undefined) throw this.#odd(`the gradient of ${name} it sent is not of the shape that it has to be`)
      return [name, tensor]
    })
    return Object.fromEntries(entries)
  }

  #odd(what: string): PeerLostError {
    const error = new PeerLostError(this.peer, what)
    this.end(error)
    return error
  }
}

function bytesOf(tensors: Tensors): number {
  return [...tensors.values()].reduce(
    (sum, one: AnyTensor) => sum + (one.type === 'string' ? 0 : one.data.byteLength),
    0,
  )
}
