/** What the planner reads and what it answers: plain data. Bytes, seconds where named, [from, to) ranges of blocks. */

/** `origin`: whichever peer takes the request. */
export const ORIGIN = 'origin'

export interface Stage {
  /** A PeerId, or `origin`. */
  readonly peer: string
  readonly from: number
  readonly to: number
}

/** Chosen by weft, or by hand. */
export type PlacementKind = 'chosen' | 'hand'

export interface PlacementFile {
  readonly model: string
  readonly stages: readonly Stage[]
}

export interface PlanBlock {
  readonly kind: 'embedding' | 'decoder' | 'head'
  /** Bytes of weights in memory when it is loaded. */
  readonly memory: number
  /** Multiply-adds times two for one row. */
  readonly flops: number
  /** Bytes of KV cache for one token of context. */
  readonly kv_bytes: number
  /** Bytes of one row of the tensors that leave the block. @default 0 */
  readonly boundaryBytes?: number
}

export interface PlanPeer {
  readonly id: string
  /** Multiply-adds a second of one thread; 0 while not measured. */
  readonly speed: number
  readonly threads: number
  /** Bytes that weft may use. */
  readonly memory: number
  /** Of these, bytes that are taken already. */
  readonly reserved: number
}

export interface PlanLink {
  readonly from: string
  readonly to: string
  /** Milliseconds. */
  readonly rtt: number
  /** Bytes a second; 0: not measured. */
  readonly bandwidth: number
}

/** `latency`: soonest next token. `memory`: every peer equally full. `spread`: all peers, by their speed. */
export type Objective = 'latency' | 'memory' | 'spread'

export interface PlanInput {
  readonly blocks: readonly PlanBlock[]
  readonly peers: readonly PlanPeer[]
  /** Either direction of a pair stands for both. */
  readonly links?: readonly PlanLink[]
  /** Tokens of context for which KV must fit. */
  readonly context: number
  /** Sessions at a time. */
  readonly concurrency: number
  /** Id of the peer that keeps embedding and head: one of `peers`. */
  readonly origin: string
  readonly objective: Objective
}

export interface PeerShare {
  readonly peer: string
  readonly blocks: number
  /** Weights. */
  readonly bytes: number
  readonly kvBytes: number
}

export interface Plan {
  readonly verdict: 'split' | 'do-not-split' | 'no-fit'
  /** Empty when nothing fits. */
  readonly stages: readonly Stage[]
  readonly perPeer: readonly PeerShare[]
  /** One sentence a reason, for people. */
  readonly why: readonly string[]
  /** Weights and KV of the whole model. */
  readonly needBytes: number
  /** Bytes that all peers together may still use. */
  readonly haveBytes: number
  /** Predicted milliseconds of one token of one session; null while a speed is not measured. */
  readonly msPerToken: number | null
}

/** The face that every planner has: pure, the same answer for the same input in any order of listing. */
export type Planner = (input: PlanInput) => Plan
