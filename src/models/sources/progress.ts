/** What an import says while it goes on. */

export interface ImportProgress {
  readonly type: 'progress'
  readonly task: string
  readonly done: number
  readonly total: number | null
  readonly unit: 'bytes' | 'blocks'
}

export type ProgressListener = (progress: ImportProgress) => void
