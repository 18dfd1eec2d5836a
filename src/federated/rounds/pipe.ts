/** Messages both ways between a member and an aggregator: a kind, a small map, and bytes. Over a channel, or within a process. */
import { ChannelClosedError, decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Channel } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'

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

/** The reading side of both kinds. */
class Mailbox {
  readonly #clock: Clock
  readonly #messages: Message[] = []
  readonly #ends: (() => void)[] = []
  #wake: (() => void) | undefined
  error: Error | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  push(message: Message): void {
    if (this.error !== undefined) return
    if (this.#messages.length >= MOST_WAITING) {
      this.end(new Error('too many messages wait to be read'))
      return
    }
    this.#messages.push(message)
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
    const until = this.#clock.now() + wait
    for (;;) {
      const message = this.#messages.shift()
      if (message !== undefined) return message
      if (this.error !== undefined) throw this.error
      const left = until - this.#clock.now()
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

export function pipeOver(clock: Clock, channel: Channel): Pipe {
  const mailbox = new Mailbox(clock)
  channel.onFrame((received) => {
    mailbox.push({ ...opened(received.control), payload: received.payload })
  })
  void channel.closed.then((reason) => mailbox.end(reason ?? new ChannelClosedError(channel.remote)))
  return {
    remote: channel.remote,
    send: (kind, body = {}, payload = NO_BYTES) =>
      channel.send(
        frame({
          type: FRAME_TYPE,
          control: encodeControl({ kind, body }),
          payload,
          ...(payload.length === 0 ? {} : { dtype: 4 as const, dims: [payload.length] }),
        }),
      ),
    next: (wait) => mailbox.next(wait),
    get isOpen() {
      return mailbox.error === undefined
    },
    onEnd: (action) => mailbox.onEnd(action),
    close: () => void channel.close().catch(() => undefined),
  }
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

/** The same, over which nothing is said or heard any more once this throws. */
export function onlyWhile(pipe: Pipe, check: () => void): Pipe {
  return {
    remote: pipe.remote,
    async send(kind, body, payload) {
      check()
      await pipe.send(kind, body, payload)
    },
    async next(wait) {
      const message = await pipe.next(wait)
      check()
      return message
    },
    get isOpen() {
      return pipe.isOpen
    },
    onEnd: (action) => pipe.onEnd(action),
    close: () => pipe.close(),
  }
}

function opened(control: Uint8Array): Pick<Message, 'kind' | 'body'> {
  const value = decodeControl(control) as { readonly kind?: unknown; readonly body?: unknown } | null
  const { kind, body } = value ?? {}
  return {
    kind: typeof kind === 'string' ? kind : '',
    body: typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {},
  }
}
