/** Types as a file declares them: of inputs they hold, of all else they are only what somebody once believed. */
import type { Dimension, Graph, ValueType } from '../ir/index.ts'
import type { Algebra } from './algebra.ts'
import { MAX_RANK } from './call.ts'

/** A size may not be negative (some exporters write -1 for a free one) nor beyond what is counted exactly. */
export function validSize(size: Dimension): Dimension {
  return typeof size !== 'number' || (Number.isSafeInteger(size) && size >= 0) ? size : null
}

/** What exporters write for a size that has no name: it says nothing where it stands twice. */
const NAMELESS = /^(?:[^\p{L}\p{N}]*|-?\d+|none|null|dynamic|unknown)$/iu

/** With every size that is not known given a text of its own, so that it is the same wherever it goes. */
export function settled(type: ValueType, algebra: Algebra): ValueType {
  if (type.kind === 'tensor' || type.kind === 'sparse') {
    if (type.shape === null) return type
    if (type.shape.length > MAX_RANK) return { ...type, shape: null }
    if (type.shape.every((size) => size !== null && validSize(size) !== null)) return type
    return { ...type, shape: type.shape.map((size) => validSize(size) ?? algebra.unknown()) }
  }
  return type
}

/** As declared, with names bound to numbers where the caller said which. */
export function declaredType(type: ValueType, algebra: Algebra, bound: ReadonlyMap<string, number>): ValueType {
  if (type.kind !== 'tensor' && type.kind !== 'sparse') return type
  const named = (size: Dimension): Dimension => {
    if (typeof size !== 'string') return size
    if (NAMELESS.test(size)) return null
    return bound.get(size) ?? (algebra.isFree(size) ? algebra.named(size) : null)
  }
  return settled({ ...type, shape: type.shape && type.shape.map(named) }, algebra)
}

/** Numbers for the names of dimensions that the caller's shapes of inputs give; a name for two sizes is no name. */
export function bindNames(graph: Graph, shapes: ReadonlyMap<string, readonly number[]>): ReadonlyMap<string, number> {
  const bound = new Map<string, number>()
  const torn = new Set<string>()
  for (const { name, type } of graph.inputs) {
    const sizes = shapes.get(name)
    if (sizes === undefined || type?.kind !== 'tensor' || type.shape?.length !== sizes.length) continue
    for (const [axis, size] of type.shape.entries()) {
      if (typeof size !== 'string' || validSize(sizes[axis]!) === null) continue
      if ((bound.get(size) ?? sizes[axis]) !== sizes[axis]) torn.add(size)
      bound.set(size, sizes[axis]!)
    }
  }
  for (const name of torn) bound.delete(name)
  return bound
}
