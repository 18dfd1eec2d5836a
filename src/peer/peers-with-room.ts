/** A part at each peer, as far as their memory does: peers in whose memory no cut fits are left out, the fullest first. */
import { WeftError } from '../errors.ts'
import { OnnxMemoryLimitError } from '../onnx/index.ts'
import type { GraphPlaces } from './graph-parts.ts'

export interface PeerRoom {
  readonly peer: string
  /** Bytes that are free there. */
  readonly bytes: number
}

/**
 * @param candidates the first is this peer, which is never left out
 * @param most parts, at most
 * @param run refuses with OnnxMemoryLimitError before it has begun anything
 * @throws the first refusal, where neither fewer peers nor this one alone have the room; what else `run` throws
 */
export async function overPeersWithRoom<Result>(
  candidates: readonly PeerRoom[],
  most: number | undefined,
  run: (places: GraphPlaces) => Promise<Result>,
): Promise<Result> {
  let refusal: unknown
  for (let left = candidates; ;) {
    const taken = left.slice(0, most ?? Infinity)
    const room = taken.map(({ bytes }) => bytes)
    const places = { peers: taken.map(({ peer }) => peer), parts: taken.length, room }
    try {
      // In one piece it is run as it is, unless it was to be cut since it is too large.
      return await run(refusal !== undefined && taken.length === 1 ? { ...places, memory: room[0] } : places)
    } catch (error) {
      if (!(error instanceof WeftError) || error.code !== OnnxMemoryLimitError.info.code) throw error
      refusal ??= error
      const others = taken.slice(1)
      if (others.length === 0) throw refusal
      const fullest = others.reduce((least, each) => (each.bytes < least.bytes ? each : least))
      left = left.filter((each) => each !== fullest)
    }
  }
}
