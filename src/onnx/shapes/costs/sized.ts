/** A node with the sizes of what it reads and makes, as numbers. */
import type { Node, ValueType } from '../../ir/index.ts'
import type { Bind } from '../evaluate.ts'
import { boundShape, elementsOf } from './bytes.ts'

/** More numbers in one attribute count nothing. */
const MAX_LIST = 64

export class SizedNode {
  readonly node: Node
  readonly #type: (name: string) => ValueType | undefined
  readonly #bind: Bind | undefined

  constructor(node: Node, type: (name: string) => ValueType | undefined, bind: Bind | undefined) {
    this.node = node
    this.#type = type
    this.#bind = bind
  }

  given(input: number): boolean {
    return (this.node.inputs[input] ?? '') !== ''
  }

  /** Null where the rank is not known. */
  input(input: number): readonly number[] | null {
    return this.#shape(this.node.inputs[input])
  }

  output(output: number): readonly number[] | null {
    return this.#shape(this.node.outputs[output])
  }

  /** 0 where the rank is not known. */
  inputElements(input: number): number {
    return countOf(this.input(input))
  }

  outputElements(output: number): number {
    return countOf(this.output(output))
  }

  int(name: string, otherwise: number): number {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'int' ? Number(attribute.value) : otherwise
  }

  ints(name: string): readonly number[] {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'ints' && attribute.values.length <= MAX_LIST ? attribute.values.map(Number) : []
  }

  text(name: string): string {
    const attribute = this.node.attributes.get(name)
    return attribute?.kind === 'string' ? Buffer.from(attribute.value).toString('latin1') : ''
  }

  #shape(name: string | undefined): readonly number[] | null {
    return name === undefined || name === '' ? null : boundShape(this.#type(name), this.#bind)
  }
}

function countOf(shape: readonly number[] | null): number {
  return shape === null ? 0 : elementsOf(shape)
}
