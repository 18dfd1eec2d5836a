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
export { heartbeatMs } from './upkeep.ts'
export type { BlobWanted, MeshFiles, MeshLogger, MeshNeeds } from './needs.ts'
export { MAX_PROFILE_MODELS } from './limits.ts'
export type {
  AuditHead,
  AuditRecord,
  BatteryState,
  BlobRequest,
  FetchOptions,
  FetchProgress,
  GuestLimits,
  HardwareProfile,
  ImportRecord,
  KnownManifest,
  ManifestAnnouncement,
  MeasuredLink,
  Mesh,
  MeshEvents,
  MeshPeer,
  MeshPlacement,
  ModelHoldings,
  ModelLevels,
  ModelSpeed,
  ModelUse,
  OwnProfile,
  PeerProfile,
  PeerState,
  PlacementInit,
  ReadyStage,
  RecordKind,
  SeenImport,
  SeenSpeed,
  ShortMemory,
  ThermalState,
} from './types.ts'
export { createSpread, enrol, serveEnrolments } from './membership/index.ts'
export type { EnrolOutcome, InviteUse, Spread } from './membership/index.ts'
