/** Which formats the blocks of a model may have, and what is to be measured of them. */
import { isFloatType, makeBlock } from '../models/index.ts'
import type { Block, ModelManifest, WeightFormat } from '../models/index.ts'
import type { Candidate } from '../pipeline/index.ts'

/** Its matrices are of more precision than the kernels hold; the norms always are, and stay. */
export function isFloatBlock({ kind, tensors }: Block): boolean {
  return kind !== 'embedding' && tensors.some(({ type, shape }) => shape.length === 2 && isFloatType(type))
}

/** The candidates of each block: all that may be chosen, or the one that was asked for. */
export function candidatesOf(manifest: ModelManifest, asked: WeightFormat): (readonly Candidate[])[] {
  const mean = meanMemory(manifest)
  return manifest.blocks.map((block) => {
    if (block.kind === 'embedding') return []
    return formatsOf(block, asked)
      .map((weights) => ({ weights, memory: memoryOf(manifest, block, weights) / mean }))
      .sort((a, b) => a.memory - b.memory)
  })
}

/** From the most exact one, so that of two that take the same memory it comes first. */
function formatsOf(block: Block, asked: WeightFormat): readonly WeightFormat[] {
  if (asked !== 'auto') return [asked]
  if (!isFloatBlock(block)) return ['auto']
  const types = block.tensors.filter(({ shape }) => shape.length === 2).map(({ type }) => type)
  // Beside quantised matrices, which `auto` keeps as they are, it holds half-precision ones in 8-bit blocks.
  const eight = types.every(isFloatType) || types.includes('F32') ? 'q8' : 'auto'
  return ['f32', eight, 'int8', 'q4']
}

/** Bytes of the layers and the head, were they all held so. */
export function totalMemory(manifest: ModelManifest, weights?: WeightFormat): number {
  return manifest.blocks.reduce((sum, block) => sum + memoryOf(manifest, block, weights ?? block.weights), 0)
}

function memoryOf({ shape }: ModelManifest, { kind, tensors }: Block, weights: WeightFormat): number {
  return makeBlock(kind, tensors, weights, shape).memory
}

/** Of a layer in float32: the unit of memory, so that prices mean the same in models of all sizes. */
function meanMemory(manifest: ModelManifest): number {
  const layers = manifest.blocks.slice(1, -1)
  return layers.reduce((sum, block) => sum + memoryOf(manifest, block, 'f32'), 0) / layers.length
}
