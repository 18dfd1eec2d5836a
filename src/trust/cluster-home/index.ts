/** The cluster of a mesh home: founding, joining, leaving, and what several admins sign. */
export * from './errors.ts'
export {
  adoptClusterHome,
  checkFounding,
  checkLabel,
  clusterPlaces,
  foundClusterHome,
  leaveClusterHome,
  openClusterHome,
  readClusterPin,
} from './home.ts'
export type { ClusterPin, ClusterPlaces, FoundClusterInit, OpenedCluster } from './home.ts'
export { propose, readProposal, signProposal } from './proposal.ts'
export type { Proposal, Proposed } from './proposal.ts'
export { readRootKey, rootKeyLine, writeRootKey } from './root-key.ts'
