/** A part at each peer, as far as their memory does: peers in whose memory no cut fits are left out, the fullest first. */
import { WeftError } from '../errors.ts'
import { OnnxMemoryLimitError } from '../onnx/index.ts'
import type { GraphPlaces } from './graph-parts.ts'

export interface PeerRoom {
  readonly peer: string
  /** Bytes that are free there. */
  readonly bytes: number
  /** Multiply-adds a second of all its threads; 0 or left out: not measured. */
  readonly rate?: number
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
    const paces = pacesOf(taken)
    const places = { peers: taken.map(({ peer }) => peer), parts: taken.length, room, ...(paces && { paces }) }
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

/** Peers nearer to each other than this count as equal: speeds are measured beside other work, and each cut is proven once. */
const A_DIFFERENCE = 2
/** Steps of a doubling, so that a speed that is measured again cuts nothing anew. */
const STEP = 2

/** Against the slowest; undefined: all the same, or nothing is known of one. */
export function pacesOf(peers: readonly PeerRoom[]): readonly number[] | undefined {
  const rates = peers.map(({ rate = 0 }) => rate)
  const slowest = Math.min(...rates)
  if (!(slowest > 0) || Math.max(...rates) < slowest * A_DIFFERENCE) return undefined
  return rates.map((rate) => 2 ** (Math.round(Math.log2(rate / slowest) * STEP) / STEP))
}
