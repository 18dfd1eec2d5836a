/** A channel between two simulated peers: whole frames in order, with the product's rules of how they are handed over. */
import { ChannelClosedError } from '../../../src/net/index.ts'
import type { Channel, Frame } from '../../../src/net/index.ts'
import type { Link } from './link.ts'

/** As the product: frames whose handler has not finished. */
const MAX_PENDING_FRAMES = 8
const HEADER_BYTES = 128
const CLOSE_WAIT_MS = 5_000
const SMALL_BYTES = 64

export class SimulatedChannel implements Channel {
  readonly remote: string
  readonly protocol: string
  readonly closed: Promise<Error | undefined>
  other: SimulatedChannel | undefined
  readonly #link: Link
  readonly #end = Promise.withResolvers<Error | undefined>()
  #handler: ((frame: Frame) => void | Promise<void>) | undefined
  #queue: Frame[] = []
  #atWork = 0
  #state: 'open' | 'closing' | 'ended' = 'open'
  #finished = false

  constructor(link: Link, protocol: string) {
    this.remote = link.peer
    this.protocol = protocol
    this.#link = link
    this.closed = this.#end.promise
    link.channels.add(this)
  }

  async send(frame: Frame): Promise<void> {
    if (this.#state !== 'open') throw new ChannelClosedError(this.remote)
    for (const each of this.#link.hub.onItsWay(frame, this)) {
      const bytes = HEADER_BYTES + each.payload.length + each.control.length
      await this.#link.out.send(bytes, () => this.other?.receive(each))
    }
    // A closed pipe lets its waiting senders go.
    if (this.#isEnded()) throw new ChannelClosedError(this.remote)
  }

  onFrame(handler: (frame: Frame) => void | Promise<void>): void {
    this.#handler = handler
    queueMicrotask(() => this.#deliver())
  }

  async close(): Promise<void> {
    if (this.#state === 'open') {
      this.#state = 'closing'
      this.#queue = []
      void this.#link.out.send(SMALL_BYTES, () => this.other?.finish())
      const cancel = this.#link.node.process.after(CLOSE_WAIT_MS, () => this.abort(new ChannelClosedError(this.remote)))
      void this.closed.then(cancel)
    }
    await this.closed
  }

  abort(reason: Error): void {
    if (this.#state === 'ended') return
    this.ended(reason)
    void this.#link.out.send(SMALL_BYTES, () => this.other?.ended(new ChannelClosedError(this.remote, reason.message)))
  }

  receive(frame: Frame): void {
    if (this.#state !== 'open') return
    this.#queue.push(frame)
    this.#deliver()
  }

  /** The other end sends no more. */
  finish(): void {
    this.#finished = true
    this.#deliver()
  }

  ended(error?: Error): void {
    if (this.#state === 'ended') return
    const reason = this.#state === 'closing' ? undefined : error
    this.#state = 'ended'
    this.#queue = []
    this.#link.channels.delete(this)
    this.#end.resolve(reason)
  }

  #isEnded(): boolean {
    return this.#state === 'ended'
  }

  #deliver(): void {
    while (this.#state === 'open' && this.#handler !== undefined && this.#queue.length > 0) {
      if (this.#atWork >= MAX_PENDING_FRAMES) return
      try {
        const work = this.#handler(this.#queue.shift()!)
        if (work !== undefined) this.#await(work)
      } catch (error) {
        this.abort(error as Error)
      }
    }
    if (!this.#finished || this.#queue.length > 0 || this.#state === 'ended') return
    void this.#link.out.send(SMALL_BYTES, () => this.other?.ended())
    this.ended()
  }

  #await(work: Promise<void>): void {
    this.#atWork++
    const settle = (): void => {
      this.#atWork--
      this.#deliver()
    }
    work.then(settle, (error: unknown) => {
      this.abort(error as Error)
      settle()
    })
  }
}
