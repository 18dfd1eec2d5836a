/** One node with what is known of the values around it: what rewritings and rules look at. */
import type { Attribute, DataType, Dimension, KnownTensor, Node, Shape, ValueType } from '../../onnx/index.ts'
import { NoGradientRuleError } from './errors.ts'

/** What shape inference knows of the values of a graph. */
export interface Facts {
  readonly types: ReadonlyMap<string, ValueType>
  readonly known: ReadonlyMap<string, KnownTensor>
  /** Of a value whose type nobody knows but that must be of floating point. */
  readonly floatType: DataType
}

const FLOATS: ReadonlySet<string> = new Set(['float32', 'float64', 'float16', 'bfloat16'])

export function isFloatType(type: DataType | undefined): boolean {
  return type !== undefined && FLOATS.has(type)
}

export class Site {
  readonly node: Node
  readonly facts: Facts

  constructor(node: Node, facts: Facts) {
    this.node = node
    this.facts = facts
  }

  /** Name of an input; `''` where it is left out. */
  input(index: number): string {
    return this.node.inputs[index] ?? ''
  }

  given(index: number): boolean {
    return this.input(index) !== ''
  }

  output(index: number): string {
    return this.node.outputs[index] ?? ''
  }

  type(name: string): DataType | undefined {
    const known = this.facts.types.get(name)
    return known?.kind === 'tensor' || known?.kind === 'sparse' ? known.type : undefined
  }

  /** Element type of a value that is of floating point. */
  floatType(name: string): DataType {
    return this.type(name) ?? this.facts.floatType
  }

  shape(name: string): Shape {
    const known = this.facts.types.get(name)
    return known?.kind === 'tensor' || known?.kind === 'sparse' ? known.shape : null
  }

  /** The shape where all of it is numbers. */
  sizes(name: string): readonly number[] | undefined {
    return numbersOnly(this.shape(name))
  }

  rank(name: string): number | undefined {
    return this.shape(name)?.length
  }

  /** @throws NoGradientRuleError where it is not known */
  needRank(name: string): number {
    return this.rank(name) ?? this.refuse('the number of dimensions of its input is not known')
  }

  /** @throws NoGradientRuleError where a size is not known */
  needSizes(name: string): readonly number[] {
    return this.sizes(name) ?? this.refuse('the shape of its input is not known before it runs')
  }

  /** Elements of a small tensor that is known before the graph runs. */
  numbers(index: number): readonly number[] | undefined {
    return numbersOnly(this.facts.known.get(this.input(index))?.elements ?? null)
  }

  attribute(name: string): Attribute | undefined {
    return this.node.attributes.get(name)
  }

  int(name: string, otherwise: number): number {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'int' ? Number(attribute.value) : otherwise
  }

  ints(name: string): readonly number[] | undefined {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'ints' ? attribute.values.map(Number) : undefined
  }

  float(name: string, otherwise: number): number {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'float' ? attribute.value : otherwise
  }

  floats(name: string): readonly number[] | undefined {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'floats' ? attribute.values : undefined
  }

  text(name: string, otherwise: string): string {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'string' ? Buffer.from(attribute.value).toString('latin1') : otherwise
  }

  texts(name: string): readonly string[] | undefined {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'strings'
      ? attribute.values.map((value) => Buffer.from(value).toString('latin1'))
      : undefined
  }

  /** An axis counted from the front. @throws NoGradientRuleError */
  axis(axis: number, rank: number): number {
    const positive = axis < 0 ? axis + rank : axis
    if (positive < 0 || positive >= Math.max(rank, 1)) this.refuse(`axis ${axis} is none of ${rank} dimensions`)
    return positive
  }

  /** @throws NoGradientRuleError always: this operator in this form */
  refuse(why: string): never {
    throw this.refusal(why)
  }

  refusal(why: string): NoGradientRuleError {
    return new NoGradientRuleError(this.node, why)
  }
}

export function numbersOnly(elements: readonly Dimension[] | null): readonly number[] | undefined {
  return elements?.every((element) => typeof element === 'number') === true ? elements : undefined
}
