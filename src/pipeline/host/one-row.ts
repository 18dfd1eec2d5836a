/**
 * Whether kernels give a row the same bits alone as in company. Some do on one processor and not on another (the 4-bit
 * kernel of AVX2 does not, that of AVX512-VNNI does), so it is tried with the weights at hand.
 */
import { floatsToHalves } from '../../models/index.ts'
import type { BoundaryType } from '../../models/index.ts'
import type { Tensor } from '../../onnx/index.ts'

/** A row between -1 and 1 in the boundary's type, the same for the same seed, with no two elements alike. */
export function trialRow(width: number, boundary: BoundaryType, seed: number): Uint8Array {
  const row = Float32Array.from({ length: width }, (_, index) => Math.sin(seed * 1000 + index * 1.7))
  const typed = boundary === 'f16' ? floatsToHalves(row) : row
  return new Uint8Array(typed.buffer)
}

/** Compares what leaves a graph for its first row; `two` may have a second one behind it. */
export function sameBits(one: Readonly<Record<string, Tensor>>, two: Readonly<Record<string, Tensor>>): boolean {
  return Object.entries(one).every(([name, tensor]) => {
    const [a, b] = [bytesOf(tensor), bytesOf(two[name]!)]
    return a.equals(b.subarray(0, a.length))
  })
}

function bytesOf({ data }: Tensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}
