/** Small models for images. */
import type { ActivationName, Layers } from './layers.ts'
import type { ModelInput } from './types.ts'

/** Blocks of convolution 3x3, activation and maximum over 2x2, then dense layers. */
export function cnn(
  layers: Layers,
  { name, dims }: ModelInput,
  outputs: number,
  options: {
    readonly channels?: readonly number[]
    readonly hidden?: readonly number[]
    readonly activation?: ActivationName
  },
): string {
  const { channels = [16, 32], hidden = [64], activation = 'relu' } = options
  const { maker } = layers
  let [from, height, width] = dims as [number, number, number]
  let value = name
  for (const [index, to] of channels.entries()) {
    value = layers.conv(`conv${index}`, value, from, to, { activation })
    value = maker.op('MaxPool', [value], { kernel_shape: [2, 2], strides: [2, 2] })
    from = to
    height >>= 1
    width >>= 1
  }
  value = maker.op('Flatten', [value], { axis: 1 })
  let size = from * height * width
  for (const [index, to] of hidden.entries()) {
    value = layers.dense(`dense${index}`, value, size, to, { activation })
    size = to
  }
  return layers.dense(`dense${hidden.length}`, value, size, outputs)
}
