/** Branches and turns that these inputs decide, for a graph that is run for them alone. */
import { freshNames } from '../../onnx/index.ts'
import type { AnyTensor, Model, Node, Tensor, TensorValue } from '../../onnx/index.ts'

/** Runs a model for the values of these names. */
export type Evaluate = (model: Model, names: readonly string[]) => Promise<Readonly<Record<string, AnyTensor>>>

/** Inputs that decide: the condition of an If, the number of turns of a Loop and whether it begins. */
const DECIDING: Readonly<Record<string, number>> = { If: 1, Loop: 2 }

/**
 * The model with constants for what decides its branches and turns. Those inside subgraphs stay as they are.
 * @param evaluate asked once, and only where the graph has such nodes
 */
export async function decided(model: Model, evaluate: Evaluate): Promise<Model> {
  const made = new Set(model.graph.nodes.flatMap(({ outputs }) => outputs))
  const deciding = ({ domain, opType, inputs }: Node): readonly string[] =>
    domain === '' ? inputs.slice(0, DECIDING[opType] ?? 0).filter((name) => made.has(name)) : []
  const names = [...new Set(model.graph.nodes.flatMap(deciding))]
  if (names.length === 0) return model
  const values = await evaluate(model, names)
  const fresh = freshNames(model.graph)
  const constants = new Map(names.map((name) => [name, constantOf(fresh(`${name}/decided`), values[name] as Tensor)]))
  const nodes = model.graph.nodes.map((node) => {
    if (deciding(node).length === 0) return node
    const count = DECIDING[node.opType]!
    return { ...node, inputs: node.inputs.map((name, at) => (at < count ? (constants.get(name)?.name ?? name) : name)) }
  })
  const added = [...constants.values()].map((constant): [string, TensorValue] => [constant.name, constant])
  return { ...model, graph: { ...model.graph, nodes, initializers: new Map([...model.graph.initializers, ...added]) } }
}

function constantOf(name: string, { type, dims, data }: Tensor): TensorValue {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()
  return { name, type, dims, data: { kind: 'bytes', bytes } }
}
