/** The matrices of a packed block alone in graphs, so that the engine pre-packs them; and what it made noted on them. */
import { rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { prepackWeights } from '../../onnx/index.ts'
import type { Engine, PrepackedForm, PrepackJob, StoredTensor } from '../../onnx/index.ts'
import { foldOffsets } from './fold-offsets.ts'
import type { PackedHead } from './head.ts'
import type { PackedLayer } from './layer.ts'
import { matrixGraph } from './matrix-graph.ts'
import type { PackedMatrix } from './pack.ts'

export type PackedBlock = PackedLayer | PackedHead

/**
 * Writes a weight file with the pre-packed forms of a block behind its weights.
 * @returns the block with the forms noted; its tensors name `job.file`, which the new file is to replace
 * @throws PrepackedDiffersError, EngineError, and what the file system throws
 */
export async function prepackBlock<T extends PackedBlock>(
  engine: Engine,
  packed: T,
  job: Omit<PrepackJob, 'graph'>,
): Promise<T> {
  const forms = new Map<number, readonly PrepackedForm[]>()
  const target = join(job.directory, job.target)
  let { bytes, file } = job
  try {
    for (const matrices of together(packed)) {
      const made = await prepackWeights(engine, { ...job, bytes, file, graph: matrixGraph(matrices) })
      for (const [offset, own] of made) forms.set(offset, own)
      for (const folded of await foldOffsets(engine, withForms(matrices, forms), job)) {
        forms.set(folded.quants.offset, folded.quants.prepacked ?? [])
        forms.delete(folded.offsets.offset)
      }
      // The next ones come behind these.
      file = job.target
      bytes = (await stat(target)).size
    }
  } catch (error) {
    if (job.target === job.file) await truncate(target, job.bytes)
    else await rm(target, { force: true })
    throw error
  }
  return withForms(packed, forms)
}

function withForms<T>(packed: T, forms: ReadonlyMap<number, readonly PrepackedForm[]>): T {
  return eachTensor(packed, (tensor) => {
    const own = forms.get(tensor.offset)
    return own === undefined ? tensor : { ...tensor, prepacked: own }
  })
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
