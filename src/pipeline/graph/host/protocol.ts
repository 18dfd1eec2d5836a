/** What a peer and its graph host say to each other: frames over a socket pair, as with a stage host. */
import type { Optimization } from '../../../onnx/index.ts'
import type { SamplerInit } from '../../host/sampler.ts'
import type { SharedRow } from '../shared/shared-tensor.ts'

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
  /** The run is a step of a decoder. */
  readonly decode?: DecodeRun | undefined
}

export interface DecodeRun {
  /** Bytes that the session's state may have. */
  readonly most: number
  /** Where the logits are made: a token leaves the host in their place. */
  readonly head?:
    | {
        readonly logits: string
        /** Of the token that is to be chosen; null: none is, more of the prompt follows. */
        readonly position: number | null
        /** With the first token of a session. */
        readonly sampler: SamplerInit | null
      }
    | undefined
}

/** What the message of a run says of the shared memory. */
export interface RunMemory {
  /** Inputs that lie there. */
  readonly shared: readonly SharedRow[]
  /** Blocks of the host's own segment that nobody reads any more. */
  readonly free: readonly number[]
}

export interface RanGraph {
  readonly runMs: number
  /** Processor time of all threads. */
  readonly cpuMs: number
  /** Outputs that lie in the host's segment, in place of the message. */
  readonly shared: readonly SharedRow[]
}

export interface GraphHostStats {
  readonly rss: number
  readonly runs: number
  readonly computeMs: number
  /** Sessions whose state is held, and its bytes. */
  readonly sessions: number
  readonly stateBytes: number
  /** Runs whose outputs lie in shared memory for somebody who has not read them yet. */
  readonly sharedBlocks: number
}

/** One run's tensors; what a graph takes or gives beyond it must be cut into batches. */
export const MAX_RUN_BYTES = 2 ** 32
