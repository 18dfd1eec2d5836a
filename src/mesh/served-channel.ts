/** One client of our blobs: its questions in a row, one answer at a time, as many pieces as it has asked for. */
import type { Channel, Frame } from '../net/index.ts'
import type { CancelTimer, Clock, TokenBucket } from '../util/index.ts'
import { answerQuestion } from './blob-answers.ts'
import type { AnswerNeeds } from './blob-answers.ts'
import { BLOB, pieceFrames, readQuestion, refusalFrame } from './blob-wire.ts'
import type { BlobQuestion, BlobVersion } from './blob-wire.ts'
import { MeshProtocolError } from './errors.ts'
import { CREDIT_PIECES, HOLDER_STALL_MS, IDLE_CHANNEL_MS, MAX_CREDITS, MAX_WAITING_REQUESTS } from './limits.ts'
import type { MeshCount, MeshLogger } from './needs.ts'
import type { Slots } from './slots.ts'

export interface ServingNeeds extends AnswerNeeds {
  readonly clock: Clock
  readonly count: MeshCount
  readonly logger: MeshLogger
  /** Bytes of blobs that may go out. */
  readonly upload: TokenBucket
}

interface Asked {
  readonly request: number
  readonly question: BlobQuestion
}

/** Ends when the channel does. `slots`: answers in memory at once, over all clients. */
export function serveChannel(needs: ServingNeeds, channel: Channel, version: BlobVersion, slots: Slots): void {
  const served = new ServedChannel(needs, channel, version, slots)
  channel.onFrame((message) => served.onFrame(message))
}

class ServedChannel {
  readonly #needs: ServingNeeds
  readonly #channel: Channel
  readonly #version: BlobVersion
  readonly #slots: Slots
  readonly #waiting: Asked[] = []
  /** The request that is being answered. */
  #current: number | undefined
  #cancelled = false
  #ended = false
  #credits = CREDIT_PIECES
  #credited: (() => void) | undefined
  #idle: CancelTimer | undefined

  constructor(needs: ServingNeeds, channel: Channel, version: BlobVersion, slots: Slots) {
    this.#needs = needs
    this.#channel = channel
    this.#version = version
    this.#slots = slots
    this.#rest()
    void channel.closed.then(() => {
      this.#ended = true
      this.#waiting.length = 0
      this.#idle?.()
      this.#credited?.()
    })
  }

  /** @throws MeshProtocolError, ControlError: what no client of ours sends ends the channel */
  onFrame(message: Frame): void {
    if (message.type === BLOB.credit) {
      this.#credits = Math.min(MAX_CREDITS, this.#credits + message.step)
      this.#credited?.()
    } else if (message.type === BLOB.cancel) this.#cancel(message.request)
    else this.#ask(message)
  }

  #ask(message: Frame): void {
    const { remote } = this.#channel
    const question = readQuestion(message, this.#version)
    if (question === undefined) throw new MeshProtocolError(remote, 'its question is malformed')
    if (this.#waiting.length >= MAX_WAITING_REQUESTS) throw new MeshProtocolError(remote, 'it asks too much at once')
    this.#rest()
    // What is small and decides what is asked next does not wait behind megabytes.
    const before = question.kind === 'chunk' ? -1 : this.#waiting.findIndex((asked) => asked.question.kind === 'chunk')
    const place = before < 0 ? this.#waiting.length : before
    this.#waiting.splice(place, 0, { request: message.request, question })
    if (this.#current === undefined) void this.#work()
  }

  #cancel(request: number): void {
    const at = this.#waiting.findIndex((asked) => asked.request === request)
    if (at >= 0) this.#waiting.splice(at, 1)
    if (this.#current !== request) return
    this.#cancelled = true
    this.#credited?.()
  }

  async #work(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#current = next.request
      this.#cancelled = false
      await this.#answer(next).catch(() => undefined)
      this.#rest()
    }
    this.#current = undefined
  }

  async #answer({ request, question }: Asked): Promise<void> {
    const release = await this.#slots.take()
    try {
      const reply = await answerQuestion(this.#needs, question, this.#version)
      if (this.#ended || this.#cancelled) return
      if ('reason' in reply) await this.#channel.send(refusalFrame(request, reply))
      else if ((await this.#send(request, reply.content)) && reply.last) this.#needs.count('blobs_served')
    } catch (error) {
      if (this.#ended) return
      this.#needs.logger.warn({ err: error, peer: this.#channel.remote }, 'could not serve a blob')
      await this.#channel.send(refusalFrame(request, { reason: 'failed', why: 'it could not be read' }))
    } finally {
      release()
    }
  }

  /** True when all of it was sent. */
  async #send(request: number, content: Uint8Array): Promise<boolean> {
    for (const piece of pieceFrames(request, content)) {
      await this.#credit()
      if (this.#ended || this.#cancelled) return false
      this.#credits -= 1
      await this.#needs.upload.take(piece.payload.length)
      if (this.#ended || this.#cancelled) return false
      await this.#channel.send(piece)
      this.#needs.count('blob_bytes_served', piece.payload.length)
    }
    return true
  }

  /** Waits until the client takes another piece; who asks and does not take holds a place that others want. */
  async #credit(): Promise<void> {
    if (this.#credits > 0 || this.#ended) return
    const cancelTimer = this.#needs.clock.after(HOLDER_STALL_MS, () => {
      this.#channel.abort(new MeshProtocolError(this.#channel.remote, 'it asked for a chunk and did not take it'))
    })
    await new Promise<void>((resolve) => (this.#credited = resolve))
    cancelTimer()
  }

  #rest(): void {
    this.#idle?.()
    if (this.#ended) return
    this.#idle = this.#needs.clock.after(IDLE_CHANNEL_MS, () => {
      if (this.#current === undefined) void this.#channel.close()
      else this.#rest()
    })
  }
}
