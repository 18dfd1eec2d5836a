/** A running peer: the composition root. */
export type {
  DeployTarget,
  HardwareProfile,
  ImportRequest,
  KnownPeer,
  ModelInfo,
  ModelSummary,
  Peer,
  PeerEvent,
  PeerState,
  PeerStatus,
  PingReply,
  PlacementStatus,
  Progress,
  ProgressSink,
  RequestStatus,
  SeenNotJoined,
  StageStatus,
  StreamLine,
} from './types.ts'
export { createPeer, runPeer } from './create-peer.ts'
export type { RunningPeer } from './create-peer.ts'
export type { CreatePeerInit } from './parts.ts'
export { NotInThisVersionError, OptionError, PEER_ERRORS } from './errors.ts'
export { homePaths, lockHolder } from './home.ts'
export type { HomePaths } from './home.ts'
export type { LocalPeer } from './local-peer.ts'
export { packageRoot, VERSION } from './version.ts'
export { splitModel } from './split.ts'
export type { SplitInit } from './split.ts'
export { readTokenizer } from './read-tokenizer.ts'
