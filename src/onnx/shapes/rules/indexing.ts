/** Operators that pick elements by number or by value. */
import { axisWithin, replaceDimension, tensor } from '../call.ts'
import type { Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'

const gather: Rule = (call) => {
  const [data, indices] = [call.shape(0), call.shape(1)]
  if (data === null || indices === null) return [tensor(call.type(0), null)]
  const axis = axisWithin(call.int('axis', 0), data.length)
  if (axis === undefined) return [tensor(call.type(0), null)]
  return [tensor(call.type(0), [...data.slice(0, axis), ...indices, ...data.slice(axis + 1)])]
}

/** Output like the indices: GatherElements. */
const likeIndices: Rule = (call) => [tensor(call.type(0), call.shape(1))]

const gatherNd: Rule = (call) => {
  const [data, indices] = [call.shape(0), call.shape(1)]
  const depth = indices?.at(-1)
  const batch = call.int('batch_dims', 0)
  if (data === null || indices === null || typeof depth !== 'number' || !(depth >= 1 && batch >= 0))
    return [tensor(call.type(0), null)]
  if (batch + depth > data.length) return []
  return [tensor(call.type(0), [...indices.slice(0, -1), ...data.slice(batch + depth)])]
}

const gatherBlockQuantized: Rule = (call) => {
  const [data, indices] = [call.shape(0), call.shape(1)]
  if (data === null || indices === null) return [tensor(call.type(2), null)]
  const axis = axisWithin(call.int('gather_axis', 0), data.length)
  if (axis === undefined) return []
  // Bytes hold two (or one) of what the output has one of; the blocks lie along the quantized axis.
  const bits = call.int('bits', 4)
  const packed = call.type(0) === 'uint8' && (bits === 2 || bits === 4) ? 8 / bits : 1
  const along = axisWithin(call.int('quantize_axis', 1), data.length)
  const sizes = data.map((size, at) => (at === along ? call.algebra.multiply(size, packed) : size))
  return [tensor(call.type(2), [...sizes.slice(0, axis), ...indices, ...sizes.slice(axis + 1)])]
}

const oneHot: Rule = (call) => {
  const indices = call.shape(0)
  if (indices === null) return [tensor(call.type(2), null)]
  const axis = axisWithin(call.int('axis', -1), indices.length + 1)
  if (axis === undefined) return []
  const depth = call.scalar(1) ?? null
  return [tensor(call.type(2), [...indices.slice(0, axis), depth, ...indices.slice(axis)])]
}

const nonZero: Rule = (call) => [tensor('int64', [call.shape(0)?.length ?? null, null])]

const compress: Rule = (call) => {
  const shape = call.shape(0)
  const axis = call.int('axis')
  if (axis === undefined) return [tensor(call.type(0), [null])]
  const at = shape === null ? undefined : axisWithin(axis, shape.length)
  return [tensor(call.type(0), shape === null || at === undefined ? null : replaceDimension(shape, at, null))]
}

const unique: Rule = (call) => {
  const shape = call.shape(0)
  const axis = call.int('axis')
  const at = shape === null || axis === undefined ? undefined : axisWithin(axis, shape.length)
  // As many as there are different ones, and the same number in what is counted about them.
  const count = call.algebra.unknown()
  const whole = call.algebra.product(shape ?? [null])
  const lists = [count, at === undefined || shape === null ? (axis === undefined ? whole : null) : shape[at]!, count]
  const values = axis === undefined ? [count] : shape && at !== undefined ? replaceDimension(shape, at, count) : null
  return [tensor(call.type(0), values), ...lists.map((size) => tensor('int64', [size]))]
}

/** `k` by attribute until opset 9, by input since 10. */
const topK: Rule = (call) => {
  const shape = call.shape(0)
  const axis = shape === null ? undefined : axisWithin(call.int('axis', -1), shape.length)
  if (shape === null || axis === undefined) return [tensor(call.type(0), null), tensor('int64', null)]
  const taken = call.int('k') ?? call.scalar(1) ?? null
  const sizes = replaceDimension(shape, axis, taken)
  return [tensor(call.type(0), sizes), tensor('int64', sizes)]
}

const nonMaxSuppression: Rule = () => [tensor('int64', [null, 3])]

export const INDEXING: readonly Family[] = [
  { operators: 'Gather', rule: gather },
  { operators: 'GatherElements', rule: likeIndices },
  { operators: 'GatherND', rule: gatherNd },
  { domain: MICROSOFT, operators: 'GatherND', rule: gatherNd },
  { domain: MICROSOFT, operators: 'GatherBlockQuantized', rule: gatherBlockQuantized },
  { operators: 'OneHot', rule: oneHot },
  { operators: 'NonZero', rule: nonZero },
  { operators: 'Compress', rule: compress },
  { operators: 'Unique', rule: unique },
  { operators: 'TopK', rule: topK },
  { operators: 'NonMaxSuppression', rule: nonMaxSuppression },
]
