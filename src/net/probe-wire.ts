/** What a probe of a link says: `/weft/probe/1`, all of its frames and limits. Bandwidth is measured on request only. */

export const PROBE_PROTOCOL = '/weft/probe/1'

export const PROBE = {
  /** Asker to peer: send so many bytes (`position`). */
  ask: 1,
  /** Either way: bytes that count for nothing. */
  piece: 2,
  /** Peer to asker: a piece is here. */
  taken: 3,
  /** Peer to asker: not now; it may be asked again in `position` milliseconds. */
  refused: 4,
} as const

/** A fifth of what goes into a socket at once: several make a round, so that the time between them can be read. */
export const PIECE_BYTES = 16 << 10
/** Each round is twice the one before, and all of both ways are below 2 MB: a slow line is given little, and a fast one is warm before it counts. */
export const ROUND_BYTES = [2, 4, 8, 16, 30].map((pieces) => pieces * PIECE_BYTES)
/** What is served one way: the rounds, and no more. */
export const MAX_WAY_BYTES = 1 << 20
/** A way is measured so long, and a probe lasts twice as long at most. */
export const WAY_MS = 500
/** A peer is probed by another once in this time: it bounds what anybody can make this one send. */
export const PROBE_EVERY_MS = 10_000
/** Probes that are answered at a time, of all peers: more would measure each other. */
export const MAX_PROBES_SERVED = 2
