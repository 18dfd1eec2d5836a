/** An adapter as a run trains it, and as files have it. */
import { partSize, placesOf } from '../../models/index.ts'
import type { Adapter, DecoderShape, LowRankAdapter } from '../../models/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import type { Tensors } from '../loop/stepper.ts'
import { formOf, parameterName, PROMPT } from './form.ts'
import type { AdapterSpec } from './form.ts'

/** As files have it. */
export function asAdapter(spec: AdapterSpec, parameters: Tensors): Adapter {
  const values = (tensor: Tensor | undefined): Float32Array => tensor!.data as Float32Array
  if (spec.kind === 'prompt') return { kind: 'prompt', tokens: spec.tokens, rows: values(parameters[PROMPT]) }
  const { rank, alpha } = spec
  const { parts } = formOf(spec)
  const value: LowRankAdapter['value'] = (layer, part, factor) =>
    values(parameters[parameterName(layer + 1, part, factor)])
  return { kind: 'lora', rank, alpha, parts, value }
}

/** What the file has counts, whatever the plan said. */
export function specOf(adapter: Adapter): AdapterSpec {
  if (adapter.kind === 'prompt') return { kind: 'prompt', tokens: adapter.tokens }
  const { rank, alpha, parts } = adapter
  return { kind: 'lora', rank, alpha, targets: parts }
}

/** As a run trains it. */
export function parametersFrom(shape: DecoderShape, adapter: Adapter): Tensors {
  if (adapter.kind === 'prompt') {
    const { tokens, rows } = adapter
    return { [PROMPT]: { type: 'float32', dims: [tokens, shape.width], data: rows } }
  }
  const { rank, parts } = adapter
  const entries = placesOf(parts, 0, shape.layers).map(({ layer, part, factor }): [string, Tensor] => {
    const { inputs, outputs } = partSize(shape, part)
    const dims = factor === 'a' ? [rank, inputs] : [outputs, rank]
    return [parameterName(layer + 1, part, factor), { type: 'float32', dims, data: adapter.value(layer, part, factor) }]
  })
  return Object.fromEntries(entries)
}
