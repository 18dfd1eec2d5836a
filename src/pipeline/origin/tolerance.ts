/** Rows of two different kernels: never the same bits. How far apart they may be. */
import { halvesToFloats } from '../../models/index.ts'
import { DTYPE } from '../../net/index.ts'
import type { DType } from '../../net/index.ts'

/**
 * Largest |a - b| / |b| of a row (Euclidean). Roundings of two processors have nothing in common after a few layers, and make
 * a few percent of a row's length. Zeros, noise, other layers and other sessions are at 0.5 and more; what is nearer than this
 * is not found: a scale of 1.01, or weights of slightly lower precision.
 */
export const TOLERANCE = 0.2

/** The first of `count` rows that are further apart; undefined: none. NaN is never near. */
export function firstFar(one: Uint8Array, other: Uint8Array, dtype: DType, count: number): number | undefined {
  if (one.length !== other.length || count === 0) return 0
  const [a, b] = [floats(one, dtype), floats(other, dtype)]
  const width = a.length / count
  for (let row = 0; row < count; row++) {
    let [distance, length] = [0, 0]
    for (let index = row * width; index < (row + 1) * width; index++) {
      distance += (a[index]! - b[index]!) ** 2
      length += b[index]! ** 2
    }
    if (!(distance <= TOLERANCE ** 2 * length)) return row
  }
  return undefined
}

function floats(bytes: Uint8Array, dtype: DType): Float32Array {
  return dtype === DTYPE.f16 ? halvesToFloats(bytes) : new Float32Array(bytes.slice().buffer)
}
