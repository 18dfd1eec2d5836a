/** What a peer and the child that opens a model file for it say to each other. */
import type { BlobAddress } from '../../store/index.ts'
import type { AdapterJob } from '../adapters/stage-adapter.ts'
import type { StoreBundleJob } from '../bundle/store-bundle.ts'
import type { StoreGraphJob } from '../graph/store-graph.ts'
import type { OutlineJob } from './outline.ts'
import type { StoreFileJob } from './store-file.ts'

export type ImportTask =
  | { readonly storeDirectory: string; readonly job: StoreFileJob | StoreBundleJob | StoreGraphJob }
  /** Nothing is stored. */
  | { readonly job: OutlineJob | AdapterJob }

export type ImportEvent =
  | { readonly type: 'progress'; readonly done: number; readonly total: number }
  | { readonly type: 'added'; readonly address: BlobAddress }
