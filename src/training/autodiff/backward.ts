/** The backward pass: walks from the loss to what is trained and adds the nodes of each rule. */
import type { GraphForm, Node } from '../../onnx/index.ts'
import { activityOf } from './activity.ts'
import { NoGradientRuleError } from './errors.ts'
import { GradientSite, NO_NODE, NOBODY } from './gradient-site.ts'
import type { NodeBuilder } from './node-builder.ts'
import { ruleOf } from './rules/index.ts'
import type { Facts } from './site.ts'

export interface Backward {
  /** By value: the name of its gradient; missing where none flows. */
  readonly gradients: ReadonlyMap<string, string>
  /** The forward nodes, some with outputs that only the backward pass reads. */
  readonly forward: readonly Node[]
}

/**
 * @param builder takes the nodes of the backward pass
 * @throws NoGradientRuleError
 */
export function addBackward(
  graph: GraphForm,
  facts: Facts,
  builder: NodeBuilder,
  trained: ReadonlySet<string>,
  loss: string,
): Backward {
  const { wanted, nodes } = activityOf(graph, facts, trained, loss)
  const gradients = new Map<string, string>()
  if (!wanted.has(loss)) return { gradients, forward: graph.nodes }
  const seed = new GradientSite(NO_NODE, facts, builder, NOBODY)
  gradients.set(loss, seed.filled(seed.floatType(loss), 1, seed.shapeTensor(loss)))
  const adjoints = { of: (name: string) => gradients.get(name), isWanted: (name: string) => wanted.has(name) }
  const changed = new Map<Node, Node>()
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((name) => gradients.has(name))) continue
    builder.startsWith(`gradient/${node.outputs.find((name) => gradients.has(name))}`)
    const site = new GradientSite(node, facts, builder, adjoints)
    const rule = ruleOf(node.domain, node.opType)
    if (rule === undefined) throw new NoGradientRuleError(node, 'weft has no rule for this operator')
    const parts = rule(site)
    site.needAllAsked()
    for (const [index, part] of parts.entries()) {
      const name = node.inputs[index] ?? ''
      if (part === undefined || !wanted.has(name)) continue
      const before = gradients.get(name)
      gradients.set(name, before === undefined ? part : builder.op('Add', [before, part]))
    }
    if (site.extraOutputs.size > 0) changed.set(node, withOutputs(node, site.extraOutputs))
  }
  return { gradients, forward: graph.nodes.map((node) => changed.get(node) ?? node) }
}

function withOutputs(node: Node, extra: ReadonlyMap<number, string>): Node {
  const outputs = [...node.outputs]
  for (const [index, name] of extra) {
    while (outputs.length <= index) outputs.push('')
    outputs[index] = name
  }
  return { ...node, outputs }
}
