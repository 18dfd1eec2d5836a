/** Layers that are measured one at a time: each is loaded, run once, and forgotten. */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { textFeeds, writeRangeLayer } from '../../../models/index.ts'
import { createOrtEngine } from '../../../onnx/index.ts'
import { createBlobStore } from '../../../store/index.ts'
import type { BlobStore } from '../../../store/index.ts'
import type { LayerInit } from './protocol.ts'

/** Rows of all texts [rows, width], in float32, that go into a layer and come out of it. */
export type Run = (rows: Float32Array) => Promise<Float32Array>

/** Loads blocks; each is to be run once, and is released then. */
export async function createLayerRunner(init: LayerInit): Promise<(block: number) => Promise<Run>> {
  const { manifest, storeDirectory, workDirectory, texts, threads } = init
  const { shape } = manifest
  const engine = createOrtEngine()
  const store = asStored(await createBlobStore({ directory: storeDirectory, readOnly: true }))
  const feeds = textFeeds(shape, texts, texts.positions)
  return async (block) => {
    const directory = await mkdtemp(join(workDirectory, 'layer-'))
    try {
      const path = await writeRangeLayer(store, shape, manifest.blocks[block]!, block - 1, texts, directory)
      const graph = await engine.load(path, { threads })
      return async (rows) => {
        const x = { type: 'float32', dims: [texts.count * texts.positions, shape.width], data: rows } as const
        const { data } = (await graph.run({ ...feeds, x }, ['y']))['y']!
        await graph.release()
        return data as Float32Array
      }
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
}

/** The import that asks has hashed every tensor a moment ago: not once more. */
function asStored(own: BlobStore): BlobStore {
  return {
    ...own,
    readAll: async (address) => own.read(address, 0, await own.size(address)),
    inOrder: async (address) => {
      let at = 0
      return async (length) => own.read(address, (at += length) - length, length)
    },
  }
}
