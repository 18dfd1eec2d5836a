/** A partition of a model as a stage of a peer: its skeleton goes with the request, its weights come by their address. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkModel, RangeSource, readModel, writeModel } from '../../onnx/index.ts'
import { createBlobStore } from '../../store/index.ts'
import type { GraphTensor } from './manifest.ts'
import { ALONE, fromSkeleton, toSkeleton, weightsOf } from './skeleton.ts'

export type StageWeightRow = readonly [
  name: string,
  type: string,
  dims: readonly number[],
  bytes: number,
  address: string,
]

/** JSON-safe, for a child process: the file of a partition may be anybody's. */
export type StageTask =
  /** Writes the skeleton of a partition, and has its weights in the store. */
  | { readonly kind: 'take-apart'; readonly path: string; readonly skeleton: string; readonly store: string }
  /** Writes the partition that comes of a skeleton, whose weights are in the store. */
  | {
      readonly kind: 'put-together'
      readonly skeleton: string
      readonly path: string
      readonly store: string
      readonly weights: readonly StageWeightRow[]
    }

/** @returns the weights, in the file's order. @throws what reading and writing throw */
export async function stageTask(task: StageTask): Promise<readonly StageWeightRow[]> {
  const store = await createBlobStore({ directory: task.store })
  if (task.kind === 'put-together') {
    const tensors = task.weights.map(([name, type, shape, bytes, address]): GraphTensor => ({
      name,
      type,
      shape,
      bytes,
      address,
    }))
    const skeleton = checkModel(await readModel(task.skeleton, ALONE))
    const model = fromSkeleton(skeleton, tensors, ({ address }) => store.path(address))
    await writeModel(model, task.path)
    return task.weights
  }
  const model = checkModel(await readModel(task.path))
  const weights = weightsOf(model)
  await writeModel(toSkeleton(model, weights), task.skeleton, { external: 'never' })
  const source = new RangeSource()
  const rows: StageWeightRow[] = []
  try {
    for (const { name, type, dims, data } of weights) {
      if (data.kind === 'strings') continue
      const stored = await store.put(data.kind === 'bytes' ? data.bytes : copies(source.pieces(data)))
      rows.push([name, type, dims, stored.bytes, stored.address])
    }
  } finally {
    await source.close()
  }
  return rows
}

async function* copies(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield piece.slice()
}

/** What was taken apart, from the folder that keeps it. */
export interface StageParts {
  readonly skeleton: Uint8Array
  readonly weights: readonly StageWeightRow[]
}

const rowsFile = (folder: string, part: number): string => join(folder, `stage-${part}.json`)
export const skeletonFile = (folder: string, part: number): string => join(folder, `stage-${part}.skeleton.onnx`)

export async function readStageParts(folder: string, part: number): Promise<StageParts | null> {
  try {
    const weights = JSON.parse(await readFile(rowsFile(folder, part), 'utf8')) as readonly StageWeightRow[]
    return { skeleton: Uint8Array.from(await readFile(skeletonFile(folder, part))), weights }
  } catch {
    return null
  }
}

/** The rows last: where they are, the skeleton is whole. */
export async function keepStageRows(folder: string, part: number, rows: readonly StageWeightRow[]): Promise<void> {
  const path = rowsFile(folder, part)
  await writeFile(path, JSON.stringify(rows)).catch(() => rm(path, { force: true }))
}
