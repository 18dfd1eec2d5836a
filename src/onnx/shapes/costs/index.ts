/** What nodes cost. */
export { valueBytes } from './bytes.ts'
export { nodeCosts } from './costs.ts'
export type { NodeCost } from './costs.ts'
