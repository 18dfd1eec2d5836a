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
  /** Blocks that more peers hold ready. @default none */
  readonly replicas?: readonly Stage[]
}

export interface PlanBlock {
  /** `graph`: of a model of any kind; none of its blocks stays with the origin. */
  readonly kind: 'embedding' | 'decoder' | 'head' | 'graph'
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
  /** What it tells of, where it is planned with less: more than that has come to nothing there. @default `memory` */
  readonly toldMemory?: number
  /** Measured milliseconds of one decoder block of this model for one row, one session; goes before `speed`. */
  readonly blockMs?: number
  /** What it tells of in its place, where answers over it took another time. @default `blockMs` */
  readonly toldBlockMs?: number
  /** Measured milliseconds of one decoder block for one row of a prefill chunk. @default from the batch curve */
  readonly prefillMs?: number
  /** Measured milliseconds of the head for one row. @default by its arithmetic, as a decoder block */
  readonly headMs?: number
  /** Bytes of memory read a second: the least time of a block whose time is not measured. */
  readonly bandwidth?: number
  /** How much longer runs of several rows take there, measured; by rising rows, as `batchCurve` of the input, which it goes before. */
  readonly batchCurve?: readonly BatchPoint[]
}

export interface PlanLink {
  readonly from: string
  readonly to: string
  /** Milliseconds. */
  readonly rtt: number
  /** Bytes a second; 0: not measured. */
  readonly bandwidth: number
  /** Mean deviation of the round trip, in milliseconds. @default 0 */
  readonly jitter?: number
  /** Share of packets that are lost, from 0 to below 1. @default 0 */
  readonly loss?: number
  /** Through a third peer. @default false */
  readonly relayed?: boolean
}

/**
 * `latency`: soonest next token of one session. `first-token`: soonest first token of a prompt. `throughput`: most
 * tokens a second of all sessions. `memory`: every peer equally full. `spread`: all peers, by their speed.
 */
export type Objective = 'latency' | 'first-token' | 'throughput' | 'memory' | 'spread'

/** A run of `rows` rows takes `factor` times as long as one of a single row. */
export interface BatchPoint {
  readonly rows: number
  readonly factor: number
}

/** What a step of decoding is with guesses in it, in the mean. */
export interface Guessing {
  /** Tokens that come of it: 1 and more. */
  readonly tokens: number
  /** Rows that go with it: no fewer than its tokens. */
  readonly rows: number
}

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
  /** Tokens of the prompt whose first token is predicted. @default 512, at most the context */
  readonly prompt?: number
  /** Milliseconds of a hop beside the wire. @default 0.5, as measured between stage hosts on loopback */
  readonly hopMs?: number
  /** Of peers that have none: by rising rows; between points it is linear, beyond the last by the row. @default as measured */
  readonly batchCurve?: readonly BatchPoint[]
  /** Of one session, as was measured lately: `latency` and `msPerToken` count with it. @default a row and a token a step */
  readonly guessing?: Guessing
  /** What a row is: a token, or a run of a graph, of which rows come one after the other. @default 'token' */
  readonly unit?: PlanUnit
  /** Bytes of one row that go to the first block from the origin, where no embedding stays there. @default 0 */
  readonly inputBytes?: number
}

export type PlanUnit = 'token' | 'run'

export interface PeerShare {
  readonly peer: string
  readonly blocks: number
  /** Weights. */
  readonly bytes: number
  readonly kvBytes: number
}

/** What the prediction of a token is made of, in the order of the ring. */
export interface PlanTerm {
  readonly kind: 'compute' | 'hop'
  /** Who computes, or who sends. */
  readonly peer: string
  /** Of a hop: who receives. */
  readonly to?: string
  /** Of a stage: its blocks. The ends on the origin have none. */
  readonly blocks?: readonly [number, number]
  readonly ms: number
  /** `compute`: arithmetic or a measured time. `memory`: reading the weights. `latency`, `bandwidth`: of the link. */
  readonly bound: 'compute' | 'memory' | 'latency' | 'bandwidth'
  /** From figures that were measured, not assumed. */
  readonly measured: boolean
}

export interface Prediction {
  /** One token of one session. */
  readonly msPerToken: number
  /** Until the first token of a prompt of `promptTokens`. */
  readonly firstTokenMs: number
  readonly promptTokens: number
  /** Of all sessions together. */
  readonly tokensPerSecond: number
  readonly sessions: number
  /** Rows that a stage runs at once when all sessions go. */
  readonly batchRows: number
  /** What tokens a second wait for: a peer, a link, or the time round the ring. */
  readonly bottleneck: { readonly kind: 'peer' | 'link' | 'ring'; readonly peer?: string; readonly to?: string }
  /** They add up to `msPerToken`. */
  readonly terms: readonly PlanTerm[]
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
  /** What memory is left for: further holders of the stages, which can stand in. In the order of the blocks. */
  readonly replicas: readonly Stage[]
  /** Peers whose speed is not measured count as average in it; null when nothing fits. */
  readonly prediction: Prediction | null
}

/** The face that every planner has: pure, the same answer for the same input in any order of listing. */
export type Planner = (input: PlanInput) => Plan
