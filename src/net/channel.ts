/**
 * One implementation of `Channel` over anything that carries bytes: decoding, order, back-pressure both ways. A frame
 * is decoded and its handler called in the tick in which its last byte arrived, since a hop must cost little.
 */
import {
  CLOSE_WAIT_MS,
  MAX_PENDING_BYTES,
  MAX_PENDING_FRAMES,
  MAX_WAITING_SENDS,
  SEND_PIECE_BYTES,
} from './constants.ts'
import { ChannelBusyError, ChannelClosedError, FrameError } from './errors.ts'
import { encodeFrame, FrameDecoder, HEADER_BYTES } from './frame.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Frame, FrameTrust } from './frame.ts'
import type { Channel } from './types.ts'

/** What a channel needs of its carrier. None of these may throw. */
export interface Wire {
  /** `own`: frames without checksums, each in one write. @default 'peers' */
  readonly trust?: FrameTrust
  /** Takes all parts, as one write; false when the next must wait for `FrameChannel.drained`. */
  write(parts: readonly Uint8Array[]): boolean
  pause(): void
  resume(): void
  /** Flushes and ends the writing side. */
  end(): void
  destroy(reason: Error): void
}

/** Counts frames and bytes of the channels between peers. */
export type Meter = Pick<Telemetry, 'count'>

type Handler = (frame: Frame) => void | Promise<void>

const DONE = Promise.resolve()
const ignore = (): void => undefined

export class FrameChannel implements Channel {
  readonly remote: string
  readonly closed: Promise<Error | undefined>
  readonly #wire: Wire
  readonly #meter: Meter | undefined
  readonly #decoder: FrameDecoder
  readonly #pieceBytes: number
  readonly #end = Promise.withResolvers<Error | undefined>()
  #handler: Handler | undefined
  /** Received and not yet handed over: no handler yet, or too many at work. */
  #queue: Frame[] = []
  #atWork = 0
  #bytesAtWork = 0
  #paused = false
  #state: 'open' | 'closing' | 'ended' = 'open'
  /** The last of the sends that wait; undefined when the wire has room. */
  #tail: Promise<void> | undefined
  #waiting = 0
  #room: PromiseWithResolvers<void> | undefined
  /** The other end has finished; the queue is handed over before the channel ends. */
  #finished = false

  constructor(remote: string, wire: Wire, meter?: Meter) {
    this.remote = remote
    this.#meter = meter
    this.#wire = wire
    this.#decoder = new FrameDecoder(wire.trust)
    // on a socket of one's own nothing else waits behind a frame, whose bytes its sender holds anyway
    this.#pieceBytes = wire.trust === 'own' ? Infinity : SEND_PIECE_BYTES
    this.closed = this.#end.promise
  }

  send(frame: Frame): Promise<void> {
    if (this.#state !== 'open') return rejected(new ChannelClosedError(this.remote))
    const parts = encodeFrame(frame, this.#wire.trust)
    const small = frame.payload.length + frame.control.length <= this.#pieceBytes
    this.#meter?.count('frames_sent')
    this.#meter?.count('bytes_sent', HEADER_BYTES + frame.payload.length + frame.control.length)
    if (this.#tail === undefined && small) return this.#wire.write(parts) ? DONE : this.#wait(this.#drain())
    if (this.#waiting >= MAX_WAITING_SENDS) return rejected(new ChannelBusyError(this.remote, this.#waiting))
    return this.#wait(this.#sendLater(this.#tail, parts))
  }

  onFrame(handler: Handler): void {
    this.#handler = handler
    queueMicrotask(() => this.#deliver())
  }

  async close(): Promise<void> {
    if (this.#state === 'open') {
      this.#state = 'closing'
      this.#queue = []
      await this.#tail?.catch(ignore)
      this.#setPaused(false)
      if (this.#stillOpen()) this.#wire.end()
      const timer = setTimeout(() => this.abort(new ChannelClosedError(this.remote)), CLOSE_WAIT_MS)
      void this.closed.then(() => clearTimeout(timer))
    }
    await this.closed
  }

  abort(reason: Error): void {
    if (this.#state === 'ended') return
    this.ended(reason)
    this.#wire.destroy(reason)
  }

  /** The carrier has bytes. */
  receive(bytes: Uint8Array): void {
    if (this.#state !== 'open') return
    this.#meter?.count('bytes_received', bytes.length)
    try {
      for (const frame of this.#decoder.push(bytes)) {
        this.#meter?.count('frames_received')
        if (this.#queue.length > 0 || !this.#ready()) this.#queue.push(frame)
        else this.#handOver(frame)
      }
      if (this.#decoder.failure !== undefined) throw this.#decoder.failure
    } catch (error) {
      if (error instanceof FrameError) this.#meter?.count('frames_refused')
      this.abort(error as Error)
    }
    this.#balance()
  }

  /** The carrier has room again. */
  drained(): void {
    const room = this.#room
    this.#room = undefined
    room?.resolve()
  }

  /** The other end will send no more; what came before is still handed over. */
  finished(): void {
    this.#finished = true
    this.#deliver()
  }

  /** The carrier is gone. An end that was asked for by either side is no error. */
  ended(error?: Error): void {
    if (this.#state === 'ended') return
    const reason = this.#state === 'closing' ? undefined : error
    this.#state = 'ended'
    this.#queue = []
    this.#room?.reject(new ChannelClosedError(this.remote, error?.message))
    this.#room = undefined
    this.#end.resolve(reason)
  }

  #stillOpen(): boolean {
    return this.#state !== 'ended'
  }

  #ready(): boolean {
    return this.#handler !== undefined && this.#atWork < MAX_PENDING_FRAMES && this.#bytesAtWork < MAX_PENDING_BYTES
  }

  #handOver(frame: Frame): void {
    const work = this.#handler!(frame)
    if (work === undefined) return
    const bytes = frame.payload.length + frame.control.length
    this.#atWork++
    this.#bytesAtWork += bytes
    const settle = (): void => {
      this.#atWork--
      this.#bytesAtWork -= bytes
      this.#deliver()
    }
    work.then(settle, (error: unknown) => {
      this.abort(error as Error)
      settle()
    })
  }

  #deliver(): void {
    while (this.#state === 'open' && this.#queue.length > 0 && this.#ready()) {
      try {
        this.#handOver(this.#queue.shift()!)
      } catch (error) {
        this.abort(error as Error)
      }
    }
    if (this.#finished && this.#queue.length === 0 && this.#state !== 'ended') {
      this.#wire.end()
      this.ended(this.#decoder.pending === 0 ? undefined : new ChannelClosedError(this.remote, 'within a frame'))
    }
    this.#balance()
  }

  /** The carrier is read only while frames can be handed over. */
  #balance(): void {
    if (this.#state !== 'ended') this.#setPaused(this.#state === 'open' && (this.#queue.length > 0 || !this.#ready()))
  }

  #setPaused(paused: boolean): void {
    if (this.#paused === paused || this.#state === 'ended') return
    this.#paused = paused
    if (paused) this.#wire.pause()
    else this.#wire.resume()
  }

  /** Keeps the order of sends: whoever comes while one waits, waits behind it. */
  #wait(job: Promise<void>): Promise<void> {
    this.#waiting++
    const settle = (): void => {
      this.#waiting--
      if (this.#tail === job) this.#tail = undefined
    }
    this.#tail = job
    // also keeps a caller that drops the promise from ending the process: `closed` tells
    job.then(settle, settle)
    return job
  }

  async #sendLater(before: Promise<void> | undefined, parts: Uint8Array[]): Promise<void> {
    await before?.catch(ignore)
    for (const piece of pieces(parts, this.#pieceBytes)) {
      if (this.#state === 'ended') throw new ChannelClosedError(this.remote)
      if (!this.#wire.write(piece)) await this.#drain()
    }
  }

  #drain(): Promise<void> {
    this.#room ??= Promise.withResolvers<void>()
    return this.#room.promise
  }
}

/** A rejection that does not end the process when the caller drops it. */
function rejected(reason: Error): Promise<void> {
  const { promise, reject } = Promise.withResolvers<void>()
  void promise.catch(ignore)
  reject(reason)
  return promise
}

/** The parts in writes of at most `most` bytes each, the header with the first. */
function* pieces(parts: readonly Uint8Array[], most: number): Generator<Uint8Array[]> {
  let piece: Uint8Array[] = []
  let room = most
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      const take = Math.min(room, part.length - at)
      piece.push(part.subarray(at, at + take))
      at += take
      room -= take
      if (room > 0) continue
      yield piece
      piece = []
      room = most
    }
  }
  if (piece.length > 0) yield piece
}
