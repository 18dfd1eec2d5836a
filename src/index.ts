/**
 * weft as a library: a peer of the mesh in a program.
 *
 * ```ts
 * import { createPeer } from 'weft-mesh'
 *
 * await using peer = await createPeer({ home: '/var/lib/weft' })
 * for await (const token of peer.generate({ model: 'weft-tiny', prompt: 'The sea' })) process.stdout.write(token.text)
 * ```
 */
export { WeftError } from './errors.ts'
export type { ErrorData, ErrorInfo, ExitStatus } from './errors.ts'
export { createPeer, Token } from './library.ts'
export type {
  Answer,
  Cancellable,
  GenerateOptions,
  Generation,
  JsonSchema,
  Peer,
  PeerOptions,
  Tracked,
  TrainOptions,
} from './library.ts'
export { VERSION } from './peer/index.ts'
export type {
  CreatePeerInit,
  DeployTarget,
  Embed,
  Embeddings,
  EmbeddingStats,
  EmbeddingText,
  EmbedOptions,
  HardwareProfile,
  ImportRequest,
  InferAnswer,
  InferOptions,
  KnownPeer,
  ModelInfo,
  ModelSummary,
  NamedTensors,
  PeerEvent,
  PeerStatus,
  PlacementStatus,
  Progress,
  ProgressSink,
  SeenNotJoined,
  StageStatus,
  TrainedOver,
  TrainOverRequest,
} from './peer/index.ts'
export type {
  ChatMessage,
  GenerateStats,
  PlacementFile,
  PlacementStage,
  RouteHop,
  TokenLogprob,
} from './pipeline/index.ts'
