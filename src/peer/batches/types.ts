/** What `/v1/files` and `/v1/batches` keep: requests that nobody waits for, and what came of them. Times are seconds since 1970. */

export const BATCH_ENDPOINTS = ['/v1/chat/completions', '/v1/completions', '/v1/embeddings'] as const
export type BatchEndpoint = (typeof BATCH_ENDPOINTS)[number]

export interface BatchFile {
  readonly id: string
  readonly filename: string
  readonly purpose: 'batch' | 'batch_output'
  readonly bytes: number
  readonly created: number
}

/** As OpenAI has them; `validating` and `finalizing` take no time here. */
export type BatchStatus = 'in_progress' | 'completed' | 'failed' | 'expired' | 'cancelling' | 'cancelled'

/** What is wrong with a line of the input. */
export interface BatchProblem {
  readonly code: string
  readonly message: string
  /** From 1; null: the file as a whole. */
  readonly line: number | null
}

export interface Batch {
  readonly id: string
  /** Who may see it: a word, or the hash of a key. */
  readonly owner: string
  /** Id of the key that made it; undefined: it was made without one. */
  readonly key?: string | undefined
  readonly endpoint: BatchEndpoint
  readonly input: string
  readonly status: BatchStatus
  readonly problems: readonly BatchProblem[]
  readonly total: number
  readonly created: number
  readonly expires: number
  /** When it came to its status; null: it is in progress. */
  readonly ended: number | null
  readonly cancelling: number | null
  /** At its end; null: it is in progress. */
  readonly counts: BatchCounts | null
  readonly metadata: Readonly<Record<string, string>> | null
}

export interface BatchCounts {
  readonly completed: number
  readonly failed: number
}

/** Outcome of one line. */
export interface BatchResult {
  /** Of the input, from 0. */
  readonly line: number
  readonly ok: boolean
  /** A line of the output or error file, without its line feed. */
  readonly text: string
}

export type BatchChange = Partial<Pick<Batch, 'status' | 'ended' | 'cancelling' | 'counts'>>

/** Every change is on the disk when a method returns. */
export interface BatchBook {
  /** @throws BatchRoomError, BatchDiskError, as all that writes */
  addFile(owner: string, file: BatchFile, content: Uint8Array): void
  files(owner: string): readonly BatchFile[]
  file(owner: string, id: string): BatchFile | undefined
  content(owner: string, id: string): Uint8Array | undefined
  /** False: it was not there. */
  removeFile(owner: string, id: string): boolean
  /** @throws BatchRoomError */
  add(batch: Batch): void
  change(id: string, change: BatchChange): void
  /** Newest first. */
  batches(owner: string): readonly Batch[]
  batch(owner: string, id: string): Batch | undefined
  /** Of all owners, oldest first. */
  unfinished(): readonly Batch[]
  counts(id: string): BatchCounts
  /** Lines that have a result. */
  done(id: string): ReadonlySet<number>
  addResult(id: string, result: BatchResult): void
  /** What of the results there is as a file: of those that are ok, or of the others. Undefined: there is none. */
  results(batch: Batch, ok: boolean): { readonly file: BatchFile; readonly content: () => Uint8Array } | undefined
  /** What is older than 30 days goes. */
  sweep(): void
  close(): void
}
