/** Sound as GTCRN takes it: spectra of 512 samples every 256, under the root of a Hann window; and back. */
import type { NamedTensors } from '../../src/index.ts'

const SIZE = 512
const HOP = SIZE / 2
const BINS = SIZE / 2 + 1

type Tensor = NamedTensors[string]

const WINDOW = Float64Array.from({ length: SIZE }, (_, at) => Math.sin((Math.PI * at) / SIZE))

/** [frames, 1, 257, 1, 2], real and imaginary; the sound is mirrored at both ends by half a frame. */
export function spectraOf(samples: Float32Array): Tensor {
  const count = 1 + Math.floor(samples.length / HOP)
  const sample = (at: number): number => samples[Math.abs(at)] ?? samples[2 * samples.length - 2 - at] ?? 0
  const data = new Float32Array(count * BINS * 2)
  for (let frame = 0; frame < count; frame++) {
    const real = WINDOW.map((weight, at) => weight * sample((frame - 1) * HOP + at))
    const imaginary = new Float64Array(SIZE)
    transform(real, imaginary)
    for (let bin = 0; bin < BINS; bin++) data.set([real[bin]!, imaginary[bin]!], 2 * (frame * BINS + bin))
  }
  return { type: 'float32', dims: [count, 1, BINS, 1, 2], data }
}

/** What came in meanwhile: a piece of the stream at a time, [length, 1, 257, 1, 2]. */
export function* piecesOf(spectra: Tensor, length: number): Generator<Tensor> {
  const [count, data] = [spectra.dims[0]!, spectra.data as Float32Array]
  for (let from = 0; from < count; from += length) {
    const to = Math.min(from + length, count)
    yield { type: 'float32', dims: [to - from, 1, BINS, 1, 2], data: data.slice(from * BINS * 2, to * BINS * 2) }
  }
}

export function joined(pieces: readonly Tensor[]): Tensor {
  const count = pieces.reduce((sum, { dims }) => sum + dims[0]!, 0)
  const data = new Float32Array(count * BINS * 2)
  let at = 0
  for (const piece of pieces) {
    data.set(piece.data as Float32Array, at)
    at += piece.data.length
  }
  return { type: 'float32', dims: [count, 1, BINS, 1, 2], data }
}

/** Frames overlapped and added: the squares of two neighbouring windows add up to one. */
export function soundOf(spectra: Tensor): Float32Array {
  const [count, data] = [spectra.dims[0]!, spectra.data as Float32Array]
  const sound = new Float32Array((count + 1) * HOP)
  for (let frame = 0; frame < count; frame++) {
    const [real, imaginary] = [new Float64Array(SIZE), new Float64Array(SIZE)]
    for (let bin = 0; bin < SIZE; bin++) {
      // The upper half mirrors the lower one, conjugated; conjugated once more, the transform goes back.
      const from = 2 * (frame * BINS + Math.min(bin, SIZE - bin))
      real[bin] = data[from]!
      imaginary[bin] = bin < BINS ? -data[from + 1]! : data[from + 1]!
    }
    transform(real, imaginary)
    for (let at = 0; at < SIZE; at++) sound[frame * HOP + at]! += (WINDOW[at]! * real[at]!) / SIZE
  }
  return sound.subarray(HOP)
}

/** Fast Fourier transform of 2^n numbers, in place. */
function transform(real: Float64Array, imaginary: Float64Array): void {
  const size = real.length
  for (let at = 1, mirrored = 0; at < size; at++) {
    let bit = size >> 1
    for (; (mirrored & bit) !== 0; bit >>= 1) mirrored ^= bit
    mirrored ^= bit
    if (at >= mirrored) continue
    ;[real[at], real[mirrored]] = [real[mirrored]!, real[at]!]
    ;[imaginary[at], imaginary[mirrored]] = [imaginary[mirrored]!, imaginary[at]!]
  }
  for (let half = 1; half < size; half *= 2) {
    for (let step = 0; step < half; step++) {
      const [cosine, sine] = [Math.cos((Math.PI * step) / half), -Math.sin((Math.PI * step) / half)]
      for (let low = step; low < size; low += 2 * half) {
        const high = low + half
        const turnedReal = real[high]! * cosine - imaginary[high]! * sine
        const turnedImaginary = real[high]! * sine + imaginary[high]! * cosine
        ;[real[high], imaginary[high]] = [real[low]! - turnedReal, imaginary[low]! - turnedImaginary]
        real[low]! += turnedReal
        imaginary[low]! += turnedImaginary
      }
    }
  }
}
