/**
 * A stage is generated where it runs (DESIGN decision 2). Each block is packed once into files of its own; the graph
 * of a range is small and points at them, so every contiguous range is a partition and ranges share their blocks.
 */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Engine } from '../../onnx/index.ts'
import type { BlobStore } from '../../store/index.ts'
import type { ModelManifest } from '../manifest.ts'
import type { AdaptedPart } from './adapted/adapter-parts.ts'
import { decoderGraph } from './decoder.ts'
import { headGraph } from './head.ts'
import type { PackedHead } from './head.ts'
import type { PackedLayer, Rotary, RotaryTables } from './layer.ts'
import { packHead, packLayer, packRotaryRows } from './pack-block.ts'
import { packInThreads } from './packers.ts'
import type { PackerEvent } from './packers.ts'
import { stageRotary, windowRotary } from './rotary.ts'
import type { RotaryShape } from './rotary.ts'
import { replaceFile } from './replace-file.ts'
import { WeightCache } from './weight-cache.ts'

/** Changes whenever the packed form does, so that an older cache is not taken for a newer one. */
const FORM = 6

/** Cached files beside those of the blocks. */
const WINDOW_ROTARY = 'rotary-window'
export const ROTARY_FILES: readonly string[] = ['rotary', WINDOW_ROTARY]

export interface StageFiles {
  /** Packs those of the blocks that are not in the cache, by several threads at once. With one thread, nothing. */
  pack(blocks: readonly number[], storeDirectory: string, threads: number): Promise<void>
  /** Has one block in the cache. */
  block(block: number): Promise<void>
  /** Path of the graph that runs decoder blocks [from, to) for so many session slots. */
  decoder(from: number, to: number, slots: number, adapted?: readonly AdaptedPart[]): Promise<string>
  head(): Promise<string>
}

export interface StageFilesNeeds {
  readonly store: BlobStore
  /** The cache; one folder a model digest is made in it. */
  readonly directory: string
  /** Blocks are pre-packed for its kernels; without it they stay plain weights. */
  readonly engine?: Engine
  /** A block had to be made: it was not in the cache. */
  readonly packed?: (block: number) => void
  /** A block is used as plain weights, because it cannot be pre-packed; `error` if that has shown itself just now. */
  readonly plain?: (name: string, error?: unknown) => void
}

export function stageFiles(needs: StageFilesNeeds, manifest: ModelManifest): StageFiles {
  const directory = cacheFolder(needs.directory, manifest)
  const cache = new WeightCache({ directory, engine: needs.engine, plain: needs.plain })
  const layer = (block: number): Promise<PackedLayer> =>
    cache.block(`block-${block}`, (file) => {
      needs.packed?.(block)
      return packLayer(needs.store, manifest.shape, manifest.blocks[block]!, file)
    })
  const tables = (name: string, rope: RotaryShape): Promise<Rotary> =>
    cache.plain(name, (file) => packRotaryRows(manifest.shape, stageRotary(manifest.shape, rope), file))
  const rotary = async (): Promise<RotaryTables> => {
    const window = windowRotary(manifest.shape)
    const full = await tables('rotary', manifest.shape)
    return window === null ? { full } : { full, window: await tables(WINDOW_ROTARY, window) }
  }
  const head = (): Promise<PackedHead> => {
    const block = manifest.blocks.length - 1
    return cache.block<PackedHead>(`block-${block}`, (file) => {
      needs.packed?.(block)
      return packHead(needs.store, manifest.shape, manifest.blocks[block]!, file)
    })
  }
  const block = async (index: number): Promise<void> => {
    if (index === 0) return
    await (index === manifest.blocks.length - 1 ? head() : layer(index))
  }
  return {
    block,
    async pack(blocks, storeDirectory, threads) {
      const missing: number[] = []
      for (const index of blocks) if (index > 0 && !(await cache.has(`block-${index}`))) missing.push(index)
      if (needs.engine === undefined || missing.length < 2 || threads < 2) return
      const listen = (event: PackerEvent): void => {
        if (event.type === 'packed') needs.packed?.(event.block)
        else if (event.type === 'plain') needs.plain?.(event.name, event.error)
      }
      const init = { manifest, storeDirectory, directory: needs.directory }
      const isLayer = missing.some((index) => index < manifest.blocks.length - 1)
      await Promise.all([
        packInThreads(init, missing.toReversed(), threads, listen),
        // A stage of layers needs the tables too, and this thread would only wait; whoever takes them hears what went wrong.
        isLayer ? rotary().catch(() => undefined) : undefined,
      ])
    },
    async decoder(from, to, slots, adapted = []) {
      const layers: PackedLayer[] = []
      for (let block = from; block < to; block++) layers.push(await layer(block))
      const graph = decoderGraph({
        shape: manifest.shape,
        boundary: manifest.boundary,
        first: from - 1,
        layers,
        rotary: await rotary(),
        slots,
        adapted,
      })
      const suffix = adapted.length === 0 ? '' : `-${adapted.join('-')}`
      return writeGraph(directory, `decoder-${from}-${to}-${slots}${suffix}`, graph)
    },
    async head() {
      const { shape, boundary } = manifest
      return writeGraph(directory, 'head', headGraph({ shape, boundary, ...(await head()) }))
    },
  }
}

/** The packed weights of a model, to be checked: nothing is pre-packed through it. */
export function stageCache(directory: string, manifest: ModelManifest, verified?: () => void): WeightCache {
  return new WeightCache({ directory: cacheFolder(directory, manifest), verified })
}

function cacheFolder(directory: string, manifest: ModelManifest): string {
  return join(directory, `${folderStem(manifest.digest)}${FORM}`)
}

function folderStem(digest: string): string {
  return `${digest.slice(0, 32)}-`
}

/** Removes what stages of a model keep in the cache, in whatever form an earlier version kept it. */
export async function removeStageFiles(directory: string, digest: string): Promise<void> {
  const folders = await readdir(directory).catch(() => [])
  const own = folders.filter((folder) => folder.startsWith(folderStem(digest)))
  for (const folder of own) await rm(join(directory, folder), { recursive: true, force: true })
}

async function writeGraph(directory: string, name: string, graph: Uint8Array): Promise<string> {
  const path = join(directory, `${name}.onnx`)
  const old = await readFile(path).catch(() => null)
  if (old?.equals(graph) !== true) await replaceFile(path, graph)
  return path
}
