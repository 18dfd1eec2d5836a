/** Round trips: a heart-beat on every connection, quicker while somebody watches, and pings on request. */
import { setMaxListeners } from 'node:events'
import type { Clock } from '../util/index.ts'
import { BEAT_MS, BEAT_WAIT_MS, DOUBT_BEAT_MS, FIRST_WAY_WAIT_MS, LATE_MS, WATCHED_BEAT_MS } from './constants.ts'
import { ChannelClosedError, FrameError } from './errors.ts'
import { DTYPE, frame } from './frame.ts'
import type { Channel } from './types.ts'

export const PING_PROTOCOL = '/weft/ping/1'
const PING = 1
const PONG = 2

/** Answers pings; the answer waits for room, so a flood of them is not read further. */
export function servePings(channel: Channel): void {
  channel.onFrame((got) => {
    if (got.type !== PING) throw new FrameError('type', `frame ${got.type} on a ping channel`)
    return channel.send({ ...got, type: PONG })
  })
}

export interface Pinger {
  /** Milliseconds of a round trip. @throws ChannelClosedError, or the reason of the signal */
  ping(bytes: number, signal?: AbortSignal): Promise<number>
  close(): void
}

export function createPinger(clock: Clock, channel: Channel): Pinger {
  const waiting = new Map<number, { readonly sent: number; done(ms: number): void; fail(error: Error): void }>()
  let sequence = 0
  channel.onFrame((got) => {
    const one = waiting.get(got.request)
    waiting.delete(got.request)
    if (got.type === PONG) one?.done(clock.now() - one.sent)
  })
  void channel.closed.then((reason) => {
    for (const one of waiting.values()) one.fail(new ChannelClosedError(channel.remote, reason?.message))
    waiting.clear()
  })
  return {
    ping(bytes, signal) {
      signal?.throwIfAborted()
      const { promise, resolve, reject } = Promise.withResolvers<number>()
      const request = ++sequence
      const stop = (): void => {
        waiting.delete(request)
        reject(signal?.reason as Error)
      }
      if (signal !== undefined) setMaxListeners(0, signal)
      signal?.addEventListener('abort', stop, { once: true })
      waiting.set(request, { sent: clock.now(), done: resolve, fail: reject })
      const payload = new Uint8Array(bytes)
      const shape = bytes === 0 ? {} : { dtype: DTYPE.bytes, dims: [bytes], payload }
      void channel.send(frame({ type: PING, request, ...shape })).catch(reject)
      return promise.finally(() => {
        waiting.delete(request)
        signal?.removeEventListener('abort', stop)
      })
    },
    close: () => void channel.close(),
  }
}

interface BeatNeeds {
  readonly clock: Clock
  readonly pinger: Pinger
  watched(): boolean
  /** Another way that each beat goes as well; asked once a beat. An answer over either says that the peer is there. */
  second?(watched: boolean): Pinger | undefined
  /** Milliseconds that an answer may take while it is watched. */
  patience(): number
  /**
   * @param isHelped the answer over the other way came before
   * @returns whether the next one should follow soon
   */
  measured(rtt: number, isHelped: boolean): boolean
  /** No answer for `silent` milliseconds. */
  frozen(silent: number): void
  /** The channel has ended. */
  broken(): void
}

export interface Heartbeat {
  /** Beats at once: somebody began to watch. */
  now(): void
  stop(): void
  /** Milliseconds that the oldest beat without an answer is waiting; 0: all are answered. */
  silent(): number
}

/** Beats until it is stopped or the channel is gone. */
export function startHeartbeat(needs: BeatNeeds): Heartbeat {
  const { clock } = needs
  let stopped = false
  let cancel = (): void => undefined
  const timers = new Set<() => void>()
  /** When those beats were sent that have no answer; answers come in order. */
  const unanswered: number[] = []
  const after = (ms: number, action: () => void): (() => void) => {
    const cancelTimer = clock.after(ms, () => {
      timers.delete(cancelTimer)
      action()
    })
    timers.add(cancelTimer)
    return () => {
      timers.delete(cancelTimer)
      cancelTimer()
    }
  }
  let due = Infinity
  const within = (ms: number): void => {
    if (clock.now() + ms >= due) return
    cancel()
    due = clock.now() + ms
    cancel = clock.after(ms, beat)
  }
  const beat = (): void => {
    if (stopped) return
    due = Infinity
    const watched = needs.watched()
    within(watched ? WATCHED_BEAT_MS : BEAT_MS)
    const second = needs.second?.(watched)
    let unjudged = (): void => undefined
    const sent = clock.now()
    unanswered.push(sent)
    const judge = (wait: number): void => {
      const asked = clock.now()
      unjudged = after(wait, () => {
        if (stopped) return
        // a timer that is late says that this process was busy: the answer may be in the queue behind it
        if (clock.now() - asked > wait + LATE_MS) judge(wait)
        else needs.frozen(clock.now() - sent)
      })
    }
    judge(watched ? needs.patience() : BEAT_WAIT_MS)
    let [answered, helped] = [false, false]
    second?.ping(0).then(
      () => {
        // The peer is there; its first connection may still be lost alone, with all that goes over it.
        if (stopped || answered) return
        helped = true
        unjudged()
        // After a sleep of this machine the time is over, and the answer over the first may be in the queue behind this one.
        judge(Math.max(LATE_MS, FIRST_WAY_WAIT_MS - (clock.now() - sent)))
      },
      () => undefined,
    )
    needs.pinger.ping(0).then(
      (rtt) => {
        answered = true
        unjudged()
        unanswered.shift()
        if (!stopped && needs.measured(rtt, helped)) within(DOUBT_BEAT_MS)
      },
      () => {
        if (!stopped) needs.broken()
        stop()
      },
    )
  }
  const stop = (): void => {
    stopped = true
    cancel()
    for (const one of timers) one()
    timers.clear()
  }
  beat()
  return {
    now: () => {
      cancel()
      beat()
    },
    stop,
    silent: () => (unanswered[0] === undefined ? 0 : clock.now() - unanswered[0]),
  }
}
