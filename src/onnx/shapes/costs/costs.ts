/** What each node of a graph costs, subgraphs and functions summed into the node that has them. */
import { nodeReads, subgraphs } from '../../ir/index.ts'
import type { Model, Node, SparseTensorValue, ValueType } from '../../ir/index.ts'
import { dimensionSize } from '../evaluate.ts'
import type { Bind } from '../evaluate.ts'
import type { InferredGraph, InferredScope, InnerScope } from '../types.ts'
import { constantBytes, valueBytes } from './bytes.ts'
import { ELEMENTWISE_FLOPS, FLOPS } from './flops.ts'
import { SizedNode } from './sized.ts'

export interface NodeCost {
  /** Floating-point operations, a multiply-add as two; integer arithmetic counts the same. */
  readonly flops: number
  /**
   * Bytes of all that it reads, weights included; of a table that it picks rows of, those rows. Nothing for what only
   * gives the same bytes another shape (Reshape and the like), nor is anything written then.
   */
  readonly bytesRead: number
  readonly bytesWritten: number
  /**
   * Bytes of initializers that it reads (two nodes that share one have it both), of the tensor of a Constant, and of
   * all that its subgraphs hold or take from around them. A function's Constants count once a call.
   */
  readonly weightBytes: number
}

type Lookup = (name: string) => ValueType | undefined
type Work = Omit<NodeCost, 'weightBytes'>

const FREE: Work = { flops: 0, bytesRead: 0, bytesWritten: 0 }

/** The engine hands the same bytes on. */
const VIEWS = new Set('Constant Dropout Flatten Identity Reshape Shape Size Squeeze Unsqueeze'.split(' '))
/** These read as much as they write, however large the table is. */
const PICKS = new Set('Gather GatherBlockQuantized GatherElements GatherND Slice'.split(' '))

/**
 * Costs in the order of `model.graph.nodes`, free dimensions bound by `bind` (1 each without it). What has no known
 * rank counts nothing. A body that repeats counts as often as is known, else once; of two branches the dearer counts.
 */
export function nodeCosts(model: Model, inferred: InferredGraph, bind?: Bind): NodeCost[] {
  const type: Lookup = (name) => inferred.types.get(name)
  const { sparseInitializers } = model.graph
  return inferred.nodes.map((node, index) => ({
    ...workOf(node, index, inferred, type, bind),
    weightBytes: weightsOf(node, index, inferred, sparseInitializers),
  }))
}

function workOf(node: Node, index: number, scope: InferredScope, type: Lookup, bind: Bind | undefined): Work {
  const inner = scope.inner.get(index)
  if (inner !== undefined) return innerWork(node, inner, type, bind)
  if (node.domain === '' && VIEWS.has(node.opType)) return FREE
  const sized = new SizedNode(node, type, bind)
  const flops = (FLOPS.get(node.domain)?.get(node.opType) ?? ELEMENTWISE_FLOPS)(sized)
  const bytesWritten = bytesOf(node.outputs, type, bind)
  const reads = PICKS.has(node.opType) ? node.inputs.slice(1) : [...nodeReads(node)]
  const bytesRead = bytesOf(reads, type, bind) + (PICKS.has(node.opType) ? bytesWritten : 0)
  return { flops: finite(flops), bytesRead, bytesWritten }
}

function innerWork(node: Node, inner: readonly InnerScope[], type: Lookup, bind: Bind | undefined): Work {
  // The body of a function sees its parameters alone.
  const captures = subgraphs(node).length > 0
  const bodies = inner.map((scope) => {
    const times = scope.times === null ? 1 : Math.max(dimensionSize(scope.times, bind), 0)
    const seen: Lookup = (name) => scope.types.get(name) ?? (captures ? type(name) : undefined)
    const works = scope.nodes.map((each, index) => workOf(each, index, scope, seen, bind))
    return {
      flops: finite(times * sum(works.map((work) => work.flops))),
      bytesRead: finite(times * sum(works.map((work) => work.bytesRead))),
      bytesWritten: finite(times * sum(works.map((work) => work.bytesWritten))),
    }
  })
  if (node.opType !== 'If') return bodies[0] ?? FREE
  return bodies.reduce((dearest, body) => (body.flops > dearest.flops ? body : dearest), FREE)
}

function weightsOf(
  node: Node,
  index: number,
  scope: InferredScope,
  sparse: ReadonlyMap<string, SparseTensorValue>,
): number {
  const held = (scope.inner.get(index) ?? []).map(heldBytes)
  let bytes = constantOf(node) + sum(held)
  for (const name of node.attributes.size === 0 ? new Set(node.inputs) : nodeReads(node)) {
    const initializer = scope.initializers.get(name)
    if (initializer !== undefined) bytes += constantBytes(initializer)
    const thin = sparse.get(name)
    if (thin !== undefined) bytes += constantBytes(thin.values) + constantBytes(thin.indices)
  }
  return finite(bytes)
}

/** All weights inside a body. */
function heldBytes(scope: InnerScope): number {
  let bytes = 0
  for (const initializer of scope.initializers.values()) bytes += constantBytes(initializer)
  for (const node of scope.nodes) bytes += constantOf(node)
  for (const inner of scope.inner.values()) for (const body of inner) bytes += heldBytes(body)
  return bytes
}

function constantOf(node: Node): number {
  if (node.opType !== 'Constant' || node.domain !== '') return 0
  const value = node.attributes.get('value') ?? node.attributes.get('sparse_value')
  if (value?.kind === 'tensor') return constantBytes(value.value)
  return value?.kind === 'sparse' ? constantBytes(value.value.values) + constantBytes(value.value.indices) : 0
}

function bytesOf(names: readonly string[], type: Lookup, bind: Bind | undefined): number {
  return finite(sum(names.map((name) => (name === '' ? 0 : (valueBytes(type(name), bind) ?? 0)))))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** Absurd sizes add up to the largest number that is still counted with. */
function finite(value: number): number {
  return Number.isFinite(value)
    ? Math.min(Math.max(value, 0), Number.MAX_SAFE_INTEGER)
    : value > 0
      ? Number.MAX_SAFE_INTEGER
      : 0
}
