/** `weft split`: a model of a mesh home, or of the catalogue, as ONNX files. It works beside a running peer or without. */
import { join } from 'node:path'
import { loadManifests, splitModelFiles } from '../models/index.ts'
import type { ModelManifest, SplitManifest } from '../models/index.ts'
import { createOrtEngine } from '../onnx/index.ts'
import { createBlobStore } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import { systemClock } from '../util/index.ts'
import { ModelUnknownError, OfflineError } from './errors.ts'
import { homePaths, prepareHome } from './home.ts'
import type { HomePaths } from './home.ts'
import { Library } from './library.ts'
import type { ProgressSink } from './types.ts'
import { packageRoot } from './version.ts'

export interface SplitInit {
  readonly home: string
  /** By name or digest. */
  readonly model: string
  /** @default 2, where cuts are not given */
  readonly parts?: number | undefined
  /** Blocks that partitions begin with, but for the first; rising. */
  readonly cuts?: readonly number[] | undefined
  readonly out: string
  readonly check?: boolean | undefined
}

/**
 * Writes the partitions and `manifest.json` into `out`, all of them or none. A model of the catalogue that is not here,
 * or not all of it, is imported first.
 * @throws ModelUnknownError, SplitCutsError, SplitTargetError, SplitUnwritableError, SplitIncompleteError,
 * SplitDiffersError, DiskFullError, and what an import refuses with
 */
export async function splitModel(
  init: SplitInit,
  progress: ProgressSink = () => undefined,
  signal?: AbortSignal,
): Promise<SplitManifest> {
  const { home, model, parts, cuts, out, check } = init
  const paths = homePaths(home, process.env)
  const { manifests } = await loadManifests(paths.partitions)
  const known = manifests.find((manifest) => manifest.model === model || manifest.digest === model)
  signal?.throwIfAborted()
  // Nothing is made in a home that does not know the model, unless it can be had.
  if (known === undefined && !(await isListed(paths, model))) throw new ModelUnknownError(model, false)
  if (known === undefined) await prepareHome(paths)
  const store = await createBlobStore({ directory: paths.store })
  const manifest = await complete(paths, store, known, model, progress, signal)
  return splitModelFiles({ store, engine: createOrtEngine }, { manifest, parts, cuts, out, check }, progress, signal)
}

/** The manifest, with as many of its tensors in the store as can be had without other peers. */
async function complete(
  paths: HomePaths,
  store: BlobStore,
  known: ModelManifest | undefined,
  model: string,
  progress: ProgressSink,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  const library = await openLibrary(paths, store)
  if (known !== undefined && (await library.hasBlocks(known, 0, known.blocks.length))) return known
  const name = known?.model ?? model
  if (known !== undefined && (await library.catalogue.find(name)) === null) return known
  return library.import({ source: name }, progress, signal)
}

async function isListed(paths: HomePaths, model: string): Promise<boolean> {
  const library = await openLibrary(paths)
  return (await library.catalogue.find(model)) !== null
}
