/** What a rule is given: a node, the gradients of its outputs, and the graph that it adds nodes to. */
import { NO_ENTRIES } from '../../onnx/index.ts'
import type { Node, Shape } from '../../onnx/index.ts'
import { BuildingSite } from './building-site.ts'
import type { NodeBuilder } from './node-builder.ts'
import type { Facts } from './site.ts'

/**
 * Adds the nodes that compute the gradients of the inputs of one node, and gives their names by index of input; undefined
 * where no gradient flows. A gradient has the shape and type of its input.
 * @throws NoGradientRuleError
 */
export type GradientRule = (site: GradientSite) => readonly (string | undefined)[]

export interface Adjoints {
  /** Name of the gradient of a value, undefined where none flows. */
  readonly of: (name: string) => string | undefined
  /** Whether anybody asks for the gradient of a value. */
  readonly isWanted: (name: string) => boolean
}

/** For nodes that belong to no node of the forward pass. */
export const NO_NODE: Node = {
  name: '',
  opType: '',
  domain: '',
  overload: '',
  inputs: [],
  outputs: [],
  attributes: NO_ENTRIES,
  metadata: NO_ENTRIES,
}
export const NOBODY: Adjoints = { of: () => undefined, isWanted: () => false }

export class GradientSite extends BuildingSite {
  readonly #adjoints: Adjoints
  /** Outputs that the node must have though nobody reads them in the forward pass, by index. */
  readonly extraOutputs = new Map<number, string>()
  /** Outputs whose gradients the rule has asked for, by index. */
  readonly #asked = new Set<number>()

  constructor(node: Node, facts: Facts, builder: NodeBuilder, adjoints: Adjoints) {
    super(node, facts, builder)
    this.#adjoints = adjoints
  }

  /** Whether the gradient of this input is asked for. */
  wants(index: number): boolean {
    const name = this.input(index)
    return name !== '' && this.#adjoints.isWanted(name)
  }

  /** Gradient of an output that has one. @throws NoGradientRuleError for one that has none: rules of one output ask this */
  get gradient(): string {
    return this.gradientOf(0) ?? this.refuse('the gradient flows into another output than its first')
  }

  gradientOf(output: number): string | undefined {
    this.#asked.add(output)
    const name = this.output(output)
    return name === '' ? undefined : this.#adjoints.of(name)
  }

  /** Nothing that flows into an output may be left out: the sum would be wrong, and nothing would tell. @throws NoGradientRuleError */
  needAllAsked(): void {
    const missed = this.node.outputs.findIndex(
      (name, output) => name !== '' && !this.#asked.has(output) && this.#adjoints.of(name) !== undefined,
    )
    if (missed >= 0) this.refuse(`the gradient flows into its output ${JSON.stringify(this.output(missed))} as well`)
  }

  /** Name of an output; the node is made to have it. */
  needOutput(index: number): string {
    const name = this.output(index)
    if (name !== '') return name
    const known = this.extraOutputs.get(index) ?? this.builder.fresh(`${this.output(0) || 'value'}/output_${index}`)
    this.extraOutputs.set(index, known)
    return known
  }

  /** A gradient of the shape `from` summed over the axes along which `target` was stretched to it. */
  reduceTo(gradient: string, from: Shape, target: string): string {
    const to = this.shape(target)
    if (from === null || to === null) return this.#reduceAtRunTime(gradient, from, to, target)
    const lead = from.length - to.length
    const stretched = to.flatMap((size, axis) => (size === 1 && from[axis + lead] !== 1 ? [axis + lead] : []))
    const isOpen = to.some((size, axis) => typeof size !== 'number' && (size === null || size !== from[axis + lead]))
    if (isOpen) return this.#reduceAtRunTime(gradient, from, to, target)
    const leading = Array.from({ length: lead }, (_, axis) => axis)
    if (lead === 0 && stretched.length === 0) return gradient
    const axes = this.builder.int64s([...leading, ...stretched])
    if (stretched.length === 0) return this.op('ReduceSum', [gradient, axes], { keepdims: 0 })
    const summed = this.op('ReduceSum', [gradient, axes], { keepdims: 1 })
    return lead === 0 ? summed : this.op('Squeeze', [summed, this.builder.int64s(leading)])
  }

  #reduceAtRunTime(gradient: string, from: Shape, to: Shape, target: string): string {
    const shape = this.shapeTensor(target)
    const padded =
      from !== null && from.length === to?.length
        ? shape
        : this.op('Concat', [this.#ones(gradient, target), shape], { axis: 0 })
    const stretched = this.op('NonZero', [this.op('Equal', [padded, this.builder.int64(1)])])
    const axes = this.op('Reshape', [stretched, this.builder.int64s([-1])])
    const summed = this.op('ReduceSum', [gradient, axes], { keepdims: 1, noop_with_empty_axes: 1 })
    return this.op('Reshape', [summed, shape], { allowzero: 1 })
  }

  /** int64: as many ones as the first value has dimensions more. */
  #ones(longer: string, shorter: string): string {
    const ranks = [longer, shorter].map((name) => this.op('Shape', [this.op('Shape', [name])]))
    return this.filled('int64', 1, this.sub(ranks[0]!, ranks[1]!))
  }
}
