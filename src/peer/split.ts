/** `weft split`: a model of a mesh home, or of the catalogue, as ONNX files. It works beside a running peer or without. */
import { basename, join } from 'node:path'
import {
  createCatalogue,
  graphFile,
  isGraphManifest,
  languageModel,
  loadManifests,
  splitModelFiles,
} from '../models/index.ts'
import type { ModelManifest, SplitManifest } from '../models/index.ts'
import { createOrtEngine } from '../onnx/index.ts'
import { createBlobStore } from '../store/index.ts'
import { systemClock } from '../util/index.ts'
import { ModelUnknownError, OfflineError } from './errors.ts'
import { homePaths, prepareHome } from './home.ts'
import type { HomePaths } from './home.ts'
import { Library } from './library.ts'
import { isFile, splitFileInto } from './split-file.ts'
import type { FileSplitManifest } from './split-file.ts'
import type { ProgressSink } from './types.ts'
import { packageRoot } from './version.ts'

export interface SplitInit {
  readonly home: string
  /** By name or digest, or the path of an ONNX file. */
  readonly model: string
  /** @default 2, where cuts are not given */
  readonly parts?: number | undefined
  /** Blocks that partitions begin with, but for the first; rising. */
  readonly cuts?: readonly number[] | undefined
  /** Bytes that a partition may need, weights and live values. @default no limit */
  readonly memory?: number | undefined
  readonly out: string
  readonly check?: boolean | undefined
}

/**
 * Writes the partitions and `manifest.json` into `out`, all of them or none. A model of the catalogue that this home
 * does not know is imported first.
 * @throws ModelUnknownError, SplitCutsError, SplitTargetError, SplitUnwritableError, SplitIncompleteError,
 * SplitDiffersError, OnnxMemoryLimitError, DiskFullError, and what an import refuses with
 */
export async function splitModel(
  init: SplitInit,
  progress: ProgressSink = () => undefined,
  signal?: AbortSignal,
): Promise<SplitManifest | FileSplitManifest> {
  signal?.throwIfAborted()
  if (await isFile(init.model))
    return splitFileInto(init, { path: init.model, name: basename(init.model) }, progress, signal)
  const { home, model, parts, cuts, memory, out, check } = init
  const paths = homePaths(home, process.env)
  const { manifests } = await loadManifests(paths.partitions)
  const known = manifests.find((manifest) => manifest.model === model || manifest.digest === model)
  const found = known ?? (await importListed(paths, model, progress, signal))
  const store = await createBlobStore({ directory: paths.store })
  if (isGraphManifest(found)) {
    const path = await graphFile(store, found, join(paths.cache, 'graphs'))
    return splitFileInto(init, { path, name: found.model, license: found.license }, progress, signal)
  }
  const request = { manifest: found, parts, cuts, memory, out, check }
  return splitModelFiles({ store, engine: createOrtEngine }, request, progress, signal)
}

/** @throws ModelUnknownError, and nothing has been made in the home then */
async function importListed(
  paths: HomePaths,
  model: string,
  progress: ProgressSink,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  const catalogues = [join(packageRoot(), 'partitions', 'catalogue'), join(paths.partitions, 'catalogue')]
  const listed = await createCatalogue({ directories: catalogues, onRefused: () => undefined }).find(model)
  if (listed === null) throw new ModelUnknownError(model, false)
  await prepareHome(paths)
  const library = await Library.open({
    clock: systemClock(),
    store: await createBlobStore({ directory: paths.store }),
    paths,
    catalogues,
    log: () => undefined,
    count: () => undefined,
    fetchManifest: () => Promise.resolve(null),
    fetchBlobs: () => Promise.reject(new OfflineError('fetching tensors')),
    adopted: () => undefined,
    changed: () => undefined,
  })
  return languageModel(await library.import({ source: model }, progress, signal))
}
