/** The cluster of a peer. */
export { createClusterControl } from './control.ts'
export type { ControlNeeds } from './control.ts'
export { openClusterPart } from './part.ts'
export type { ClusterPart } from './part.ts'
export type * from './types.ts'
