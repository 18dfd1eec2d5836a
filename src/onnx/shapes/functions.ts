/** Model-local functions by what a node calls them by. */
import type { Node, OnnxFunction } from '../ir/index.ts'

export function functionKey(named: Node | OnnxFunction): string {
  const name = 'opType' in named ? named.opType : named.name
  return JSON.stringify([named.domain, name, named.overload])
}
