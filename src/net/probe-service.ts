/** The answering side of probes: bounded in bytes, in time, and to one a peer in ten seconds. */
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { FrameError } from './errors.ts'
import { DTYPE, frame } from './frame.ts'
import type { Frame } from './frame.ts'
import {
  MAX_PROBES_SERVED,
  MAX_WAY_BYTES,
  PIECE_BYTES,
  PROBE,
  PROBE_EVERY_MS,
  PROBE_PROTOCOL,
  WAY_MS,
} from './probe-wire.ts'
import type { Channel, Network } from './types.ts'

/** Beyond the time of both ways, for the round trips between. */
const SLACK_MS = 2_000

export interface ProbeNeeds {
  readonly network: Network
  readonly clock: Clock
  readonly telemetry: Pick<Telemetry, 'count'>
}

/** Answers probes of other peers from now on. */
export function serveProbes({ network, clock, telemetry }: ProbeNeeds): void {
  const last = new Map<string, number>()
  let served = 0
  /** Milliseconds until this peer may be answered; 0: now, and that is counted. */
  const admit = (peer: string): number => {
    const now = clock.now()
    for (const [other, at] of last) if (now - at >= PROBE_EVERY_MS) last.delete(other)
    const before = last.get(peer)
    if (before !== undefined) return Math.ceil(before + PROBE_EVERY_MS - now)
    if (served >= MAX_PROBES_SERVED) return 2 * WAY_MS
    last.set(peer, now)
    return 0
  }
  network.handle(PROBE_PROTOCOL, 'connect', (channel) => {
    const way = { asked: 0, taken: 0 }
    let begun = false
    // A stream on which only the version is agreed is no probe: the first frame begins one.
    const begin = (): number => {
      const wait = admit(channel.remote)
      telemetry.count('probes', 1, { outcome: wait === 0 ? 'served' : 'refused' })
      if (wait > 0) return wait
      begun = true
      served++
      const cancel = clock.after(2 * WAY_MS + SLACK_MS, () => channel.abort(new FrameError('time', 'a probe too long')))
      void channel.closed.then(() => {
        cancel()
        served--
      })
      return 0
    }
    channel.onFrame(async (got) => {
      const wait = begun ? 0 : begin()
      if (wait === 0) return answer(channel, got, way)
      await channel.send(frame({ type: PROBE.refused, position: wait }))
      await channel.close()
    })
  })
}

async function answer(channel: Channel, got: Frame, way: { asked: number; taken: number }): Promise<void> {
  const { length } = got.payload
  if (got.type === PROBE.piece) {
    way.taken += length
    if (length === 0 || length > PIECE_BYTES) throw new FrameError('payload', 'no piece of a probe')
    if (way.taken > MAX_WAY_BYTES) throw new FrameError('payload', 'a probe is too large')
    await channel.send(frame({ type: PROBE.taken, position: way.taken }))
    return
  }
  way.asked += got.position
  if (got.type !== PROBE.ask || length > 0 || got.position === 0 || way.asked > MAX_WAY_BYTES)
    throw new FrameError('type', 'no question of a probe')
  for (let left = got.position; left > 0; left -= PIECE_BYTES) await channel.send(piece(Math.min(left, PIECE_BYTES)))
}

export function piece(bytes: number): Frame {
  return frame({ type: PROBE.piece, dtype: DTYPE.bytes, dims: [bytes], payload: new Uint8Array(bytes) })
}
