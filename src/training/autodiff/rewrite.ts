/** Replaces nodes by others that make the same values. */
import type { GraphForm, Model, Node } from '../../onnx/index.ts'
import { BuildingSite } from './building-site.ts'
import { NodeBuilder } from './node-builder.ts'
import type { Attributes } from './node-builder.ts'
import { attributesOf } from './node-builder.ts'
import type { Facts } from './site.ts'
import { freshNames, NO_ENTRIES } from '../../onnx/index.ts'

/** Adds the nodes that make the outputs of the node at hand, under their names. @throws NoGradientRuleError */
export type Rewrite = (site: RewriteSite) => void

export class RewriteSite extends BuildingSite {
  /** Gives a value the name of an output, where somebody wants it. */
  returns(output: number, value: string): void {
    const name = this.output(output)
    if (name !== '') this.builder.into('Identity', [value], [name])
  }

  /** One node that makes the outputs themselves. */
  becomes(opType: string, inputs: readonly (string | undefined)[], attributes: Attributes = {}): void {
    this.builder.into(opType, inputs, this.node.outputs, attributes)
  }

  /** The same node with some attributes gone and others added. */
  changed(inputs: readonly (string | undefined)[], without: readonly string[], added: Attributes = {}): void {
    const kept = [...this.node.attributes].filter(([name]) => !without.includes(name))
    this.becomes(this.node.opType, inputs, Object.fromEntries([...kept, ...attributesOf(added)]))
  }

  /** The node as it is, or with other attributes. */
  keep(node: Node = this.node): void {
    this.builder.nodes.push(node)
  }
}

/** The graph with some nodes rewritten; the same object where none is. @param rewriteOf undefined for nodes that stay */
export function rewriteNodes(
  graph: GraphForm,
  facts: Facts,
  rewriteOf: (node: Node) => Rewrite | undefined,
): GraphForm {
  const builder = new NodeBuilder(freshNames(graph))
  let isChanged = false
  for (const node of graph.nodes) {
    const rewrite = rewriteOf(node)
    if (rewrite === undefined) builder.nodes.push(node)
    else {
      isChanged = true
      builder.startsWith(node.outputs.find((name) => name !== '') ?? node.opType)
      rewrite(new RewriteSite(node, facts, builder))
    }
  }
  return isChanged ? builder.applied(graph) : graph
}

/** What is said of opsets once more, for operators that the rewritten graph needs. */
export function withOpset(model: Model, graph: GraphForm, opset: number): Model {
  return { ...model, graph, opsets: new Map([...model.opsets, ['', opset]]), metadata: model.metadata ?? NO_ENTRIES }
}
