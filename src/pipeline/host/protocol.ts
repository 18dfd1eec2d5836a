/** What a peer and its stage host say to each other: frames over a socket pair. */
import type { BlockTimes } from './block-times.ts'
import type { SamplerInit } from './sampler.ts'

/**
 * Frame types. What the peer asks is odd, what the host answers even. `load` and `stats` are calls: the answer has the
 * call's request number; the others belong to the session of their request and hop.
 */
export const HOST = {
  load: 1,
  loaded: 2,
  open: 3,
  /** Rows of the boundary, when the segment ends before the head. */
  rows: 4,
  run: 5,
  /** Tokens chosen by the head; payload int32 [1], or more where guesses were right. */
  token: 6,
  close: 7,
  /** The rows were taken in and nothing comes of them: a part of the prompt at the head. */
  taken: 8,
  stats: 9,
  statsReply: 10,
  /** What a session computes from now on is not kept for others: it may not be what they would compute. */
  apart: 11,
  /** Control: ErrorData; the session of this request and hop has ended. */
  error: 12,
  /** Control: ErrorData; answer to a `load` that failed. */
  refused: 14,
  /** Answer to an `open`: `position` rows of its prefix are here. */
  opened: 16,
  /** Nothing is chosen behind these rows: a guess before them was wrong. */
  void: 20,
  /** Flags 1: a graph is being loaded, of another number of sessions, say; 0: it is there, or could not be loaded. */
  loading: 18,
} as const

/** Flags of `run` and of its answers. */
export const RUN = {
  /** The head is to choose a token after the last row. */
  token: 1,
  /** Rows of other sessions were in the same run. */
  batched: 2,
  /** A row that was alone went through the matrices once, without a dummy row beside it. */
  single: 4,
  /** Threads spun between the nodes of the run. */
  spun: 8,
  /** Rows of the session from this position on never were. */
  rewind: 16,
  /** Rows of the batch lane that were passed over. */
  yielded: 32,
  /** Rows that were not computed: a guess before them was wrong, and is taken back already. */
  dropped: 64,
  /** The rows ran in several pieces, so that others waited no longer than a bound. */
  pieces: 128,
  /** The graph of the run was loaded for its number of sessions, since others had left slots empty. */
  fitted: 256,
  /** They waited a moment for rows of sessions that they ran with last. */
  gathered: 512,
  /** The run had fewer threads than the stage, since that was measured to be faster. */
  narrow: 1024,
} as const

export interface LoadControl {
  /** File of the model's manifest. */
  readonly manifestPath: string
  readonly storeDirectory: string
  readonly cacheDirectory: string
  /** Block ranges to have ready. */
  readonly ranges: readonly (readonly [from: number, to: number])[]
  readonly threads: number
  /** Bytes that KV caches may take. */
  readonly kvBytes: number
}

export interface LoadedControl {
  readonly kernel: string
  readonly loadMs: number
  /** Blocks that had to be packed for this load because the cache did not have them. */
  readonly packed: number
  /** All blocks are mapped as the engine's kernels pack them: no copy in the host's own memory. */
  readonly prepacked: boolean
}

export interface OpenControl {
  readonly from: number
  readonly to: number
  /** Positions that the session may reach. */
  readonly positions: number
  readonly sampler: SamplerInit | null
  /** Names of the runs that its text begins with; `most`: no more of them than so many are of use. */
  readonly prefix?: { readonly scope: string; readonly names: Uint8Array; readonly most: number } | undefined
  /** File of the session's adapter. @default none */
  readonly adapter?: string
  /** Its rows run when no others wait, and after a while all the same. @default they are as good as any */
  readonly lane?: 'batch'
  /**
   * It guesses at a text of others: its tokens begin at this position, rows may be of other ids when they come again, and what
   * follows a row is chosen anew each time, with its lead. @default it chooses the text itself
   */
  readonly guessesFrom?: number
}

/** Of `close`: names of further runs of the text, which is kept. */
export interface CloseControl {
  readonly names?: Uint8Array
}

/** Of `run`, to the head. */
export interface RunControl {
  /** What the tokens behind the last rows are taken to be, all but the very last. */
  readonly guesses?: readonly number[]
  /** What the first row stands for: where something else was chosen behind the row before it, nothing is behind these. */
  readonly behind?: number
}

export interface TokenControl extends Likelihood {
  /** Of several tokens: the row that the first of them follows; the others follow the rows behind it. */
  readonly first?: number
  /** Of windows: they may be chained. */
  readonly chains?: true
  readonly each?: readonly Likelihood[]
  /** Of a session that guesses. */
  readonly lead?: number
}

export interface Likelihood {
  readonly logprob?: number
  readonly top?: readonly (readonly [id: number, logprob: number])[]
}

export interface HostStats {
  readonly rss: number
  readonly sessions: number
  readonly kvBytes: number
  readonly runs: number
  /** Rows that ran together with rows of another session. */
  readonly batchedRows: number
  readonly computeMs: number
  readonly blocks: BlockTimes
}
