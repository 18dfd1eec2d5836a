/** A model of the store as one ONNX file again. */
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { checkModel, readModel, writeModel } from '../../onnx/index.ts'
import type { BlobStore } from '../../store/index.ts'
import type { GraphManifest, GraphTensor } from './manifest.ts'
import { ALONE, fromSkeleton } from './skeleton.ts'

/**
 * Writes the whole model into `cache` unless it is there, and returns its path. Its tensors are in the store.
 * @throws BlobMissingError, BlobDamagedError, what reading and writing throw
 */
export async function graphFile(store: BlobStore, manifest: GraphManifest, cache: string): Promise<string> {
  const folder = join(cache, 'models')
  const path = join(folder, `${manifest.digest}.onnx`)
  if ((await stat(path).catch(() => null)) !== null) return path
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const weights = new Map<string, GraphTensor>()
  for (const { tensors } of manifest.blocks) for (const tensor of tensors.slice(1)) weights.set(tensor.name, tensor)
  const skeleton = manifest.blocks[0]!.tensors[0]!
  // Held against their addresses before they are believed.
  await store.readAll(skeleton.address)
  const model = checkModel(await readModel(store.path(skeleton.address), ALONE))
  await writeModel(
    fromSkeleton(model, [...weights.values()], ({ address }) => store.path(address)),
    path,
  )
  return path
}
