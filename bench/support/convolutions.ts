/** A convolutional net that needs no download, and inputs for it and its like. */
import { GraphBuilder } from '../../src/onnx/index.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'
import type { GraphPipeline, Tensors } from '../../src/pipeline/index.ts'

const CHANNELS = 48
const SIDE = 64
const LAYERS = 9

/** The axis of frames: in front, one that the model has not. */
export const FRAMES = 0

/** Nine convolutions of 3 by 3 over 48 channels, ReLU behind each: 1.4 GFLOP a row, 0.8 MB between two. */
export function convolutions(): Uint8Array {
  const builder = new GraphBuilder()
  const weight = (name: string, inputs: number): string => {
    const values = Float32Array.from(
      { length: CHANNELS * inputs * 9 },
      (_, index) => Math.sin(index * 12.9898) / inputs,
    )
    return builder.constant(name, 'f32', [CHANNELS, inputs, 3, 3], values)
  }
  let x = builder.input('images', 'f32', ['batch', 3, SIDE, SIDE])
  for (let layer = 0; layer < LAYERS; layer++) {
    const wide = layer === 0 ? 3 : CHANNELS
    const sums = builder.node('Conv', [x, weight(`w${layer}`, wide)], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })
    const outputs = layer === LAYERS - 1 ? { outputs: ['features'] } : {}
    x = builder.node('Relu', [sums], {}, outputs)
  }
  builder.output(x, 'f32', ['batch', CHANNELS, SIDE, SIDE])
  return builder.finish('bench')
}

/** Numbers for all inputs: a batch of `units` rows, or so many frames of one row. */
export function inputsOf({ prepared }: GraphPipeline, units: number, frames: boolean): Tensors {
  return new Map(
    prepared.graph.inputs.map(({ name, type, shape }): [string, AnyTensor] => {
      if (type !== 'float32' || shape === null) throw new Error(`${name} is not a tensor of float32 with a shape`)
      const row = shape.map((size, axis) => (axis === 0 ? 1 : Number(size)))
      const dims = frames ? [units, ...row] : row.with(0, units)
      const length = dims.reduce((product, size) => product * size, 1)
      return [name, { type, dims, data: Float32Array.from({ length }, (_, index) => (index % 255) / 255) }]
    }),
  )
}
