/** A model as partitions: one runnable ONNX file each, and the manifest of how they chain (docs/split.md). */
import { rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GraphBuilder } from '../../onnx/index.ts'
import type { Engine } from '../../onnx/index.ts'
import { availableBytes, DiskFullError } from '../../store/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { kernelHeadDim } from '../llama/head-width.ts'
import { firstContext, windowRotary } from '../llama/rotary.ts'
import { partitionGraph, partitionValues } from '../llama/export.ts'
import type { PartitionInit } from '../llama/export.ts'
import type { ModelManifest } from '../manifest.ts'
import { checkPartitions } from './check.ts'
import { blockBytes, chooseCuts } from './cuts.ts'
import type { CutRequest } from './cuts.ts'
import { explained, MANIFEST, openSplitDirectory } from './directory.ts'
import { SplitIncompleteError } from './errors.ts'
import { SPLIT_SCHEMA } from './types.ts'
import type { SplitCheck, SplitManifest, SplitPartition } from './types.ts'
import { packPartition, sha256, writePartition } from './write.ts'
import type { PackedPartition } from './write.ts'

export interface SplitNeeds {
  readonly store: BlobStore
  /** For the check. */
  readonly engine: () => Engine
}

export interface SplitRequest extends CutRequest {
  readonly manifest: ModelManifest
  /** A folder that is not there, is empty, or holds an earlier split. */
  readonly out: string
  /** Run it whole and split before anything is put in place. */
  readonly check?: boolean | undefined
}

export interface SplitProgress {
  readonly type: 'progress'
  readonly task: string
  readonly done: number
  readonly total: number
  readonly unit: 'bytes' | 'steps'
}

/** The graph of the whole model in the staging folder, over the partitions' weights. */
const WHOLE = 'whole.onnx'

/**
 * @throws SplitCutsError, SplitTargetError, SplitUnwritableError, SplitIncompleteError, SplitDiffersError, OnnxMemoryLimitError,
 * DiskFullError
 */
export async function splitModelFiles(
  needs: SplitNeeds,
  request: SplitRequest,
  onProgress: (progress: SplitProgress) => void = () => undefined,
  signal?: AbortSignal,
): Promise<SplitManifest> {
  const { manifest, out } = request
  const { cuts, balance, ...verdict } = chooseCuts(manifest, request)
  await requireBlocks(needs.store, manifest)
  signal?.throwIfAborted()
  const directory = await openSplitDirectory(out)
  try {
    const bytes = await requireRoom(manifest, cuts.length + 1, out)
    const result = await explained(out, bytes, async () => {
      const written = await writeAll(needs, manifest, cuts, directory.staging, onProgress, signal)
      const check =
        request.check === true ? await runCheck(needs, manifest, written, directory.staging, onProgress, signal) : null
      const partitions = await finish(directory.staging, written)
      const { model, digest, license, source, boundary, shape } = manifest
      const facts = { model, digest, license, source, boundary, context: firstContext(shape), partitions }
      return {
        schema: SPLIT_SCHEMA,
        ...facts,
        ...(balance.memory.length > 1 ? { balance } : {}),
        ...verdict,
        ...(check === null ? {} : { check }),
      } satisfies SplitManifest
    })
    await explained(out, 0, () =>
      writeFile(join(directory.staging, MANIFEST), `${JSON.stringify(result, null, 1)}\n`, { flush: true }),
    )
    signal?.throwIfAborted()
    await directory.commit(
      result.partitions.flatMap(({ file, data }) => (data === undefined ? [file] : [file, data.file])),
    )
    return result
  } finally {
    await directory.discard()
  }
}

async function requireBlocks(store: BlobStore, manifest: ModelManifest): Promise<void> {
  const missing: number[] = []
  for (const [block, { tensors }] of manifest.blocks.entries()) {
    const has = await Promise.all(tensors.map(({ address }) => store.has(address)))
    if (has.includes(false)) missing.push(block)
  }
  if (missing.length > 0) throw new SplitIncompleteError(manifest.model, missing)
}

/** @throws DiskFullError before anything is written */
async function requireRoom(manifest: ModelManifest, parts: number, out: string): Promise<number> {
  const { shape, blocks } = manifest
  const tables = windowRotary(shape) === null ? 1 : 2
  const rotary = 4 * (firstContext(shape) + 1) * kernelHeadDim(shape) * tables
  const bytes = blocks.reduce((sum, _, block) => sum + blockBytes(manifest, block), parts * rotary)
  const free = await availableBytes(out)
  if (free < bytes) throw new DiskFullError(out, bytes, free)
  return bytes
}

interface WrittenPartition {
  readonly packed: PackedPartition
  readonly entry: Omit<SplitPartition, 'sha256' | 'bytes'>
}

async function writeAll(
  needs: SplitNeeds,
  manifest: ModelManifest,
  cuts: readonly number[],
  staging: string,
  onProgress: (progress: SplitProgress) => void,
  signal: AbortSignal | undefined,
): Promise<WrittenPartition[]> {
  const bounds = [0, ...cuts, manifest.blocks.length]
  const total = manifest.blocks.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  const packed = (block: number): void => {
    done += manifest.blocks[block]!.bytes
    onProgress({ type: 'progress', task: `splitting ${manifest.model}`, done, total, unit: 'bytes' })
  }
  const digits = String(cuts.length).length
  const written: WrittenPartition[] = []
  for (const [index, from] of bounds.slice(0, -1).entries()) {
    const file = `partition-${String(index).padStart(digits, '0')}.onnx`
    const pack = { store: needs.store, directory: staging, signal, packed }
    const partition = await packPartition(pack, manifest, [from, bounds[index + 1]!], file)
    written.push({ packed: partition, entry: await writePartition(staging, partition, file) })
  }
  return written
}

/** The whole model's graph points at the partitions' weights, so that none is written twice. */
async function runCheck(
  needs: SplitNeeds,
  manifest: ModelManifest,
  written: readonly WrittenPartition[],
  staging: string,
  onProgress: (progress: SplitProgress) => void,
  signal: AbortSignal | undefined,
): Promise<SplitCheck> {
  const inits = written.map(({ packed }) => packed.init)
  const init: PartitionInit = {
    ...inits[0]!,
    to: manifest.blocks.length,
    layers: inits.flatMap(({ layers }) => layers),
    rotary: inits.find(({ rotary }) => rotary !== null)?.rotary ?? null,
    head: inits.at(-1)!.head,
  }
  const graph = new GraphBuilder()
  const path = join(staging, WHOLE)
  const values = partitionGraph(graph, init)
  await writeFile(path, graph.finish('whole'))
  const parts = written.map(({ packed, entry }) => ({
    path: join(staging, entry.file),
    ...partitionValues(packed.init),
  }))
  const progress = (done: number, total: number): void =>
    onProgress({ type: 'progress', task: `checking ${manifest.model}`, done, total, unit: 'steps' })
  try {
    return await checkPartitions({ engine: needs.engine(), signal, progress }, manifest, { path, ...values }, parts)
  } finally {
    await rm(path, { force: true })
  }
}

/** What only was there for the check goes away; the files are hashed as they lie on the disk. */
async function finish(staging: string, written: readonly WrittenPartition[]): Promise<SplitPartition[]> {
  const partitions: SplitPartition[] = []
  for (const { packed, entry } of written) {
    if (entry.data === undefined) await rm(join(staging, packed.data), { force: true })
    const path = join(staging, entry.file)
    const { file, blocks, ...rest } = entry
    partitions.push({ file, blocks, sha256: await sha256(path), bytes: (await stat(path)).size, ...rest })
  }
  return partitions
}
