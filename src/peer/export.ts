/** `weft export`: a model of a mesh home as one file. It works beside a running peer or without. */
import { join } from 'node:path'
import { createCatalogue, loadManifests, manifestAddresses, writeBundle } from '../models/index.ts'
import type { WrittenBundle } from '../models/index.ts'
import { createBlobStore } from '../store/index.ts'
import { ModelUnknownError } from './errors.ts'
import { homePaths } from './home.ts'
import type { ProgressSink } from './types.ts'
import { packageRoot } from './version.ts'

export interface ExportInit {
  readonly home: string
  /** By name or digest. */
  readonly model: string
  /** The file that is written. */
  readonly file: string
  /** Replaces a file that is there. @default false */
  readonly force?: boolean
}

/**
 * The file appears whole or not at all.
 * @throws ModelUnknownError, BundleTargetError, BundleIncompleteError, BundleUnwritableError, BlobDamagedError,
 * DiskFullError, the signal's reason
 */
export async function exportModel(
  init: ExportInit,
  progress: ProgressSink = () => undefined,
  signal?: AbortSignal,
): Promise<WrittenBundle> {
  signal?.throwIfAborted()
  const { home, model, file, force } = init
  const paths = homePaths(home, process.env)
  const { manifests } = await loadManifests(paths.partitions)
  const manifest = manifests.find((known) => known.model === model || known.digest === model)
  if (manifest === undefined) {
    const catalogues = [join(packageRoot(), 'partitions', 'catalogue'), join(paths.partitions, 'catalogue')]
    const listed = await createCatalogue({ directories: catalogues, onRefused: () => undefined }).find(model)
    throw new ModelUnknownError(model, listed !== null)
  }
  const store = await createBlobStore({ directory: paths.store, readOnly: true })
  // A running peer that needs room takes what was used longest ago.
  await store.touch(manifestAddresses(manifest)).catch(() => undefined)
  return writeBundle(store, { manifest, path: file, force: force === true }, progress, signal)
}
