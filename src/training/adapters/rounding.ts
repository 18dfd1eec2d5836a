/**
 * Gradients in a quarter of their bytes: whole numbers of a byte, with a scale for each few hundred of them. What rounding takes
 * away from a step is added to the next one (error feedback: Seide et al., Interspeech 2014; Karimireddy et al.,
 * arXiv 1901.09847), so that nothing is lost for good. Each tensor stands for itself: how blocks are cut changes no bits.
 */
import type { AnyTensor, Tensor } from '../../onnx/index.ts'
import type { Tensors } from '../loop/stepper.ts'

export type GradientForm = 'float32' | 'int8'

/** Values of one scale: 4 bytes beside 256. */
const BLOCK = 256
const LARGEST = 127

const scalesOf = (name: string): string => `${name}/scales`

export class GradientRounding {
  /** By name, what has not been told yet. */
  readonly #left = new Map<string, Float32Array>()

  /** @param whole nothing is rounded, and nothing left: what was goes along */
  rounded(gradients: Tensors, whole: boolean): Tensors {
    const told: Record<string, Tensor> = {}
    for (const [name, { dims, data }] of Object.entries(gradients)) {
      const left = this.#left.get(name)
      const values = (data as Float32Array).map((value, at) => value + (left?.[at] ?? 0))
      this.#left.delete(name)
      const { bytes, scales } = roundedValues(values)
      // What is not finite cannot be rounded, and has to be seen.
      if (whole || !scales.every(Number.isFinite)) {
        told[name] = { type: 'float32', dims, data: values }
        continue
      }
      for (let at = 0; at < values.length; at++) {
        values[at] = values[at]! - bytes[at]! * scales[Math.floor(at / BLOCK)]!
      }
      this.#left.set(name, values)
      told[name] = { type: 'int8', dims, data: bytes }
      told[scalesOf(name)] = { type: 'float32', dims: [scales.length], data: scales }
    }
    return told
  }
}

function roundedValues(values: Float32Array): { readonly bytes: Int8Array; readonly scales: Float32Array } {
  const scales = new Float32Array(Math.ceil(values.length / BLOCK))
  const bytes = new Int8Array(values.length)
  for (let block = 0; block < scales.length; block++) {
    const [from, to] = [block * BLOCK, Math.min(values.length, (block + 1) * BLOCK)]
    let most = 0
    // Not Math.max alone: NaN has to come through.
    for (let at = from; at < to; at++) most = Math.max(most, Math.abs(values[at]!))
    scales[block] = most / LARGEST
    const scale = scales[block]!
    if (scale === 0 || !Number.isFinite(scale)) continue
    for (let at = from; at < to; at++) {
      bytes[at] = Math.max(-LARGEST, Math.min(LARGEST, Math.round(values[at]! / scale)))
    }
  }
  return { bytes, scales }
}

/** A gradient as it was told, whether rounded or whole; undefined: it is none of this shape. */
export function unrounded(
  told: ReadonlyMap<string, AnyTensor>,
  name: string,
  dims: readonly number[],
): Tensor | undefined {
  const tensor = told.get(name)
  if (tensor === undefined || tensor.dims.join() !== dims.join()) return undefined
  if (tensor.type === 'float32') return tensor
  const scales = told.get(scalesOf(name))
  if (tensor.type !== 'int8' || scales?.type !== 'float32') return undefined
  const [bytes, by] = [tensor.data as Int8Array, scales.data as Float32Array]
  if (by.length !== Math.ceil(bytes.length / BLOCK) || !by.every(Number.isFinite)) return undefined
  const data = Float32Array.from(bytes, (byte, at) => byte * by[Math.floor(at / BLOCK)]!)
  return { type: 'float32', dims, data }
}
