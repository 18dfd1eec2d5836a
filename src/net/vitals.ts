/** Is each joined connection alive, and how far away is its peer: heart-beats, watches and pings on request. */
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { channelOverStream } from './channel-carriers.ts'
import { BEAT_WAIT_MS, HELLO_WAIT_MS, WATCHED_BEAT_MS, WATCHED_WAIT_MS } from './constants.ts'
import { PeerUnreachableError } from './discovery-errors.ts'
import { PeerFrozenError } from './errors.ts'
import { createPinger, PING_PROTOCOL, startHeartbeat } from './heartbeat.ts'
import type { Heartbeat, Pinger } from './heartbeat.ts'
import { BeatHistory, RoundTrips } from './link-quality.ts'
import type { LinkQuality } from './link-quality.ts'
import type { Link } from './links.ts'
import { SecondWay } from './second-way.ts'
import type { Channel } from './types.ts'

interface Vital {
  beats: Heartbeat | undefined
  /** Of the heart-beat. */
  pinger: Promise<Pinger>
  /** Of pings on request, which may be large: the heart-beat does not wait behind them. */
  measure: Promise<Pinger> | undefined
  readonly trips: RoundTrips
  readonly second: SecondWay
  frozen: boolean
}

interface VitalsNeeds {
  readonly clock: Clock
  readonly telemetry?: Pick<Telemetry, 'count' | 'observe'> | undefined
  /** A lane for pings; undefined where there is none to be had. Never throws. */
  lane(link: Link): Promise<Channel | undefined>
}

export class Vitals {
  readonly #needs: VitalsNeeds
  readonly #links = new Map<Link, Vital>()
  /** Watches by peer. */
  readonly #watches = new Map<string, number>()
  readonly #beats = new BeatHistory()

  constructor(needs: VitalsNeeds) {
    this.#needs = needs
  }

  begin(link: Link): void {
    const vital: Vital = {
      beats: undefined,
      pinger: this.#openPinger(link),
      measure: undefined,
      trips: new RoundTrips(),
      second: new SecondWay({ clock: this.#needs.clock, open: () => this.#needs.lane(link) }),
      frozen: false,
    }
    this.#links.set(link, vital)
    vital.pinger.then(
      (pinger) => {
        if (this.#links.get(link) === vital) vital.beats = this.#beat(link, vital, pinger)
      },
      () => this.#broken(link, vital),
    )
    if (this.#watches.has(link.peer)) this.#expectBeats(link, vital)
  }

  /** Whether it was taken for frozen. */
  end(link: Link): boolean {
    const vital = this.#links.get(link)
    vital?.beats?.stop()
    vital?.second.end()
    this.#links.delete(link)
    return vital?.frozen === true
  }

  quality(link: Link): LinkQuality {
    const vital = this.#links.get(link)
    const rtt = vital?.trips.rtt ?? null
    const silent = vital?.beats?.silent() ?? 0
    return {
      // A round trip takes as long as it is under way by now: who chooses the nearest of many does not choose one that is gone.
      rtt: silent > this.#beats.patience(link.peer) ? Math.max(rtt ?? 0, silent) : rtt,
      jitter: vital?.trips.jitter ?? null,
      loss: this.#beats.loss(link.peer),
      ahead: this.#ahead(link),
    }
  }

  /** Also where this machine's clock has been set since. */
  #ahead({ outcome }: Link): number | null {
    const { clock } = this.#needs
    const said = outcome?.about.clock ?? null
    return said === null ? null : said + (clock.now() - outcome!.heardAt) - clock.wall()
  }

  /** Whether the other end of a link still answers. */
  async answers(link: Link): Promise<boolean> {
    try {
      const pinger = await this.#links.get(link)!.pinger
      await pinger.ping(0, AbortSignal.timeout(WATCHED_WAIT_MS))
      return true
    } catch {
      return false
    }
  }

  /** @throws PeerUnreachableError, or the reason of the signal */
  async ping(link: Link, bytes: number, signal?: AbortSignal): Promise<number> {
    const deadline = AbortSignal.timeout(HELLO_WAIT_MS)
    try {
      const pinger = await this.#measuring(link)
      return await pinger.ping(bytes, signal === undefined ? deadline : AbortSignal.any([deadline, signal]))
    } catch (error) {
      signal?.throwIfAborted()
      throw new PeerUnreachableError(link.peer, (error as Error).message)
    }
  }

  watch(peer: string): () => void {
    this.#watches.set(peer, (this.#watches.get(peer) ?? 0) + 1)
    for (const [link, vital] of this.#links) {
      if (link.peer !== peer) continue
      if (vital.beats === undefined) this.#expectBeats(link, vital)
      else vital.beats.now()
    }
    let done = false
    return () => {
      if (done) return
      done = true
      const left = this.#watches.get(peer)! - 1
      if (left === 0) this.#watches.delete(peer)
      else this.#watches.set(peer, left)
    }
  }

  stop(): void {
    for (const link of this.#links.keys()) this.end(link)
  }

  async #measuring(link: Link): Promise<Pinger> {
    const vital = this.#links.get(link)
    if (vital === undefined) throw new PeerUnreachableError(link.peer, 'it has just gone')
    vital.measure ??= this.#openPinger(link)
    try {
      return await vital.measure
    } catch (error) {
      vital.measure = undefined
      throw error
    }
  }

  /** A link may be cut before its first beat: opening the stream for it must not take longer than a beat may. */
  #expectBeats(link: Link, vital: Vital): void {
    const wait = WATCHED_BEAT_MS + this.#beats.patience(link.peer)
    this.#needs.clock.after(wait, () => {
      if (vital.beats === undefined && this.#watches.has(link.peer)) this.#frozen(link, vital, wait)
    })
  }

  /** The stream of the heart-beat failed: with the connection, or alone, and then nobody watches it any more. */
  #broken(link: Link, vital: Vital): void {
    this.#needs.clock.after(WATCHED_BEAT_MS, () => {
      if (link.connection.status === 'open') this.#frozen(link, vital, BEAT_WAIT_MS)
    })
  }

  #frozen(link: Link, vital: Vital, silent: number): void {
    if (this.#links.get(link) !== vital || vital.frozen) return
    this.#needs.telemetry?.count('heartbeats_missed')
    this.#beats.add(link.peer, undefined)
    vital.frozen = true
    link.connection.abort(new PeerFrozenError(link.peer, silent))
  }

  async #openPinger(link: Link): Promise<Pinger> {
    const stream = await link.connection.newStream(PING_PROTOCOL, { signal: AbortSignal.timeout(BEAT_WAIT_MS) })
    return createPinger(this.#needs.clock, channelOverStream(stream, link.peer))
  }

  #beat(link: Link, vital: Vital, pinger: Pinger): Heartbeat {
    const { second } = vital
    return startHeartbeat({
      clock: this.#needs.clock,
      pinger,
      watched: () => this.#watches.has(link.peer),
      second: (watched) => second.of(watched && this.#beats.losesPackets(link.peer)),
      patience: () => (second.answers ? WATCHED_WAIT_MS : this.#beats.patience(link.peer)),
      measured: (rtt, isHelped) => {
        if (isHelped && rtt > WATCHED_WAIT_MS) this.#needs.telemetry?.count('heartbeats_second')
        vital.trips.add(rtt)
        this.#beats.add(link.peer, rtt)
        this.#needs.telemetry?.observe('peer_rtt', rtt / 1000)
        return vital.trips.doubtful
      },
      frozen: (silent) => this.#frozen(link, vital, silent),
      broken: () => this.#broken(link, vital),
    })
  }
}
