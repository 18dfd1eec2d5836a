/** A model cut for the peers that take its parts: whoever asks cuts the graph, and proves the cut on the whole of it. */
import { join } from 'node:path'
import { graphFile, keepStageRows, readStageParts, skeletonFile } from '../models/index.ts'
import type { GraphManifest, StageParts, StageTask, StageWeightRow } from '../models/index.ts'
import { createOrtEngine } from '../onnx/index.ts'
import type { Optimization, Wire } from '../onnx/index.ts'
import { prepareGraph, runOnFile } from '../pipeline/index.ts'
import type { MeshPart, PlacementStage, Prepared, PrepareRequest } from '../pipeline/index.ts'
import { ORIGIN } from '../placement/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import type { HomePaths } from './home.ts'
import type { Library } from './library.ts'

export interface GraphPartsNeeds {
  readonly clock: Clock
  readonly paths: HomePaths
  readonly store: BlobStore
  readonly library: Library
}

/** The peer of each part; blocks that parts begin with, but for the first, where they are not to be chosen. */
export interface GraphPlaces {
  readonly peers: readonly string[]
  readonly parts: number
  readonly cuts?: readonly number[]
  /** Bytes that each part may need at most. */
  readonly memory?: number | undefined
  /** Bytes that are free at the peer of each part: it is cut for them where it would not fit. */
  readonly room?: readonly number[]
  /** How fast the peer of each part is, against the others: shares follow it. */
  readonly paces?: readonly number[] | undefined
}

export interface GraphParts {
  readonly prepared: Prepared
  readonly parts: readonly MeshPart[]
  readonly optimization: Optimization
}

export function placesOf(stages: readonly PlacementStage[], self: string): GraphPlaces {
  const peers = stages.map(({ peer }) => (peer === ORIGIN ? self : peer))
  const cuts = stages.slice(1).map(({ from }) => from)
  return { peers, parts: stages.length, ...(cuts.length === 0 ? {} : { cuts }) }
}

/** @throws OnnxMemoryLimitError, what fetching, cutting and proving throw, the signal's reason */
export async function graphParts(
  { clock, library, paths, store }: GraphPartsNeeds,
  manifest: GraphManifest,
  places: GraphPlaces & { readonly optimization?: Optimization | undefined; readonly wire?: Wire | undefined },
  signal?: AbortSignal,
): Promise<GraphParts> {
  await library.fetch(manifest, 0, manifest.blocks.length, signal)
  const path = await graphFile(store, manifest, join(paths.cache, 'graphs'))
  const child = { clock, cache: paths.cache, codeCache: join(paths.cache, 'code') }
  const { peers, cuts, memory, parts: count, optimization = null, room, paces, wire } = places
  const cutting = { path, parts: count, cuts, memory, paces, wire, optimization }
  const prepared = await prepareInRoom({ ...child, kernel: createOrtEngine().kernelId }, cutting, room, signal)
  const own = { ...child, store: paths.store, folder: prepared.folder }
  const parts: MeshPart[] = []
  for (const [part, each] of prepared.graph.parts.entries()) {
    const { skeleton, weights } = await takenApart(own, each.file, part, signal)
    // What is not cut was not counted in blocks.
    const blocks = prepared.graph.parts.length === 1 ? ([0, manifest.blocks.length] as const) : each.blocks
    parts.push({ ...each, blocks, peer: peers[part]!, skeleton, weights })
  }
  return { prepared, parts, optimization: prepared.graph.optimization ?? 'all' }
}

/** So much finer than a doubling: free memory differs by a little each time, and each limit is cut for once. */
const STEPS_A_DOUBLING = 16

/** Cut for what is free only where a part would not fit: what is free changes, and the cut should not. */
async function prepareInRoom(
  needs: Parameters<typeof prepareGraph>[0],
  cutting: PrepareRequest,
  room: readonly number[] | undefined,
  signal?: AbortSignal,
): Promise<Prepared> {
  const first = await prepareGraph(needs, cutting, signal)
  const memory = first.graph.balance?.memory
  if (room === undefined || memory === undefined) return first
  if (memory.every((bytes, part) => bytes <= room[part]!)) return first
  const { memory: most } = cutting
  const limits = room.map((bytes) => Math.min(stepDown(bytes), typeof most === 'number' ? most : bytes))
  return prepareGraph(needs, { ...cutting, memory: limits }, signal)
}

function stepDown(bytes: number): number {
  if (bytes < 1) return 0
  return Math.floor(2 ** (Math.floor(Math.log2(bytes) * STEPS_A_DOUBLING) / STEPS_A_DOUBLING))
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
