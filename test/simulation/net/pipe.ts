/**
 * One direction of a connection: in order and without loss, as TCP has it. A lost packet costs a retransmission and
 * holds up what comes behind it; a way that is cut holds everything until it is whole again or the connection ends.
 */
import type { Weather } from './weather.ts'
import type { SimulatedProcess } from '../process.ts'
import type { Scheduler } from '../scheduler.ts'

/** What the sender's system takes before the sender has to wait. */
const WINDOW_BYTES = 1 << 20
/** TCP's least; doubled while a way stays cut. */
const RETRANSMIT_MS = 200
const MOST_RETRANSMIT_MS = 8_000

export interface PipeEnds {
  readonly from: string
  readonly to: string
  /** Of the receiver: what arrives waits for it. */
  readonly process: SimulatedProcess
}

interface Item {
  readonly bytes: number
  readonly deliver: () => void
}

export class Pipe {
  readonly #scheduler: Scheduler
  readonly #weather: Weather
  readonly #ends: PipeEnds
  #freeAt = 0
  #lastArrival = 0
  #inFlight = 0
  #held: Item[] = []
  #heldSince = 0
  #flushing = false
  #closed = false
  #room: PromiseWithResolvers<void> | undefined

  constructor(scheduler: Scheduler, weather: Weather, ends: PipeEnds) {
    this.#scheduler = scheduler
    this.#weather = weather
    this.#ends = ends
  }

  /** A promise where the sender has to wait for room. */
  send(bytes: number, deliver: () => void): Promise<void> | undefined {
    if (this.#closed) return undefined
    const { now } = this.#scheduler
    const way = this.#weather.way(this.#ends.from, this.#ends.to)
    this.#freeAt = Math.max(now, this.#freeAt) + bytes / way.rate
    const lost = this.#weather.chance.is(way.loss) ? RETRANSMIT_MS + way.latency : 0
    const arrival = this.#freeAt + way.latency + way.jitter * this.#weather.chance.next() + lost
    this.#lastArrival = Math.max(this.#lastArrival, arrival)
    this.#inFlight += bytes
    const item = { bytes, deliver }
    this.#scheduler.after(this.#lastArrival - now, () => this.#arrive(item))
    if (this.#inFlight <= WINDOW_BYTES) return undefined
    this.#room ??= Promise.withResolvers<void>()
    return this.#room.promise
  }

  /** The way may be whole again. */
  flush(): void {
    if (this.#held.length === 0 || this.#flushing || this.#closed) return
    this.#flushing = true
    const outage = this.#scheduler.now - this.#heldSince
    const wait = this.#weather.chance.between(RETRANSMIT_MS, RETRANSMIT_MS + Math.min(outage, MOST_RETRANSMIT_MS))
    this.#scheduler.after(wait, () => {
      this.#flushing = false
      if (this.#isCut()) return
      const held = this.#held
      this.#held = []
      for (const item of held) this.#hand(item)
    })
  }

  close(): void {
    this.#closed = true
    this.#held = []
    this.#room?.resolve()
  }

  #arrive(item: Item): void {
    if (this.#closed) return
    if (this.#held.length === 0 && !this.#isCut()) return this.#hand(item)
    if (this.#held.length === 0) this.#heldSince = this.#scheduler.now
    this.#held.push(item)
    if (!this.#isCut()) this.flush()
  }

  #hand(item: Item): void {
    this.#ends.process.run(() => {
      this.#inFlight -= item.bytes
      if (this.#inFlight <= WINDOW_BYTES / 2) {
        this.#room?.resolve()
        this.#room = undefined
      }
      if (!this.#closed) item.deliver()
    })
  }

  #isCut(): boolean {
    return this.#weather.isCut(this.#ends.from, this.#ends.to)
  }
}
