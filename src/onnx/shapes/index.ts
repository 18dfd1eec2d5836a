/** What is known of a graph before it runs: types and shapes of its values, and what its nodes cost. */
export { dimensionSize } from './evaluate.ts'
export type { Bind } from './evaluate.ts'
export { inferShapes } from './infer.ts'
export { nodeCosts, valueBytes } from './costs/index.ts'
export type { NodeCost } from './costs/index.ts'
export type { InferenceOptions, InferredGraph, InferredScope, InnerScope, KnownTensor, ReadConstant } from './types.ts'
