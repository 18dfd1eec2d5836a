/**
 * A stage is generated where it runs (DESIGN decision 2). Each block is packed once into files of its own; the graph
 * of a range is small and points at them, so every contiguous range is a partition and ranges share their blocks.
 */
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { WeightFile } from '../../onnx/index.ts'
import type { BlobStore } from '../../store/index.ts'
import type { ModelManifest } from '../manifest.ts'
import { decoderGraph } from './decoder.ts'
import { headGraph } from './head.ts'
import type { PackedHead } from './head.ts'
import type { PackedLayer, Rotary } from './layer.ts'
import { packHead, packLayer, packRotary } from './pack-block.ts'

/** Changes whenever the packed form does, so that an older cache is not taken for a newer one. */
const FORM = 1

export interface StageFiles {
  /** Path of the graph that runs decoder blocks [from, to) for so many session slots. */
  decoder(from: number, to: number, slots: number): Promise<string>
  head(): Promise<string>
}

/**
 * @param directory the cache; one folder a model digest is made in it.
 * @param packed called when a block had to be made (it was not in the cache).
 */
export function stageFiles(
  needs: { readonly store: BlobStore; readonly directory: string; readonly packed?: (block: number) => void },
  manifest: ModelManifest,
): StageFiles {
  const directory = join(needs.directory, `${manifest.digest.slice(0, 32)}-${FORM}`)
  const cached = <T>(name: string, make: (file: WeightFile) => Promise<T>, made?: () => void): Promise<T> =>
    cachedWeights(directory, name, make, made)
  const layer = (block: number): Promise<PackedLayer> =>
    cached(
      `block-${block}`,
      (file) => packLayer(needs.store, manifest.shape, manifest.blocks[block]!, file),
      () => needs.packed?.(block),
    )
  const rotary = (): Promise<Rotary> =>
    cached('rotary', (file) => packRotary(manifest.shape, manifest.shape.context, file))
  return {
    async decoder(from, to, slots) {
      const layers: PackedLayer[] = []
      for (let block = from; block < to; block++) layers.push(await layer(block))
      const graph = decoderGraph({
        shape: manifest.shape,
        boundary: manifest.boundary,
        layers,
        rotary: await rotary(),
        slots,
      })
      return writeGraph(directory, `decoder-${from}-${to}-${slots}`, graph)
    },
    async head() {
      const block = manifest.blocks.length - 1
      const { norm, projection } = await cached<PackedHead>(
        `block-${block}`,
        (file) => packHead(needs.store, manifest.blocks[block]!, file),
        () => needs.packed?.(block),
      )
      return writeGraph(
        directory,
        'head',
        headGraph({ shape: manifest.shape, boundary: manifest.boundary, norm, projection }),
      )
    },
  }
}

/** The index file is written last: where it stands, the weights beside it are whole. */
async function cachedWeights<T>(
  directory: string,
  name: string,
  make: (file: WeightFile) => Promise<T>,
  made?: () => void,
): Promise<T> {
  const index = join(directory, `${name}.json`)
  const weights = join(directory, `${name}.weights`)
  const found = await readIndex<T>(index, weights)
  if (found !== undefined) return found
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const temporary = `${weights}.${process.pid}.tmp`
  const file = await WeightFile.create(temporary, `${name}.weights`)
  try {
    const packed = await make(file)
    await file.close()
    await rename(temporary, weights)
    await writeAtomic(index, JSON.stringify({ bytes: file.bytes, packed }))
    made?.()
    return packed
  } catch (error) {
    await file.abandon()
    await rm(temporary, { force: true })
    throw error
  }
}

async function readIndex<T>(index: string, weights: string): Promise<T | undefined> {
  try {
    const { bytes, packed } = JSON.parse(await readFile(index, 'utf8')) as { bytes: number; packed: T }
    return (await stat(weights)).size === bytes ? packed : undefined
  } catch {
    return undefined
  }
}

async function writeAtomic(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, content, { mode: 0o600, flush: true })
  await rename(temporary, path)
}

async function writeGraph(directory: string, name: string, graph: Uint8Array): Promise<string> {
  const path = join(directory, `${name}.onnx`)
  await writeAtomic(path, graph)
  return path
}
