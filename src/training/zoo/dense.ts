/** Models of dense layers. */
import type { ActivationName, Layers } from './layers.ts'
import type { ModelInput } from './types.ts'

/** One dense layer: logistic, softmax, linear and Cox regression. */
export function linear(layers: Layers, { name, dims }: ModelInput, outputs: number, bias: boolean): string {
  return layers.dense('dense0', name, dims[0]!, outputs, { bias })
}

/** Dense layers with an activation after each but the last. */
export function mlp(
  layers: Layers,
  { name, dims }: ModelInput,
  outputs: number,
  options: { readonly hidden: readonly number[]; readonly activation?: ActivationName; readonly bias?: boolean },
): string {
  const { hidden, activation = 'relu', bias = true } = options
  let [value, width] = [name, dims[0]!]
  for (const [index, size] of hidden.entries()) {
    value = layers.dense(`dense${index}`, value, width, size, { activation })
    width = size
  }
  return layers.dense(`dense${hidden.length}`, value, width, outputs, { bias })
}

/** Down through the sizes to the smallest and up again the same way; the input comes out. */
export function autoencoder(
  layers: Layers,
  { name, dims }: ModelInput,
  options: { readonly hidden: readonly number[]; readonly activation?: ActivationName },
): string {
  const up = options.hidden.slice(0, -1).toReversed()
  return mlp(layers, { name, dims }, dims[0]!, { ...options, hidden: [...options.hidden, ...up] })
}
