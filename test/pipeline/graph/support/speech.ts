/** 16 kHz speech as GTCRN takes it: frames of 512 samples every 256 under the root of a Hann window, and back. */
import type { AnyTensor } from '../../../../src/onnx/index.ts'

const FRAME = 512
const HOP = 256
const BINS = FRAME / 2 + 1

const WINDOW = Float64Array.from({ length: FRAME }, (_, at) =>
  Math.sqrt(0.5 - 0.5 * Math.cos((2 * Math.PI * at) / FRAME)),
)
const COS = Float64Array.from({ length: FRAME }, (_, at) => Math.cos((2 * Math.PI * at) / FRAME))
const SIN = Float64Array.from({ length: FRAME }, (_, at) => Math.sin((2 * Math.PI * at) / FRAME))

/** Of a WAV file of 16 bits, one channel and the plain header of 44 bytes. */
export function samplesOf(wav: Buffer): Float32Array {
  return Float32Array.from({ length: (wav.length - 44) >> 1 }, (_, at) => wav.readInt16LE(44 + 2 * at) / 32_768)
}

/** [frames, 1, 257, 1, 2]; the signal is mirrored at its ends by half a frame. */
export function spectra(samples: Float32Array): AnyTensor {
  const count = 1 + Math.floor(samples.length / HOP)
  const at = (index: number): number => samples[Math.abs(index)] ?? samples[2 * samples.length - 2 - index] ?? 0
  const data = new Float32Array(count * BINS * 2)
  for (let frame = 0; frame < count; frame++) {
    const windowed = Float64Array.from({ length: FRAME }, (_, n) => WINDOW[n]! * at(frame * HOP + n - HOP))
    for (let bin = 0; bin < BINS; bin++) {
      let [real, imaginary] = [0, 0]
      for (let n = 0; n < FRAME; n++) {
        const angle = (bin * n) % FRAME
        real += windowed[n]! * COS[angle]!
        imaginary -= windowed[n]! * SIN[angle]!
      }
      data.set([real, imaginary], 2 * (frame * BINS + bin))
    }
  }
  return { type: 'float32', dims: [count, 1, BINS, 1, 2], data }
}

/** Overlapped and added; two windows of neighbours add up to 1. */
export function waveOf(spectrum: AnyTensor): Float64Array {
  const [count] = spectrum.dims as [number]
  const data = spectrum.data as Float32Array
  const wave = new Float64Array((count + 1) * HOP)
  for (let frame = 0; frame < count; frame++) {
    for (let n = 0; n < FRAME; n++) {
      let sum = 0
      for (let bin = 0; bin < BINS; bin++) {
        const angle = (bin * n) % FRAME
        const [real, imaginary] = [data[2 * (frame * BINS + bin)]!, data[2 * (frame * BINS + bin) + 1]!]
        const twice = bin === 0 || bin === BINS - 1 ? 1 : 2
        sum += twice * (real * COS[angle]! - imaginary * SIN[angle]!)
      }
      wave[frame * HOP + n]! += (WINDOW[n]! * sum) / FRAME
    }
  }
  return wave.subarray(HOP)
}
