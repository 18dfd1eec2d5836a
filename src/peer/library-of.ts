/** The library of a running peer: it fetches from the mesh, and tells the mesh what it has. */
import { join } from 'node:path'
import type { FetchProgress, Mesh } from '../mesh/index.ts'
import type { DiskKeeper } from './disk-keeper.ts'
import { Library } from './library.ts'
import { fetchBlobs, fetchManifest } from './parts.ts'
import type { Parts } from './parts.ts'
import type { Transfers } from './transfers.ts'
import { packageRoot } from './version.ts'

export interface LibraryParts {
  readonly mesh: () => Mesh | null
  readonly transfers: Transfers
  readonly keeper: DiskKeeper
  /** The model that an adapter of this name belongs to. */
  readonly baseOf: (name: string) => Promise<string | undefined>
  /** What is held has changed. */
  readonly changed: () => void
}

export function libraryOf(
  {
    clock,
    store,
    paths,
    levels,
    logger,
    telemetry,
  }: Pick<Parts, 'clock' | 'levels' | 'logger' | 'paths' | 'store' | 'telemetry'>,
  { baseOf, mesh, transfers, keeper, changed }: LibraryParts,
): Promise<Library> {
  return Library.open({
    clock,
    store,
    paths,
    catalogues: [join(packageRoot(), 'partitions', 'catalogue'), join(paths.partitions, 'catalogue')],
    log: (line) => logger.warn({}, line),
    count: (name, by, labels) => telemetry.count(name, by, labels),
    baseOf,
    levels,
    fetchManifest: async (model, signal) => fetchManifest(mesh(), model, signal),
    fetchBlobs: async (manifest, blobs, signal, onProgress) => {
      const entry = transfers.begin(manifest.model, 'fetch')
      const listen: FetchProgress = (done, total, holders) => {
        entry.update(done, total, holders)
        onProgress?.(done, total, holders)
      }
      try {
        await fetchBlobs(mesh(), manifest, blobs, listen, signal)
      } finally {
        entry.end()
      }
    },
    makeRoom: (bytes, keep) => keeper.makeRoom(bytes, keep),
    adopted: (manifest) =>
      void mesh()
        ?.announceManifest(manifest)
        .catch(() => undefined),
    changed,
  })
}
