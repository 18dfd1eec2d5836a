/** What all peers must agree on: signed, versioned records, who is there, and the blobs that they give each other. */
export {
  ChunkUnobtainableError,
  FetchFailedError,
  HolderError,
  ManifestUnavailableError,
  MESH_ERRORS,
  MeshProtocolError,
  MeshStoppedError,
  RecordTooLargeError,
} from './errors.ts'
export { createMesh } from './mesh.ts'
export type { MeshFiles, MeshLogger, MeshNeeds } from './needs.ts'
export type {
  BlobRequest,
  FetchOptions,
  FetchProgress,
  GuestLimits,
  HardwareProfile,
  ImportRecord,
  KnownManifest,
  ManifestAnnouncement,
  Mesh,
  MeshEvents,
  MeshPeer,
  MeshPlacement,
  ModelHoldings,
  OwnProfile,
  PeerProfile,
  PeerState,
  PlacementInit,
  ReadyStage,
  RecordKind,
  SeenImport,
} from './types.ts'
