/** What a peer and the child that opens a model file for it say to each other. */
import type { BlobAddress } from '../../store/index.ts'
import type { StoreFileJob } from './store-file.ts'

export interface ImportTask {
  readonly storeDirectory: string
  readonly job: StoreFileJob
}

export type ImportEvent =
  | { readonly type: 'progress'; readonly done: number; readonly total: number }
  | { readonly type: 'added'; readonly address: BlobAddress }
