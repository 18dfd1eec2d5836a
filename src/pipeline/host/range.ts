/**
 * Whether a model's residual stays within float16: a short text goes through it block by block, with float32
 * boundaries, each block loaded alone and its files removed again. Prints the largest magnitude as JSON. A program of
 * its own, since it computes and loads what may be hostile.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkManifest, openEmbedding, stageFiles } from '../../models/index.ts'
import { createOrtEngine } from '../../onnx/index.ts'
import { createBlobStore } from '../../store/index.ts'
import { createDecoderStage } from './decoder-stage.ts'

async function main([manifestPath, storeDirectory, ids]: readonly string[]): Promise<void> {
  const manifest = { ...checkManifest(JSON.parse(await readFile(manifestPath!, 'utf8'))), boundary: 'f32' as const }
  const store = await createBlobStore({ directory: storeDirectory!, readOnly: true })
  const ref = manifest.blocks[0]!.tensors[0]!
  const tokens = Int32Array.from((JSON.parse(ids!) as number[]).filter((id) => id < manifest.shape.vocabulary))
  let rows = openEmbedding(store.path(ref.address), ref, 'f32').rows(tokens)
  let largest = magnitude(rows)
  for (let block = 1; block < manifest.blocks.length - 1; block++) {
    const directory = await mkdtemp(join(tmpdir(), 'weft-range-'))
    try {
      const files = stageFiles({ store, directory }, manifest)
      const stage = await createDecoderStage({
        engine: createOrtEngine(),
        options: { threads: 2 },
        shape: manifest.shape,
        boundary: 'f32',
        layers: 1,
        graph: (slots) => files.decoder(block, block + 1, slots),
      })
      rows = (await stage.run([{ cache: stage.newCache(0), rows, count: tokens.length }]))[0]!
      await stage.release()
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
    largest = Math.max(largest, magnitude(rows))
  }
  process.stdout.write(JSON.stringify({ largest: Number.isFinite(largest) ? largest : Number.MAX_VALUE }))
}

function magnitude(rows: Uint8Array): number {
  let largest = 0
  for (const value of new Float32Array(rows.buffer, rows.byteOffset, rows.byteLength / 4)) {
    const size = Math.abs(value)
    if (!(size <= largest)) largest = size
  }
  return largest
}

await main(process.argv.slice(2))
