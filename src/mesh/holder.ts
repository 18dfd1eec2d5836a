/** One holder that a fetch asks: a channel to it, requests under way, pieces put together again. */
import type { Channel, Frame, Network } from '../net/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import { BLOB, BLOB_PROTOCOL, cancelFrame, creditFrame, questionFrame, readRefusal } from './blob-wire.ts'
import type { BlobQuestion } from './blob-wire.ts'
import { HolderError } from './errors.ts'
import type { HolderReason } from './errors.ts'
import { HOLDER_STALL_MS, PIECE_BYTES } from './limits.ts'

export interface Holder {
  readonly peer: string
  /** The answer, not yet verified, of exactly `size` bytes, or of at most `size.most`. @throws HolderError */
  ask(question: BlobQuestion, size: number | { readonly most: number }): Promise<Uint8Array>
  close(): void
}

interface Pending {
  readonly size: number | { readonly most: number }
  answer: Uint8Array | undefined
  filled: number
  readonly settled: PromiseWithResolvers<Uint8Array>
}

/** A channel is opened at the first question, and again at the first after it was lost. */
export function createHolder(needs: { readonly network: Network; readonly clock: Clock }, peer: string): Holder {
  const pending = new Map<number, Pending>()
  let opening: Promise<Channel> | undefined
  let lastRequest = 0
  let stall: CancelTimer | undefined
  const closing = new AbortController()

  const fail = (reason: HolderReason, why?: string): void => {
    const all = [...pending.values()]
    pending.clear()
    opening = undefined
    stall?.()
    for (const { settled } of all) settled.reject(new HolderError(peer, reason, why))
  }

  const watch = (channel: Channel): void => {
    stall?.()
    if (pending.size === 0) return
    stall = needs.clock.after(HOLDER_STALL_MS, () => {
      fail('stalled', `nothing came for ${HOLDER_STALL_MS} ms`)
      channel.abort(new HolderError(peer, 'stalled'))
    })
  }

  const open = async (): Promise<Channel> => {
    const channel = await needs.network.open(peer, BLOB_PROTOCOL, closing.signal)
    channel.onFrame((message) => {
      const wrong = onFrame(message)
      if (wrong !== undefined) {
        fail('lied', wrong)
        throw new HolderError(peer, 'lied', wrong)
      }
      if (message.type === BLOB.piece) void channel.send(creditFrame(1)).catch(() => undefined)
      watch(channel)
    })
    return channel
  }

  const connect = (): Promise<Channel> => {
    if (opening !== undefined) return opening
    const mine = open()
    opening = mine
    const lose = (error: unknown): void => {
      if (opening === mine) fail('lost', error instanceof Error ? error.message : undefined)
    }
    mine
      .then(
        (channel) => channel.closed,
        (error: unknown) => error,
      )
      .then(lose, lose)
    return mine
  }

  /** Says what was wrong. */
  const onFrame = (message: Frame): string | undefined => {
    if (message.type === BLOB.refusal) return onRefusal(message)
    if (message.type !== BLOB.piece) return `type ${message.type} is no answer`
    const request = pending.get(message.request)
    // Of a request that was cancelled meanwhile.
    if (request === undefined) return undefined
    const { size } = request
    const total = message.step
    if (typeof size === 'number' ? total !== size : total > size.most) return `an answer of ${total} bytes`
    request.answer ??= new Uint8Array(total)
    const expected = Math.min(PIECE_BYTES, total - request.filled)
    const inPlace = request.answer.length === total && message.position === request.filled
    if (!inPlace || message.payload.length !== expected) return 'a piece out of place'
    request.answer.set(message.payload, request.filled)
    request.filled += message.payload.length
    if (request.filled < total) return undefined
    pending.delete(message.request)
    request.settled.resolve(request.answer)
    return undefined
  }

  const onRefusal = (message: Frame): string | undefined => {
    const refusal = readRefusal(message.control)
    if (refusal === undefined) return 'a malformed refusal'
    if (message.request === 0) fail(refusal.reason, refusal.why)
    const request = pending.get(message.request)
    pending.delete(message.request)
    request?.settled.reject(new HolderError(peer, refusal.reason, refusal.why))
    return undefined
  }

  return {
    peer,
    async ask(question, size) {
      const request = ++lastRequest
      const settled = Promise.withResolvers<Uint8Array>()
      // Who closes the holder does not wait for what was under way.
      settled.promise.catch(() => undefined)
      let channel: Channel
      try {
        channel = await connect()
        pending.set(request, { size, answer: undefined, filled: 0, settled })
        watch(channel)
        await channel.send(questionFrame(request, question))
      } catch (error) {
        pending.delete(request)
        throw new HolderError(peer, 'lost', error instanceof Error ? error.message : String(error))
      }
      return settled.promise
    },
    close() {
      closing.abort(new HolderError(peer, 'lost'))
      const channel = opening
      for (const request of pending.keys()) {
        void channel?.then((open) => open.send(cancelFrame(request))).catch(() => undefined)
      }
      fail('lost', 'the fetch has ended')
      void channel?.then((open) => open.close()).catch(() => undefined)
    },
  }
}
