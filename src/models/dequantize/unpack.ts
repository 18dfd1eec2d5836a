/** Quantised tensors as integers and scales, without rounding anything: what the weight packer starts from. */
import { TensorBytesError } from '../errors.ts'
import type { SourceType } from '../manifest.ts'
import type { BlockDecoder, DecodedBlocks } from './decoder.ts'
import { K_BLOCKS } from './k-blocks.ts'
import { SIMPLE_BLOCKS } from './simple-blocks.ts'
import { isFloatType, SOURCE_TYPES } from './types.ts'
import type { QuantizedType } from './types.ts'

export const BLOCK_DECODERS: Readonly<Record<QuantizedType, BlockDecoder>> = { ...SIMPLE_BLOCKS, ...K_BLOCKS }

/** w[r, c] = scales[g] * (quants[r, c] - zero) + offsets[g], with g = (r * columns + c) / block. */
export interface BlockQuants {
  readonly bits: 4 | 8
  readonly block: 16 | 32
  /** One unsigned integer an element, row-major [rows, columns]; below 16 where `bits` is 4. */
  readonly quants: Uint8Array
  /** [rows, columns / block] */
  readonly scales: Float32Array
  /** [rows, columns / block], or null for symmetric types. */
  readonly offsets: Float32Array | null
  /** 8 for 4 bits, 128 for 8 bits: the middle, so that a symmetric kernel may leave it implied. */
  readonly zero: number
}

/**
 * The integers of a quantised matrix of [rows, columns]. Offsets are rounded to float32 once; all else is exact.
 * @throws TensorBytesError when the type has no integers, or the bytes are not those of the shape
 */
export function unpackQuants(type: SourceType, bytes: Uint8Array, rows: number, columns: number): BlockQuants {
  if (isFloatType(type)) throw new TensorBytesError(`a ${type} tensor has no integers to unpack`, { type })
  const decoder = BLOCK_DECODERS[type]
  const zero = decoder.bits === 4 ? 8 : 128
  // Affine integers from 0 to 31 are moved as if 16 were their zero, so that they lie around the middle of a byte.
  const middle = decoder.affine ? (decoder.bits === 4 ? 8 : 16) : decoder.zero
  if (columns % SOURCE_TYPES[type].block !== 0) {
    throw new TensorBytesError(`rows of ${columns} elements are not whole blocks of ${type}`, { type, columns })
  }
  const decoded = decodeBlocks(type, bytes, rows * columns, zero - middle)
  if (decoder.affine) {
    const { minima, scales } = decoded
    for (let group = 0; group < minima.length; group++) minima[group] = minima[group]! + middle * scales[group]!
  }
  return {
    bits: decoder.bits,
    block: decoder.group,
    quants: decoded.quants,
    scales: decoded.scales,
    offsets: decoder.affine ? decoded.minima : null,
    zero,
  }
}

/** Decodes all blocks of a tensor. @throws TensorBytesError */
export function decodeBlocks(type: QuantizedType, bytes: Uint8Array, elements: number, rebase: number): DecodedBlocks {
  const { block, bytes: blockBytes } = SOURCE_TYPES[type]
  const blocks = elements / block
  if (elements % block !== 0 || bytes.length !== blocks * blockBytes) {
    throw new TensorBytesError(`${bytes.length} bytes are not ${elements} elements of ${type}`, {
      type,
      elements,
      bytes: bytes.length,
    })
  }
  const decoder = BLOCK_DECODERS[type]
  const groups = elements / decoder.group
  const out = {
    quants: new Uint8Array(elements),
    scales: new Float32Array(groups),
    minima: new Float32Array(decoder.affine ? groups : 0),
  }
  decoder.decode(bytes, blocks, rebase, out)
  return out
}
