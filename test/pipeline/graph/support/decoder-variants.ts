/** The same decoder as exporters write it in other ways: in float16, and with a branch for the first step. */
import type { Model, Node, TensorValue, ValueInfo, ValueType } from '../../../../src/onnx/ir/index.ts'
import { graph, model, node, tensorType } from '../../../onnx/cut/support/build.ts'

/** Beyond it a float16 is infinite. */
const LARGEST_HALF = 65_504

function half(type: ValueType | null): ValueType {
  return type?.kind === 'tensor' ? { ...type, type: type.type === 'float32' ? 'float16' : type.type } : type!
}

function halved(tensor: TensorValue): TensorValue {
  if (tensor.type !== 'float32' || tensor.data.kind !== 'bytes') return tensor
  const { buffer, byteOffset, byteLength } = tensor.data.bytes
  const values = new Float32Array(buffer, byteOffset, byteLength / 4)
  const clipped = values.map((value) => Math.max(-LARGEST_HALF, Math.min(LARGEST_HALF, value)))
  const bytes = new Uint8Array(new Float16Array(clipped).buffer)
  return { ...tensor, type: 'float16', data: { kind: 'bytes', bytes } }
}

function record(
  values: readonly ValueInfo[],
  change: (type: ValueType | null) => ValueType,
): Record<string, ValueType> {
  return Object.fromEntries(values.map(({ name, type }) => [name, change(type)]))
}

/** What exporters leave in float32: the square mean of a norm, up to its root, and softmax. */
function inFloat(each: Node): readonly Node[] {
  const { opType, inputs, outputs } = each
  const [input, output] = [inputs[0]!, outputs[0]!]
  const before = { ...each, inputs: inputs.map((name) => (name === input ? `${input}/float` : name)) }
  const cast = node('Cast', [input], [`${input}/float`], { to: 1 })
  const back = node('Cast', [`${output}/float`], [output], { to: 10 })
  if (opType === 'Mul' && input === inputs[1]) return [cast, before]
  if (opType === 'Sqrt') return [{ ...each, outputs: [`${output}/float`] }, back]
  if (opType === 'Softmax') return [cast, { ...before, outputs: [`${output}/float`] }, back]
  return [each]
}

/** Weights, activations, caches and logits in float16. @param epsilon name of the constant that norms add in float32 */
export function inHalf({ graph: own }: Model, epsilon = 'f0.00001'): Model {
  const initializers = [...own.initializers.values()].map((each) => (each.name === epsilon ? each : halved(each)))
  const nodes = own.nodes.flatMap(inFloat)
  return model({ nodes, inputs: record(own.inputs, half), outputs: record(own.outputs, half), initializers })
}

/** An `If` on `use_cache_branch`: one branch as it is, and one that does not read the past. */
export function merged({ graph: own }: Model): Model {
  const pasts = new Set(own.inputs.flatMap(({ name }) => (name.startsWith('past_key_values.') ? [name] : [])))
  const fresh = own.nodes.map((each): Node => {
    if (each.opType !== 'Concat' || !pasts.has(each.inputs[0]!)) return each
    return node('Identity', [each.inputs[1]!], each.outputs)
  })
  const outputs = record(own.outputs, (type) => type!)
  const branch = (nodes: readonly Node[], prefix: string): ReturnType<typeof graph> => {
    const inner = new Set(nodes.flatMap((each) => each.outputs))
    const renamed = (name: string): string => (inner.has(name) ? `${prefix}${name}` : name)
    return graph({
      nodes: nodes.map((each) => ({
        ...each,
        name: `${prefix}${each.name}`,
        inputs: each.inputs.map(renamed),
        outputs: each.outputs.map(renamed),
      })),
      outputs: Object.fromEntries(Object.entries(outputs).map(([name, type]) => [renamed(name), type])),
    })
  }
  const branches = { then_branch: branch(own.nodes, 'then/'), else_branch: branch(fresh, 'else/') }
  return model({
    nodes: [node('If', ['use_cache_branch'], Object.keys(outputs), branches)],
    inputs: { ...record(own.inputs, (type) => type!), use_cache_branch: tensorType('bool', [1]) },
    outputs,
    initializers: [...own.initializers.values()],
  })
}
