/** The storage types of GGUF tensors: how many elements a block of each has, and in how many bytes. */
import type { SourceType } from '../manifest.ts'

export interface SourceTypeInfo {
  /** Elements of a block; a row is a whole number of blocks. */
  readonly block: number
  /** Bytes of a block. */
  readonly bytes: number
  /** `enum ggml_type`. */
  readonly ggmlId: number
}

/** Sizes from ggml-common.h (block_q4_0 ... block_q6_K). */
export const SOURCE_TYPES: Readonly<Record<SourceType, SourceTypeInfo>> = {
  F32: { block: 1, bytes: 4, ggmlId: 0 },
  F16: { block: 1, bytes: 2, ggmlId: 1 },
  Q4_0: { block: 32, bytes: 18, ggmlId: 2 },
  Q4_1: { block: 32, bytes: 20, ggmlId: 3 },
  Q5_0: { block: 32, bytes: 22, ggmlId: 6 },
  Q5_1: { block: 32, bytes: 24, ggmlId: 7 },
  Q8_0: { block: 32, bytes: 34, ggmlId: 8 },
  Q2_K: { block: 256, bytes: 84, ggmlId: 10 },
  Q3_K: { block: 256, bytes: 110, ggmlId: 11 },
  Q4_K: { block: 256, bytes: 144, ggmlId: 12 },
  Q5_K: { block: 256, bytes: 176, ggmlId: 13 },
  Q6_K: { block: 256, bytes: 210, ggmlId: 14 },
  BF16: { block: 1, bytes: 2, ggmlId: 30 },
}

/** Types without blocks: plain numbers. */
export type FloatType = 'F32' | 'F16' | 'BF16'
export type QuantizedType = Exclude<SourceType, FloatType>

export function isFloatType(type: SourceType): type is FloatType {
  return type === 'F32' || type === 'F16' || type === 'BF16'
}

/** Bytes of `elements` of a type; the elements must be whole blocks. */
export function sourceBytes(type: SourceType, elements: number): number {
  const { block, bytes } = SOURCE_TYPES[type]
  return (elements / block) * bytes
}
