/** `weft import`: from the source, or from peers that have it or fetch it already, and seen in `weft ps` meanwhile. */
import type { Mesh } from '../mesh/index.ts'
import { besideBlocks } from '../models/index.ts'
import type { AnyManifest } from '../models/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { Library } from './library.ts'
import { sharedImport } from './shared-import.ts'
import type { SharedImportNeeds } from './shared-import.ts'
import type { Transfers } from './transfers.ts'
import type { ImportRequest, ProgressSink, TransferStatus } from './types.ts'

export interface ImportIntoNeeds {
  readonly self: string
  readonly clock: Clock
  readonly mesh: Mesh | null
  readonly library: Library
  readonly transfers: Transfers
  readonly telemetry: Telemetry
}

/** Longer than a large model takes over a slow line to a peer that is honest. */
const PATIENCE_MS = 3 * 60 * 60_000

export async function importInto(
  needs: ImportIntoNeeds,
  request: ImportRequest,
  progress: ProgressSink,
  signal?: AbortSignal,
): Promise<AnyManifest> {
  const { library, mesh, telemetry } = needs
  const fromSource: SharedImportNeeds['fromSource'] = (wanted, sink, end) =>
    shown(needs, wanted, 'import', sink, (listen) => library.import(wanted, listen, end))
  if (mesh === null) return fromSource(request, progress, signal)
  const plain = request.weights === undefined || request.weights === 'auto'
  const expected = plain ? await library.listedDigest(request.source) : undefined
  const shared: SharedImportNeeds = {
    ...needs,
    mesh,
    expected,
    patienceMs: PATIENCE_MS,
    count: (name, by, labels) => telemetry.count(name, by, labels),
    isListed: (source) => isListed(library, source),
    fromSource,
    fromMesh: (digest, sink, end) => fromMesh(library, digest, sink, end),
    whileWaiting: (sink, wait) => shown(needs, request, 'wait', sink, wait),
  }
  return sharedImport(shared, request, progress, signal)
}

/** A row of `weft ps` for as long as the work takes. */
async function shown<Result>(
  { transfers }: ImportIntoNeeds,
  { name, source }: ImportRequest,
  kind: TransferStatus['kind'],
  progress: ProgressSink,
  work: (listen: ProgressSink) => Promise<Result>,
): Promise<Result> {
  const entry = transfers.begin(name ?? source, kind)
  try {
    return await work((step) => {
      if (step.unit === 'bytes') entry.update(step.done, step.total, 0)
      progress(step)
    })
  } finally {
    entry.end()
  }
}

/** What comes with the installation is here already. */
async function isListed(library: Library, source: string): Promise<boolean> {
  const listed = await library.catalogue.find(source).catch(() => null)
  return listed !== null && !listed.sources.some(({ from }) => from.startsWith('bundled:'))
}

async function fromMesh(
  library: Library,
  digest: string,
  progress: ProgressSink,
  signal: AbortSignal | undefined,
): Promise<AnyManifest> {
  const manifest = await library.resolve(digest, signal)
  await library.fetch(manifest, 0, manifest.blocks.length, signal, (done, total, holders) => {
    const detail = holders === 1 ? 'from 1 peer' : `from ${holders} peers`
    progress({ type: 'progress', task: `fetching ${manifest.model} from the mesh`, detail, done, total, unit: 'bytes' })
  })
  if (besideBlocks(manifest).length > 0) await library.tokenizer(manifest, signal)
  return manifest
}
