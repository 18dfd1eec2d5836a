/** What a peer and its graph host say to each other: frames over a socket pair, as with a stage host. */
import type { Optimization } from '../../../onnx/index.ts'

/** What the peer asks is odd, what the host answers even; an answer has the question's request number. */
export const GRAPH = {
  /** Control: LoadGraph. */
  load: 1,
  /** Control: LoadedGraph. */
  loaded: 2,
  /** A message of tensors; control: RunGraph. */
  run: 3,
  /** A message of tensors; control: RanGraph. */
  result: 4,
  stats: 5,
  statsReply: 6,
  /** Control: the session, whose state is dropped. */
  close: 7,
  /** Control: ErrorData; the run of this request failed, the host goes on. */
  error: 8,
  /** Control: ErrorData; answer to a `load` that failed. */
  refused: 10,
} as const

export interface LoadGraph {
  /** A file of ONNX, weights beside it. */
  readonly path: string
  readonly threads: number
  readonly optimization: Optimization
}

export interface LoadedGraph {
  readonly kernel: string
  readonly loadMs: number
}

/** An output, and the input of the next run of the session that takes it. */
export type KeptPair = readonly [output: string, input: string]

export interface RunGraph {
  /** Runs of one session follow one another, and its state stays in the host. */
  readonly session: number
  /** Outputs that are wanted. */
  readonly fetch: readonly string[]
  readonly kept: readonly KeptPair[]
}

export interface RanGraph {
  readonly runMs: number
}

export interface GraphHostStats {
  readonly rss: number
  readonly runs: number
  readonly computeMs: number
  /** Sessions whose state is held, and its bytes. */
  readonly sessions: number
  readonly stateBytes: number
}

/** One run's tensors; what a graph takes or gives beyond it must be cut into batches. */
export const MAX_RUN_BYTES = 2 ** 32
