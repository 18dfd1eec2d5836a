/** A running peer: the composition root. */
export { BatchStore } from './batches/batch-store.ts'
export { BATCH_ENDPOINTS } from './batches/types.ts'
export type { Batch, BatchBook, BatchEndpoint, BatchFile, BatchProblem } from './batches/types.ts'
export { measuredTerms } from './explained-plan.ts'
export type { RequestTrace, TraceEntry } from './traces.ts'
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
  RemoveOptions,
  RequestStatus,
  SeenNotJoined,
  StageStatus,
  StreamLine,
  TransferStatus,
} from './types.ts'
export type { LinkProbe, LinkStatus, NetCheck, NetVerdict } from './link-types.ts'
export { generateRequest } from './generate-options.ts'
export type { Cancellable, GenerateOptions, JsonSchema } from './generate-options.ts'
export type { AuditWishes } from './audit.ts'
export { rememberPeers } from './address-book.ts'
export { createClusterControl } from './cluster/index.ts'
export type {
  CertificateInfo,
  ClusterAction,
  ClusterControl,
  ClusterOutcome,
  ClusterStatus,
  ClusterSummary,
  InviteInfo,
  WaitingPeer,
} from './cluster/index.ts'
export { auditCode, auditedCall, clusterDeed } from './audited.ts'
export { createPeer, runPeer } from './create-peer.ts'
export type { RunningPeer } from './create-peer.ts'
export type { CreatePeerInit } from './parts.ts'
export { HomeBusyError, NotInThisVersionError, OptionError, PEER_ERRORS } from './errors.ts'
export { Journal } from './journal.ts'
export type { JournalEntry, JournalNeeds, StreamJournal, StreamRoute } from './journal.ts'
export { homePaths, lockHolder, lockHome } from './home.ts'
export type { HomePaths } from './home.ts'
export type { LocalPeer } from './local-peer.ts'
export { packageRoot, VERSION } from './version.ts'
export { exportModel } from './export.ts'
export type { ExportInit } from './export.ts'
export type { InferFilesRequest, InferredFiles } from './infer-files.ts'
export { inferNamed } from './infer-named.ts'
export type { InferAnswer, InferOptions, NamedTensors } from './infer-named.ts'
export type { InferRequest } from './infer-mesh.ts'
export type { Embed, Embeddings, EmbeddingStats, EmbeddingText, EmbedOptions } from './embed.ts'
export { EmbeddingInputError } from './embed-errors.ts'
export { inferModel } from './infer.ts'
export type { InferInit } from './infer.ts'
export { outlineFile } from './outline-file.ts'
export type { AnyFileOutline, OutlineInit } from './outline-file.ts'
export { splitModel } from './split.ts'
export type { FilePartition, FileSplitManifest } from './split-file.ts'
export type { SplitInit } from './split.ts'
export { graphAsked } from './graph-plan.ts'
export { planBlocks } from './plan-input.ts'
export type { PlanRequest } from './plan-input.ts'
export type { TrainedOver, TrainOverRequest } from './train-mesh.ts'
export { addAdapter, exportAdapter, listAdapters, mergeInto, removeAdapter } from './adapters.ts'
export type { AdapterInfo } from './adapters.ts'
export type { RolloutRecord } from './rollouts/record.ts'
export { homeBases, homeFederationBase } from './base-models.ts'
export { evalAdapterHere, trainAdapterHere } from './train-adapter.ts'
export { readTokenizer } from './read-tokenizer.ts'
export type { PlacementView, ReplanStatus } from './placement-view.ts'
export type { ReplanMode } from './replanning.ts'
export { backupCallSchema } from './backups/call.ts'
export type { BackupCall } from './backups/call.ts'
export type { BackupAnswer } from './backups/call.ts'
export type { Carried, ClaimableVaults } from './backups/carry.ts'
export { keepFor, keptFolder, readKeeping } from './backups/keeping.ts'
export { federatedCallSchema } from './federated.ts'
export type { FederatedCall } from './federated.ts'
