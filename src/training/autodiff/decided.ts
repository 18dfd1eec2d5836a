/** Branches and turns that these inputs decide, for a graph that is run for them alone. */
import { freshNames, NO_ENTRIES } from '../../onnx/index.ts'
import type { AnyTensor, GraphForm, Model, Node, Tensor, TensorValue } from '../../onnx/index.ts'

/** Runs a model for the values of these names. */
export type Evaluate = (model: Model, names: readonly string[]) => Promise<Readonly<Record<string, AnyTensor>>>

/** The condition of an If, where the graph makes it: the model says the value of it, or the caller does. */
const conditionOf = ({ domain, opType, inputs }: Node): string | undefined =>
  domain === '' && opType === 'If' ? inputs[0] : undefined

/**
 * The model with constants for what decides its branches and turns: a loop that may end early turns as often as it does for
 * these inputs. Those inside subgraphs stay as they are.
 * @param evaluate asked once, and only where the graph has such nodes
 */
export async function decided(model: Model, evaluate: Evaluate): Promise<Model> {
  const { graph } = model
  const made = new Set(graph.nodes.flatMap(({ outputs }) => outputs))
  const fresh = freshNames(graph)
  const counted = new Map(
    graph.nodes.filter((node) => isOpenLoop(node, made)).map((node) => [node, withTurns(node, fresh)]),
  )
  const conditions = graph.nodes.flatMap((node) => conditionOf(node) ?? []).filter((name) => made.has(name))
  const names = [...new Set(conditions), ...[...counted.values()].map(({ turns }) => turns)]
  if (names.length === 0) return model
  const asked = graph.nodes.map((node) => counted.get(node)?.node ?? node)
  const values = await evaluate({ ...model, graph: { ...graph, nodes: asked } }, names)
  const added = new Map<string, TensorValue>()
  const constant = (name: string, value: Tensor): string => {
    const own = fresh(`${name}/decided`)
    added.set(own, constantOf(own, value))
    return own
  }
  const chosen = new Map<string, string>()
  const nodes = graph.nodes.map((node) => {
    const loop = counted.get(node)
    if (loop !== undefined) {
      const turns = BigInt(values[loop.turns]!.data.length)
      const [count, begins] = [scalar('int64', BigInt64Array.of(turns)), scalar('bool', Uint8Array.of(1))]
      return forTurns(node, fresh, [constant(loop.turns, count), constant(loop.turns, begins)])
    }
    const condition = conditionOf(node)
    if (condition === undefined || values[condition] === undefined) return node
    const name = chosen.get(condition) ?? constant(condition, values[condition] as Tensor)
    chosen.set(condition, name)
    return { ...node, inputs: [name] }
  })
  return { ...model, graph: { ...graph, nodes, initializers: new Map([...graph.initializers, ...added]) } }
}

/** What hands a condition on, or says it once and for all. */
const PLAIN: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Constant'])

/** Whether how often it turns is known only when the graph runs. */
function isOpenLoop(node: Node, made: ReadonlySet<string>): boolean {
  const body = bodyOf(node)
  if (node.domain !== '' || node.opType !== 'Loop' || body === undefined) return false
  const maker = body.nodes.find(({ outputs }) => outputs.includes(body.outputs[0]?.name ?? ''))
  const [count = '', begins = ''] = node.inputs
  return count === '' || made.has(count) || made.has(begins) || (maker !== undefined && !PLAIN.has(maker.opType))
}

function bodyOf({ attributes }: Node): GraphForm | undefined {
  const body = attributes.get('body')
  return body?.kind === 'graph' && body.value.inputs.length >= 2 ? body.value : undefined
}

/** The loop that also collects the number of each turn: as many as there were. */
function withTurns(node: Node, fresh: (base: string) => string): { readonly node: Node; readonly turns: string } {
  const body = bodyOf(node)!
  const [turn, turns] = [fresh('turn'), fresh(`${node.outputs[0] ?? 'loop'}/turns`)]
  const told = { name: turn, type: { kind: 'tensor', type: 'int64', shape: [] } } as const
  const counting = {
    ...body,
    nodes: [...body.nodes, identity(node, body.inputs[0]!.name, turn)],
    outputs: [...body.outputs, told],
  }
  const outputs = body.outputs.slice(1).map((_, index) => node.outputs[index] || fresh('unread'))
  return { node: withBody({ ...node, outputs: [...outputs, turns] }, counting), turns }
}

/** So many turns, whatever its condition says. @param first number of turns, and that it begins */
function forTurns(node: Node, fresh: (base: string) => string, first: readonly [string, string]): Node {
  const body = bodyOf(node)!
  const goesOn = { ...body.outputs[0]!, name: fresh('goes_on') }
  const kept = identity(node, body.inputs[1]!.name, goesOn.name)
  const changed = { ...body, nodes: [...body.nodes, kept], outputs: [goesOn, ...body.outputs.slice(1)] }
  return withBody({ ...node, inputs: [...first, ...node.inputs.slice(2)] }, changed)
}

function identity(like: Node, input: string, output: string): Node {
  return { ...like, name: '', opType: 'Identity', inputs: [input], outputs: [output], attributes: NO_ENTRIES }
}

function withBody(node: Node, body: GraphForm): Node {
  return { ...node, attributes: new Map([...node.attributes, ['body', { kind: 'graph', value: body }]]) }
}

function scalar(type: 'int64' | 'bool', data: BigInt64Array<ArrayBuffer> | Uint8Array<ArrayBuffer>): Tensor {
  return { type, dims: [], data }
}

function constantOf(name: string, { type, dims, data }: Tensor): TensorValue {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()
  return { name, type, dims, data: { kind: 'bytes', bytes } }
}
