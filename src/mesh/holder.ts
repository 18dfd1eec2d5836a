/** One holder that a fetch asks: a channel to it, requests under way, pieces put together again. */
import type { Channel, Frame, Network } from '../net/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import { BLOB, BLOB_PROTOCOL, cancelFrame, creditFrame, questionFrame, readRefusal } from './blob-wire.ts'
import type { BlobQuestion } from './blob-wire.ts'
import { HolderError } from './errors.ts'
import type { HolderReason } from './errors.ts'
import { HOLDER_STALL_MS, PIECE_BYTES } from './limits.ts'

/** Exactly so many bytes, or at most. */
export type AnswerSize = number | { readonly most: number }

interface HolderNeeds {
  readonly network: Network
  readonly clock: Clock
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
  readonly #pending = new Map<number, Pending>()
  readonly #closing = new AbortController()
  #channel: Promise<Channel> | undefined
  #lastRequest = 0
  #stall: CancelTimer | undefined

  constructor(needs: HolderNeeds, peer: string) {
    this.#needs = needs
    this.peer = peer
  }

  /** The answer, of the right size and not yet verified. @throws HolderError */
  async ask(question: BlobQuestion, size: AnswerSize): Promise<Uint8Array> {
    const request = ++this.#lastRequest
    const settled = Promise.withResolvers<Uint8Array>()
    // Who closes the holder does not wait for what was under way.
    settled.promise.catch(ignore)
    try {
      const channel = await this.#connect()
      this.#pending.set(request, { size, answer: undefined, filled: 0, settled })
      this.#watch(channel)
      await channel.send(questionFrame(request, question))
    } catch (error) {
      this.#pending.delete(request)
      throw new HolderError(this.peer, 'lost', error instanceof Error ? error.message : String(error))
    }
    return settled.promise
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
    const channel = await this.#needs.network.open(this.peer, BLOB_PROTOCOL, this.#closing.signal)
    channel.onFrame((message) => {
      const wrong = this.#onFrame(message)
      if (wrong !== undefined) {
        this.#fail('lied', wrong)
        throw new HolderError(this.peer, 'lied', wrong)
      }
      if (message.type === BLOB.piece) void channel.send(creditFrame(1)).catch(ignore)
      this.#watch(channel)
    })
    return channel
  }

  /** Says what was wrong. */
  #onFrame(message: Frame): string | undefined {
    if (message.type === BLOB.piece) return this.#onPiece(message)
    if (message.type === BLOB.refusal) return this.#onRefusal(message)
    return `type ${message.type} is no answer`
  }

  #onPiece({ request, step: total, position, payload }: Frame): string | undefined {
    const asked = this.#pending.get(request)
    // Of a request that was cancelled meanwhile.
    if (asked === undefined) return undefined
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
    for (const { settled } of all) settled.reject(new HolderError(this.peer, reason, why))
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
