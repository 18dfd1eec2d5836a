/** To fewer bits and back. */
import { tensor } from '../call.ts'
import type { Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'
import { concatenated } from './shaping.ts'
import { dataTypeOf } from './types.ts'

/** The zero point's type, else the one that is named (opset 21), else uint8. */
const quantize: Rule = (call) => {
  const named = call.int('output_dtype', 0)
  return [tensor(call.given(2) ? call.type(2) : named === 0 ? 'uint8' : dataTypeOf(named), call.shape(0))]
}

const dequantize: Rule = (call) => {
  const named = call.int('output_dtype', 0)
  return [tensor(named === 0 ? call.type(1) : dataTypeOf(named), call.shape(0))]
}

const dynamicQuantize: Rule = (call) => [tensor('uint8', call.shape(0)), tensor('float32', []), tensor('uint8', [])]

/** (scale, zero point) of the output, then (tensor, scale, zero point) of each input. */
const quantizedConcat: Rule = (call) => {
  const inputs = call.node.inputs.map((_, input) => input).filter((input) => input >= 2 && input % 3 === 2)
  return [concatenated(call, inputs, call.int('axis', 0))]
}

export const QUANTIZATION: readonly Family[] = [
  { operators: 'QuantizeLinear', rule: quantize },
  { operators: 'DequantizeLinear', rule: dequantize },
  { operators: 'DynamicQuantizeLinear', rule: dynamicQuantize },
  { domain: MICROSOFT, operators: 'QuantizeLinear', rule: quantize },
  { domain: MICROSOFT, operators: 'DequantizeLinear', rule: dequantize },
  { domain: MICROSOFT, operators: 'QLinearConcat', rule: quantizedConcat },
]
