/** `infer` over the mesh: a model of the library in parts at peers, values between them directly. */
import { join } from 'node:path'
import type { Mesh } from '../mesh/index.ts'
import {
  graphFile,
  isGraphManifest,
  keepStageRows,
  ModelKindError,
  readStageParts,
  skeletonFile,
} from '../models/index.ts'
import type { GraphManifest, StageParts, StageTask, StageWeightRow } from '../models/index.ts'
import { createOrtEngine } from '../onnx/index.ts'
import type { Optimization } from '../onnx/index.ts'
import { inferOverMesh, prepareGraph, runOnFile, runRequest } from '../pipeline/index.ts'
import type { FlowService, GraphRequest, Inference, MeshPart, PlacementStage, Tensors } from '../pipeline/index.ts'
import { ORIGIN } from '../placement/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import type { HomePaths } from './home.ts'
import type { Library } from './library.ts'
import type { Placing } from './placing.ts'

export interface InferMeshNeeds {
  readonly self: string
  readonly clock: Clock
  readonly random: RandomSource
  readonly paths: HomePaths
  readonly store: BlobStore
  readonly mesh: Mesh | null
  readonly library: Library
  readonly placing: Placing
  readonly flow: FlowService
  readonly watch: (peer: string) => () => void
}

export interface InferRequest extends GraphRequest {
  /** Each stage is one part, at the peer that it names. @default a part each for this peer and all that are connected */
  readonly stages?: readonly PlacementStage[] | undefined
  /** Parts, where stages are not given: at most one a peer. */
  readonly parts?: number | undefined
  readonly optimization?: Optimization | undefined
  /** Milliseconds. @default 10 minutes */
  readonly deadline?: number | undefined
}

const DEADLINE_MS = 600_000

/** @throws ModelUnknownError, ModelKindError, NoPlacementError's kin, what cutting, peers and the model throw */
export async function inferOverPeers(
  needs: InferMeshNeeds,
  model: string,
  inputs: Tensors,
  request: InferRequest = {},
  signal?: AbortSignal,
): Promise<Inference> {
  const { clock, library, paths, self, store } = needs
  const manifest = await library.resolve(model, signal)
  if (!isGraphManifest(manifest)) throw new ModelKindError(model, 'is a language model: generate answers with it')
  // Whoever asks cuts the graph, and proves the cut on the whole of it.
  await library.fetch(manifest, 0, manifest.blocks.length, signal)
  const file = await graphFile(store, manifest, join(paths.cache, 'graphs'))
  const { peers, cuts, parts } = placed(needs, manifest, request)
  const child = { clock, cache: paths.cache, codeCache: join(paths.cache, 'code') }
  const started = clock.now()
  const cutting = { path: file, parts, cuts, optimization: request.optimization ?? null }
  const prepared = await prepareGraph({ ...child, kernel: createOrtEngine().kernelId }, cutting, signal)
  const own = { ...child, store: paths.store, folder: prepared.folder }
  const meshParts: MeshPart[] = []
  for (const [part, each] of prepared.graph.parts.entries()) {
    const { skeleton, weights } = await takenApart(own, each.file, part, signal)
    meshParts.push({ ...each, peer: peers[part]!, skeleton, weights })
  }
  const optimization = prepared.graph.optimization ?? 'all'
  const counters = { bytes_sent: 0, bytes_received: 0, runs: 0 }
  let pids: readonly number[] = []
  const loadMs = clock.now() - started
  const { outputs, stats } = await runRequest(
    {
      clock,
      prepared,
      optimization,
      where: [...new Set(peers)].toSorted().join(),
      flow: async (units, carries) => {
        const deadline = request.deadline ?? DEADLINE_MS
        const init = { digest: manifest.digest, parts: meshParts, optimization, carries, units, deadline, signal }
        const made = await inferOverMesh(needs, init)
        pids = made.pids
        counters.bytes_sent += made.counters.bytes_sent
        counters.bytes_received += made.counters.bytes_received
        counters.runs += units.count * meshParts.length
        return made.results
      },
    },
    inputs,
    request,
  )
  const route = meshParts.map(({ peer }, part) => {
    const [from, to] = prepared.graph.parts[part]!.blocks
    return { peer, pid: pids[part]!, from, to }
  })
  const count = { ...counters, ...stats.counters }
  const here = route.filter(({ peer }) => peer === self).length
  return {
    outputs,
    route,
    stats: {
      ...stats,
      parts: route.length,
      threads: 0,
      optimization,
      load_ms: loadMs,
      counters: { ...count, parts_here: here },
    },
  }
}

/** @throws what the placement check throws */
function placed(
  { self, mesh, placing }: InferMeshNeeds,
  manifest: GraphManifest,
  { stages, parts }: InferRequest,
): { readonly peers: readonly string[]; readonly parts: number; readonly cuts?: readonly number[] } {
  if (stages !== undefined) {
    placing.check(manifest, stages)
    const peers = stages.map(({ peer }) => (peer === ORIGIN ? self : peer))
    return {
      peers,
      parts: stages.length,
      ...(stages.length > 1 ? { cuts: stages.slice(1).map(({ from }) => from) } : {}),
    }
  }
  const connected = (mesh?.peers() ?? []).filter(({ state }) => state === 'connected').map(({ id }) => id)
  const peers = [self, ...connected].slice(0, parts ?? Infinity)
  return { peers, parts: peers.length }
}

interface TakeApart {
  readonly clock: Clock
  readonly codeCache: string
  readonly store: string
  readonly folder: string
}

async function takenApart(own: TakeApart, path: string, part: number, signal?: AbortSignal): Promise<StageParts> {
  const known = await readStageParts(own.folder, part)
  if (known !== null) return known
  const task: StageTask = { kind: 'take-apart', path, skeleton: skeletonFile(own.folder, part), store: own.store }
  const rows = (await runOnFile(own, 'stage-main', task, signal)) as readonly StageWeightRow[]
  await keepStageRows(own.folder, part, rows)
  return (await readStageParts(own.folder, part))!
}
