/** Messages both ways between a member and an aggregator: a kind, a small map, and bytes. Over a channel, or within a process. */
import { WeftError } from '../../errors.ts'
import { ChannelClosedError, decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Channel, Frame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { MessageSizeError } from '../plan/errors.ts'

export interface Message {
  readonly kind: string
  /** Plain data; its shape is for the reader to check. */
  readonly body: Readonly<Record<string, unknown>>
  readonly payload: Uint8Array
}

export interface Pipe {
  /** PeerId of the other end. */
  readonly remote: string
  /** Resolves when there is room for another. @throws ChannelClosedError */
  send(kind: string, body?: object, payload?: Uint8Array): Promise<void>
  /** @param wait milliseconds without a message. @throws PipeSilentError, or why the pipe has ended */
  next(wait: number): Promise<Message>
  readonly isOpen: boolean
  /** Called once, when it has ended. */
  onEnd(action: () => void): void
  close(): void
}

/** Nobody said anything for too long: as good as gone. */
export class PipeSilentError extends Error {
  override readonly name = 'PipeSilentError'
}

/** Of the frames of `/weft/fed/1`; there is one. */
const FRAME_TYPE = 1
const NO_BYTES = new Uint8Array()
/** Messages that wait to be read; a member is never so many ahead. */
const MOST_WAITING = 4096
/** A payload leaves in frames of at most so much: a slow link still says something every few seconds. */
const PART_BYTES = 4 << 20
const PART = 'part'
/** Of one message, and of all that wait to be read at one end. A state of 26 million parameters under Adam, say. */
export const MOST_MESSAGE_BYTES = 512 << 20

/** The reading side of both kinds. */
class Mailbox {
  readonly #clock: Clock
  readonly #messages: Message[] = []
  readonly #ends: (() => void)[] = []
  readonly #most: number
  /** The beginning of a message whose rest is on its way. */
  #parts: Uint8Array[] = []
  #bytes = 0
  #heardAt = 0
  #wake: (() => void) | undefined
  error: Error | undefined

  constructor(clock: Clock, most = MOST_MESSAGE_BYTES) {
    this.#clock = clock
    this.#most = most
  }

  push(message: Message): void {
    if (this.error !== undefined) return
    this.#bytes += message.payload.length
    if (this.#messages.length >= MOST_WAITING || this.#bytes > this.#most) {
      this.#parts = []
      this.end(new Error('too much waits to be read'))
      return
    }
    this.#heardAt = this.#clock.now()
    if (message.kind === PART) {
      this.#parts.push(message.payload)
      return
    }
    const payload = this.#parts.length === 0 ? message.payload : Buffer.concat([...this.#parts, message.payload])
    this.#parts = []
    this.#messages.push({ ...message, payload: new Uint8Array(payload.buffer, payload.byteOffset, payload.length) })
    this.#wake?.()
  }

  end(error: Error): void {
    if (this.error !== undefined) return
    this.error = error
    this.#wake?.()
    for (const action of this.#ends) action()
  }

  onEnd(action: () => void): void {
    if (this.error === undefined) this.#ends.push(action)
    else action()
  }

  async next(wait: number): Promise<Message> {
    const from = this.#clock.now()
    for (;;) {
      const message = this.#messages.shift()
      if (message !== undefined) {
        this.#bytes -= message.payload.length
        return message
      }
      if (this.error !== undefined) throw this.error
      const left = Math.max(from, this.#heardAt) + wait - this.#clock.now()
      if (left <= 0) throw new PipeSilentError(`nothing was said for ${Math.round(wait)} ms`)
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(left, resolve)
        this.#wake = () => {
          cancel()
          resolve()
        }
      })
      this.#wake = undefined
    }
  }
}

/** What a transport says of its end in words of its own (a stream that was reset) is a loss as any other, and no refusal of this site. */
function lossOf(remote: string, reason: unknown): Error {
  return reason instanceof WeftError ? reason : new ChannelClosedError(remote, (reason as Error | undefined)?.message)
}

/** @param most bytes of a message, and of all that wait to be read */
export function pipeOver(clock: Clock, channel: Channel, most = MOST_MESSAGE_BYTES): Pipe {
  const mailbox = new Mailbox(clock, most)
  let turn: Promise<void> = Promise.resolve()
  channel.onFrame((received) => {
    mailbox.push({ ...opened(received.control), payload: received.payload })
  })
  const lost = (reason: unknown): Error => lossOf(channel.remote, reason)
  void channel.closed.then((reason) => mailbox.end(lost(reason)))
  return {
    remote: channel.remote,
    async send(kind, body = {}, payload = NO_BYTES) {
      if (payload.length > most) throw new MessageSizeError(kind, payload.length, most)
      // What cannot be written is this site's own fault, and no loss.
      const give = (part: Frame): Promise<void> =>
        channel.send(part).catch((error: unknown) => {
          throw lost(error)
        })
      // Nothing comes between the parts of a message.
      const mine = turn.then(async () => {
        let at = 0
        for (; payload.length - at > PART_BYTES; at += PART_BYTES) {
          await give(frameOf(PART, {}, payload.subarray(at, at + PART_BYTES)))
        }
        await give(frameOf(kind, body, payload.subarray(at)))
      })
      turn = mine.catch(() => undefined)
      await mine
    },
    next: (wait) => mailbox.next(wait),
    get isOpen() {
      return mailbox.error === undefined
    },
    onEnd: (action) => mailbox.onEnd(action),
    close: () => void channel.close().catch(() => undefined),
  }
}

/** A message as it crosses a network. */
export function frameOf(kind: string, body: object, payload: Uint8Array): Frame {
  const shape = payload.length === 0 ? {} : { dtype: 4 as const, dims: [payload.length] }
  return frame({ type: FRAME_TYPE, control: encodeControl({ kind, body }), payload, ...shape })
}

/** Two ends in one process, for a member that is the aggregator itself. What is sent is what would cross a network. */
export function pipePair(clock: Clock, left: string, right: string): readonly [Pipe, Pipe] {
  const boxes = [new Mailbox(clock), new Mailbox(clock)] as const
  const end = (own: Mailbox, other: Mailbox, remote: string): Pipe => ({
    remote,
    send(kind, body = {}, payload = NO_BYTES) {
      if (own.error !== undefined) return Promise.reject(own.error)
      other.push({ ...opened(encodeControl({ kind, body })), payload: new Uint8Array(payload) })
      return Promise.resolve()
    },
    next: (wait) => own.next(wait),
    get isOpen() {
      return own.error === undefined
    },
    onEnd: (action) => own.onEnd(action),
    close() {
      other.end(new ChannelClosedError(remote))
      own.end(new ChannelClosedError(remote))
    },
  })
  return [end(boxes[0], boxes[1], right), end(boxes[1], boxes[0], left)]
}

/** The same, but for how it sends or hears. */
export function pipeThrough(pipe: Pipe, changed: Partial<Pick<Pipe, 'next' | 'send'>>): Pipe {
  return {
    remote: pipe.remote,
    send: (kind, body, payload) => pipe.send(kind, body, payload),
    next: (wait) => pipe.next(wait),
    ...changed,
    get isOpen() {
      return pipe.isOpen
    },
    onEnd: (action) => pipe.onEnd(action),
    close: () => pipe.close(),
  }
}

/** The same, over which nothing is said or heard any more once this throws. */
export function onlyWhile(pipe: Pipe, check: () => void): Pipe {
  return pipeThrough(pipe, {
    async send(kind, body, payload) {
      check()
      await pipe.send(kind, body, payload)
    },
    async next(wait) {
      const message = await pipe.next(wait)
      check()
      return message
    },
  })
}

function opened(control: Uint8Array): Pick<Message, 'kind' | 'body'> {
  const value = decodeControl(control) as { readonly kind?: unknown; readonly body?: unknown } | null
  const { kind, body } = value ?? {}
  return {
    kind: typeof kind === 'string' ? kind : '',
    body: typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {},
  }
}
