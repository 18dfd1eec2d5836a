/** What an ONNX file says of itself, without a weight being read: the blocks that its manifest will have, and their costs. */
import { checkModel, factsOf, inlineFunctions, readModel } from '../../onnx/index.ts'
import type { PlannedValue } from '../../onnx/index.ts'
import { blockCosts, numberedBlocks } from './block-costs.ts'
import { inputsOf, licenseOf, plannedValue } from './ends.ts'
import { recogniseText } from './recognise-text.ts'
import { lengthOf, weightsOf } from './skeleton.ts'

/** JSON-safe. */
export interface GraphOutline {
  readonly kind: 'graph'
  readonly license: string
  /** Version of each set of operators, by its domain. */
  readonly opsets: Readonly<Record<string, number>>
  readonly nodes: number
  readonly inputs: readonly PlannedValue[]
  readonly outputs: readonly PlannedValue[]
  /** What it reads text as; a folder with its tokenizer is needed for that. */
  readonly text: 'encoder' | 'decoder' | null
  /** Of all weights, those that several blocks share once. */
  readonly bytes: number
  readonly blocks: readonly GraphOutlineBlock[]
}

export interface GraphOutlineBlock {
  /** Number of its weights. */
  readonly tensors: number
  readonly bytes: number
  readonly flops: number
  readonly boundary_bytes: number
}

/** @throws what reading and checking a file throw */
export async function outlineGraph(path: string): Promise<GraphOutline> {
  const model = inlineFunctions(checkModel(await readModel(path)))
  const facts = factsOf(model)
  const { nodes, outputs } = model.graph
  const weights = new Map(weightsOf(model).map(({ name, data }) => [name, lengthOf(data)]))
  const bytesOf = (names: Iterable<string>): number =>
    [...names].reduce((sum, name) => sum + (weights.get(name) ?? 0), 0)
  const ends = { inputs: inputsOf(model).map(plannedValue), outputs: outputs.map(plannedValue) }
  return {
    kind: 'graph',
    license: licenseOf(model),
    opsets: Object.fromEntries([...model.opsets].map(([domain, version]) => [domain || 'ai.onnx', version])),
    nodes: nodes.length,
    ...ends,
    text: recogniseText(ends)?.kind ?? null,
    bytes: bytesOf(weights.keys()),
    blocks: blockCosts(model, facts, numberedBlocks(model, facts)).map(
      ({ initializers: own, flops, boundaryBytes }): GraphOutlineBlock => ({
        tensors: [...own].filter((name) => weights.has(name)).length,
        bytes: bytesOf(own),
        flops,
        boundary_bytes: boundaryBytes,
      }),
    ),
  }
}
