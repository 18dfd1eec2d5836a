/** One holder that a fetch asks: a channel to it, requests under way, pieces put together again. */
import { ProtocolUnsupportedError } from '../net/index.ts'
import type { Channel, Frame, Network } from '../net/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import { BLOB, BLOB_PROTOCOLS, cancelFrame, creditFrame, questionFrame, readRefusal } from './blob-wire.ts'
import type { BlobQuestion, BlobVersion } from './blob-wire.ts'
import { HolderError } from './errors.ts'
import type { HolderReason } from './errors.ts'
import { CREDIT_PIECES, CREDITS_AT_ONCE, HOLDER_STALL_MS, MAX_CREDITS, PIECE_BYTES } from './limits.ts'

/** Exactly so many bytes, or at most. */
export type AnswerSize = number | { readonly most: number }

interface HolderNeeds {
  readonly network: Network
  readonly clock: Clock
}

export interface HolderOptions {
  /**
   * Megabytes will come: over a lane, where there is one to be had, they cost half the processor time, and heart-beats
   * and gossip do not wait behind them.
   */
  readonly lane?: boolean
  /** Bytes of answers, as they come. */
  readonly received?: (bytes: number) => void
  /** Bytes of an answer that nobody has any use for: dropped, or cut off. */
  readonly wasted?: (bytes: number) => void
}

interface Pending {
  readonly size: AnswerSize
  answer: Uint8Array | undefined
  filled: number
  readonly settled: PromiseWithResolvers<Uint8Array>
}

const ignore = (): void => undefined

/** A channel is opened at the first question, and again at the first after it was lost. */
export class Holder {
  readonly peer: string
  readonly #needs: HolderNeeds
  readonly #options: HolderOptions
  readonly #pending = new Map<number, Pending>()
  readonly #closing = new AbortController()
  #channel: Promise<Channel> | undefined
  #version: BlobVersion = 2
  #lastRequest = 0
  #stall: CancelTimer | undefined
  /** Pieces for which no credit was given back yet. */
  #owed = 0
  /** Pieces that the server may send unasked. */
  #window = CREDIT_PIECES

  constructor(needs: HolderNeeds, peer: string, options: HolderOptions = {}) {
    this.#needs = needs
    this.#options = options
    this.peer = peer
  }

  /** Which version of the protocol it speaks; opens the channel. @throws HolderError */
  async version(): Promise<BlobVersion> {
    try {
      await this.#connect()
      return this.#version
    } catch (error) {
      throw this.#lost(error)
    }
  }

  /** The answer, of the right size and not yet verified. `signal`: it is not wanted any more. @throws HolderError */
  async ask(question: BlobQuestion, size: AnswerSize, signal?: AbortSignal): Promise<Uint8Array> {
    const request = ++this.#lastRequest
    const settled = Promise.withResolvers<Uint8Array>()
    // Who closes the holder does not wait for what was under way.
    settled.promise.catch(ignore)
    const cancel = (): void => this.#cancel(request)
    try {
      const channel = await this.#connect()
      signal?.throwIfAborted()
      this.#pending.set(request, { size, answer: undefined, filled: 0, settled })
      this.#watch(channel)
      signal?.addEventListener('abort', cancel, { once: true })
      await channel.send(questionFrame(request, question))
    } catch (error) {
      this.#pending.delete(request)
      throw this.#lost(error)
    }
    return settled.promise.finally(() => signal?.removeEventListener('abort', cancel))
  }

  /** Lets the server send so many pieces ahead, as long as the channel lasts; it never becomes fewer. */
  widen(pieces: number): void {
    const more = Math.min(pieces, MAX_CREDITS) - this.#window
    if (more <= 0) return
    this.#window += more
    void this.#channel?.then((channel) => channel.send(creditFrame(more))).catch(ignore)
  }

  close(): void {
    const channel = this.#channel
    const requests = [...this.#pending.keys()]
    this.#closing.abort(new HolderError(this.peer, 'lost', 'the fetch has ended'))
    this.#fail('lost', 'the fetch has ended')
    void channel
      ?.then(async (open) => {
        for (const request of requests) await open.send(cancelFrame(request))
        await open.close()
      })
      .catch(ignore)
  }

  #lost(error: unknown): HolderError {
    if (error instanceof HolderError) return error
    return new HolderError(this.peer, 'lost', error instanceof Error ? error.message : String(error))
  }

  #cancel(request: number): void {
    const asked = this.#pending.get(request)
    if (asked === undefined) return
    this.#pending.delete(request)
    this.#options.wasted?.(asked.filled)
    asked.settled.reject(new HolderError(this.peer, 'lost', 'it is not wanted any more'))
    void this.#channel?.then((channel) => channel.send(cancelFrame(request))).catch(ignore)
  }

  #connect(): Promise<Channel> {
    if (this.#channel !== undefined) return this.#channel
    const mine = this.#open()
    this.#channel = mine
    const lose = (error: unknown): void => {
      if (this.#channel === mine) this.#fail('lost', error instanceof Error ? error.message : undefined)
    }
    mine.then((channel) => channel.closed).then(lose, lose)
    return mine
  }

  async #open(): Promise<Channel> {
    this.#closing.signal.throwIfAborted()
    const channel = await this.#openNewest()
    this.#window = CREDIT_PIECES
    this.#owed = 0
    channel.onFrame((message) => {
      const wrong = this.#onFrame(message)
      if (wrong !== undefined) {
        this.#fail('lied', wrong)
        throw new HolderError(this.peer, 'lied', wrong)
      }
      if (message.type === BLOB.piece) this.#giveCredit(channel)
      this.#watch(channel)
    })
    return channel
  }

  async #openNewest(): Promise<Channel> {
    let refused: unknown
    for (const [version, protocol] of BLOB_PROTOCOLS) {
      try {
        const channel = await this.#needs.network.open(this.peer, protocol, this.#closing.signal)
        this.#version = version
        // An older peer would say that it has no lane, and the ring would go without one too.
        if (version === 1 || this.#options.lane !== true) return channel
        void channel.close().catch(ignore)
        return await this.#needs.network.openLane(this.peer, protocol, this.#closing.signal)
      } catch (error) {
        if (!(error instanceof ProtocolUnsupportedError)) throw error
        refused = error
      }
    }
    throw refused
  }

  #giveCredit(channel: Channel): void {
    this.#owed += 1
    if (this.#owed < CREDITS_AT_ONCE) return
    void channel.send(creditFrame(this.#owed)).catch(ignore)
    this.#owed = 0
  }

  /** Says what was wrong. */
  #onFrame(message: Frame): string | undefined {
    if (message.type === BLOB.piece) return this.#onPiece(message)
    if (message.type === BLOB.refusal) return this.#onRefusal(message)
    return `type ${message.type} is no answer`
  }

  #onPiece({ request, step: total, position, payload }: Frame): string | undefined {
    this.#options.received?.(payload.length)
    const asked = this.#pending.get(request)
    // Of a request that was cancelled meanwhile.
    if (asked === undefined) {
      this.#options.wasted?.(payload.length)
      return undefined
    }
    const { size } = asked
    if (typeof size === 'number' ? total !== size : total > size.most) return `an answer of ${total} bytes`
    asked.answer ??= new Uint8Array(total)
    const expected = Math.min(PIECE_BYTES, total - asked.filled)
    const isNext = asked.answer.length === total && position === asked.filled && payload.length === expected
    if (!isNext) return 'a piece out of place'
    asked.answer.set(payload, asked.filled)
    asked.filled += payload.length
    if (asked.filled < total) return undefined
    this.#pending.delete(request)
    asked.settled.resolve(asked.answer)
    return undefined
  }

  #onRefusal({ request, control }: Frame): string | undefined {
    const refusal = readRefusal(control)
    if (refusal === undefined) return 'a malformed refusal'
    if (request === 0) this.#fail(refusal.reason, refusal.why)
    const asked = this.#pending.get(request)
    this.#pending.delete(request)
    asked?.settled.reject(new HolderError(this.peer, refusal.reason, refusal.why))
    return undefined
  }

  /** Ends all that is under way; the next question opens another channel. */
  #fail(reason: HolderReason, why?: string): void {
    const all = [...this.#pending.values()]
    this.#pending.clear()
    this.#channel = undefined
    this.#stall?.()
    for (const { settled, filled } of all) {
      this.#options.wasted?.(filled)
      settled.reject(new HolderError(this.peer, reason, why))
    }
  }

  #watch(channel: Channel): void {
    this.#stall?.()
    if (this.#pending.size === 0) return
    this.#stall = this.#needs.clock.after(HOLDER_STALL_MS, () => {
      this.#fail('stalled', `nothing came for ${HOLDER_STALL_MS} ms`)
      channel.abort(new HolderError(this.peer, 'stalled'))
    })
  }
}
