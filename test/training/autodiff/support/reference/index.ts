/** Forward passes in float64, written from the operators' definitions and not from weft's rules: what gradients are held against. */
import type { Node, Tensor } from '../../../../../src/onnx/index.ts'
import { array } from './array.ts'
import type { Kernel, Numbers } from './array.ts'
import { ATTENTION } from './attention.ts'
import { ELEMENTWISE } from './elementwise.ts'
import { NORMS } from './norms.ts'
import { SEQUENCES } from './sequences.ts'
import { SPACE } from './space.ts'

const KERNELS: Readonly<Record<string, Kernel>> = { ...ELEMENTWISE, ...NORMS, ...SPACE, ...ATTENTION, ...SEQUENCES }

export const operatorOf = ({ domain, opType }: Node): string => (domain === '' ? opType : `${domain}:${opType}`)

/** Whether all nodes have a forward pass here. */
export function isReferenced(nodes: readonly Node[]): boolean {
  return nodes.every((node) => operatorOf(node) in KERNELS)
}

export function numbersOf({ dims, data }: Tensor): Numbers {
  return array(dims, Array.from(data as Iterable<number | bigint>, Number))
}

/** Sum of the result's elements, the n-th one times cos(n), or each times its own sine: the loss of a case. */
export function lossOf(
  nodes: readonly Node[],
  feeds: ReadonlyMap<string, Numbers>,
  result: string,
  bySine = false,
): number {
  const values = new Map(feeds)
  for (const node of nodes) {
    const outputs = KERNELS[operatorOf(node)]!(
      node.inputs.map((name) => values.get(name)),
      node,
    )
    for (const [index, name] of node.outputs.entries()) if (name !== '') values.set(name, outputs[index]!)
  }
  return values
    .get(result)!
    .data.reduce((sum, number, index) => sum + number * (bySine ? Math.sin(number) : Math.cos(index)), 0)
}
