/** The matrices of a packed block alone in graphs, so that the engine pre-packs them; and what it made noted on them. */
import { rename, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { prepackWeights } from '../../onnx/index.ts'
import type { Engine, Prepacked, PrepackJob, StoredRange, StoredTensor } from '../../onnx/index.ts'
import { foldOffsets } from './fold-offsets.ts'
import type { Affine } from './fold-offsets.ts'
import type { PackedHead } from './head.ts'
import type { PackedLayer } from './layer.ts'
import { matrixGraph } from './matrix-graph.ts'
import type { PackedMatrix } from './pack.ts'

export type PackedBlock = PackedLayer | PackedHead

export interface PrepackedBlock<T> {
  /** With the forms noted; its tensors name `job.file`, which the new file is to replace. */
  readonly packed: T
  /** Bytes of the new file up to which it has plain weights. */
  readonly weights: number
}

/**
 * Writes a weight file that has the pre-packed forms of a block too.
 * @throws PrepackedDiffersError, EngineError, and what the file system throws
 */
export async function prepackBlock<T extends PackedBlock>(
  engine: Engine,
  packed: T,
  job: Omit<PrepackJob, 'graph' | 'others'>,
): Promise<PrepackedBlock<T>> {
  const path = (name: string): string => join(job.directory, name)
  const groups = together(packed).length
  let block = packed
  let { bytes, file } = job
  try {
    for (let group = 0; group < groups; group++) {
      const matrices = together(block)[group]!
      const others = groups === 1 ? { others: tensorsBeside(block, matrices) } : {}
      const made = await prepackWeights(engine, { ...job, ...others, bytes, file, graph: matrixGraph(matrices) })
      file = made.file
      block = placed(block, made.tensors)
      const folded = await foldOffsets(engine, together(block)[group]!, { ...job, target: file })
      block = withFolded(block, folded)
      // The next ones come behind these.
      bytes = (await stat(path(file))).size
    }
    if (file === job.target) return { packed: block, weights: job.bytes }
    await rename(path(file), path(job.target))
    return { packed: block, weights: bytes }
  } catch (error) {
    if (file !== job.file && file !== job.target) await rm(path(file), { force: true })
    if (job.target === job.file) await truncate(path(job.target), job.bytes)
    else await rm(path(job.target), { force: true })
    throw error
  }
}

/** What a block has that is in none of these matrices. */
function tensorsBeside(packed: PackedBlock, matrices: readonly PackedMatrix[]): StoredRange[] {
  const offsets = (value: unknown): readonly StoredRange[] => {
    const found: StoredRange[] = []
    eachTensor(value, (tensor) => {
      found.push({ offset: tensor.offset, length: tensor.length })
      return tensor
    })
    return found
  }
  // A bias is added behind the matrix, and is in its graph.
  const inside = new Set(offsets(matrices).map(({ offset }) => offset))
  return offsets(packed).filter(({ offset }) => !inside.has(offset))
}

function placed<T>(packed: T, tensors: Prepacked['tensors']): T {
  return eachTensor(packed, (tensor) => {
    const own = tensors.get(tensor.offset)
    if (own === undefined) return tensor
    return { ...tensor, offset: own.offset, ...(own.forms.length > 0 ? { prepacked: own.forms } : {}) }
  })
}

function withFolded<T>(packed: T, folded: readonly Affine[]): T {
  const changed = new Map(folded.flatMap(({ quants, offsets }) => [quants, offsets].map((own) => [own.offset, own])))
  return eachTensor(packed, (tensor) => changed.get(tensor.offset) ?? tensor)
}

/** The block as its plain weights alone. */
export function withoutForms<T>(packed: T): T {
  return eachTensor(packed, ({ type, dims, file, offset, length }) => ({ type, dims, file, offset, length }))
}

/** What the engine packs at once, and holds twice: a layer, or a slice of the head. */
function together(packed: PackedBlock): readonly (readonly PackedMatrix[])[] {
  if ('projections' in packed) return packed.projections.map((matrix) => [matrix])
  return [[...packed.qkv, packed.output, packed.gate, packed.up, packed.down]]
}

/** A copy of plain data with its stored tensors changed. */
function eachTensor<T>(value: T, change: (tensor: StoredTensor) => StoredTensor): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((one: unknown) => eachTensor(one, change)) as T
  if ('file' in value && 'offset' in value) return change(value as unknown as StoredTensor) as T
  const entries = Object.entries(value as Record<string, unknown>)
  return Object.fromEntries(entries.map(([key, one]) => [key, eachTensor(one, change)])) as T
}
