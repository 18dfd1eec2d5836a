/** The discrete Fourier transform in place, radix 2, for lengths that are powers of two. */

/** @param inverse without the division by the length */
export function transform(real: Float64Array, imaginary: Float64Array, inverse = false): void {
  const n = real.length
  reorder(real, imaginary)
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2
    const { cosines, sines } = roots(size, inverse)
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < half; k++) {
        const [even, odd] = [start + k, start + k + half]
        const [c, s] = [cosines[k]!, sines[k]!]
        const re = real[odd]! * c - imaginary[odd]! * s
        const im = real[odd]! * s + imaginary[odd]! * c
        real[odd] = real[even]! - re
        imaginary[odd] = imaginary[even]! - im
        real[even]! += re
        imaginary[even]! += im
      }
    }
  }
}

/** Each computed by itself: a recurrence would lose digits along a million points. */
function roots(size: number, inverse: boolean): { cosines: Float64Array; sines: Float64Array } {
  const angle = ((inverse ? 2 : -2) * Math.PI) / size
  const half = size / 2
  const cosines = new Float64Array(half)
  const sines = new Float64Array(half)
  for (let k = 0; k < half; k++) {
    cosines[k] = Math.cos(angle * k)
    sines[k] = Math.sin(angle * k)
  }
  return { cosines, sines }
}

function reorder(real: Float64Array, imaginary: Float64Array): void {
  const n = real.length
  let mirrored = 0
  for (let index = 1; index < n; index++) {
    let bit = n >> 1
    for (; (mirrored & bit) !== 0; bit >>= 1) mirrored ^= bit
    mirrored |= bit
    if (index >= mirrored) continue
    const [re, im] = [real[index]!, imaginary[index]!]
    real[index] = real[mirrored]!
    imaginary[index] = imaginary[mirrored]!
    real[mirrored] = re
    imaginary[mirrored] = im
  }
}
