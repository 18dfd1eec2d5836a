/**
 * Whether a model's residual stays within float16: a short text goes through it block by block, with float32
 * boundaries, each block loaded alone and its files removed again. The result is the largest magnitude. A program of its
 * own, since it computes and loads what may be hostile.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createTokenizer, openEmbedding, stageFiles } from '../../models/index.ts'
import type { ModelManifest, TokenizerDefinition } from '../../models/index.ts'
import { createOrtEngine } from '../../onnx/index.ts'
import { createBlobStore } from '../../store/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { runGuardedProgram } from '../../util/index.ts'
import type { GuardedTask } from '../../util/index.ts'
import { createDecoderStage } from './decoder-stage.ts'

export interface RangeTask {
  readonly manifest: ModelManifest
  readonly storeDirectory: string
  /** Folder for one block's files at a time; the parent removes it. */
  readonly workDirectory: string
  readonly text: string
}

/** Blocks measured so far. */
export interface RangeEvent {
  readonly done: number
}

export interface RangeResult {
  readonly largest: number
}

async function measure({ input, emit, signal }: GuardedTask): Promise<RangeResult> {
  const { manifest: own, storeDirectory, workDirectory, text } = input as RangeTask
  const manifest = { ...own, boundary: 'f32' as const }
  const store = await createBlobStore({ directory: storeDirectory, readOnly: true })
  const tokens = await idsOf(store, manifest, text)
  const ref = manifest.blocks[0]!.tensors[0]!
  let rows = openEmbedding(store.path(ref.address), manifest.shape, ref, 'f32').rows(tokens)
  let largest = magnitude(rows)
  try {
    for (let block = 1; block < manifest.blocks.length - 1; block++) {
      signal.throwIfAborted()
      rows = await throughBlock({ manifest, store, workDirectory }, block, rows, tokens.length)
      largest = Math.max(largest, magnitude(rows))
      emit({ done: block } satisfies RangeEvent)
    }
  } catch (error) {
    if (signal.aborted) await rm(workDirectory, { recursive: true, force: true })
    throw error
  }
  return { largest: Number.isFinite(largest) ? largest : Number.MAX_VALUE }
}

async function idsOf(store: BlobStore, manifest: ModelManifest, text: string): Promise<Int32Array> {
  const definition = Buffer.from(await store.readAll(manifest.tokenizer.address)).toString('utf8')
  const ids = createTokenizer(JSON.parse(definition) as TokenizerDefinition).encode(text)
  return Int32Array.from(ids.filter((id) => id < manifest.shape.vocabulary))
}

async function throughBlock(
  parts: { readonly manifest: ModelManifest; readonly store: BlobStore; readonly workDirectory: string },
  block: number,
  rows: Uint8Array,
  count: number,
): Promise<Uint8Array> {
  const { manifest, store, workDirectory } = parts
  const directory = await mkdtemp(join(workDirectory, 'block-'))
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
    const after = (await stage.run([{ cache: stage.newCache(0), rows, count }]))[0]!
    await stage.release()
    return after
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function magnitude(rows: Uint8Array): number {
  let largest = 0
  for (const value of new Float32Array(rows.buffer, rows.byteOffset, rows.byteLength / 4)) {
    const size = Math.abs(value)
    if (!(size <= largest)) largest = size
  }
  return largest
}

await runGuardedProgram(measure)
