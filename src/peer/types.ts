/** The face of a running peer: what the API, the CLI and programs may ask. Plain data in and out. */
import type { RequestTrace, TraceEntry } from './traces.ts'
import type { BackupAnswer, BackupCall } from './backups/call.ts'
import type { FederatedCall } from './federated.ts'
import type { ErrorData } from '../errors.ts'
import type { BatteryState, ModelSpeed, ThermalState } from '../mesh/index.ts'
import type { AnyManifest } from '../models/index.ts'
import type { ReachView } from '../net/index.ts'
import type { AnyTensor } from '../onnx/index.ts'
import type { GenerateEvent, GenerateRequest, Inference, PlacementFile } from '../pipeline/index.ts'
import type { Role } from '../trust/index.ts'
import type { ClusterControl, ClusterSummary } from './cluster/types.ts'
import type { InferFilesRequest, InferredFiles } from './infer-files.ts'
import type { EmbeddingText, Embeddings, EmbedOptions } from './embed.ts'
import type { InferRequest } from './infer-mesh.ts'
import type { ImportRequest, ModelInfo, ModelSummary } from './model-types.ts'
import type { TrainedOver, TrainOverRequest } from './train-mesh.ts'
import type { PlanRequest } from './plan-input.ts'
import type { CountedMemory } from './profile-short.ts'
import type { QuarantineEntry } from './quarantine.ts'
import type { SiteStatus } from './site.ts'
import type { PlacementView } from './placement-view.ts'
import type { PlanDocument } from '../placement/index.ts'
import type { LinkStatus, NetCheck } from './link-types.ts'

export type PeerState = 'connected' | 'connecting' | 'away' | 'draining'

export interface HardwareProfile {
  readonly platform: string
  readonly arch: string
  readonly cpu: string
  readonly cores: number
  readonly memory_total: number
  readonly memory_free: number
  /** Bytes that weft may use for weights and KV. */
  readonly memory_quota: number
  /** Multiply-adds a second of one thread in the quick kernel trial; 0 until measured. */
  readonly speed: number
  readonly kernel: string
  /** Bytes a second that all its threads together read from memory. Absent, as what follows: an older version. */
  readonly memory_bandwidth?: number | undefined
  /** Null: its system does not tell. */
  readonly thermal?: ThermalState | null | undefined
  readonly battery?: BatteryState | null | undefined
  /** Milliseconds a block of the models that it has. */
  readonly models?: readonly ModelSpeed[] | undefined
}

export interface StageStatus {
  readonly model: string
  readonly from: number
  readonly to: number
  readonly peer: string
  readonly pid: number
  /** Resident bytes of the stage host. */
  readonly memory: number
  readonly state: 'loading' | 'ready' | 'failed'
}

export interface DraftStatus {
  readonly model: string
  readonly pid: number
  /** Bytes of its weights. */
  readonly memory: number
  readonly state: 'loading' | 'ready' | 'failed'
  /** Answers that it guesses for now. */
  readonly answers: number
}

export interface KnownPeer {
  readonly id: string
  readonly name: string
  readonly state: PeerState
  readonly addresses: readonly string[]
  readonly rtt_ms: number | null
  readonly version: string
  readonly profile: HardwareProfile | null
  readonly models: readonly string[]
  /** In a cluster. */
  readonly role?: Role
  readonly site?: string
  /** Null while it is not connected. */
  readonly link?: LinkStatus | null
  /** It is planned with less memory than it tells of. Absent: by its own word. */
  readonly counted?: CountedMemory
}

/** Something was seen and not joined; never silence. */
export interface SeenNotJoined {
  readonly id: string | null
  readonly address: string | null
  readonly code: string
  readonly why: string
  readonly hint: string
  readonly seen_at: string
}

export interface PeerStatus {
  readonly schema: 'weft.status/1'
  readonly peer: {
    readonly id: string
    readonly name: string
    readonly pid: number
    readonly addresses: readonly string[]
    /** How others reach it; null where there is no network. */
    readonly reach?: ReachView | null
    readonly home: string
    readonly network: string
    readonly lan: 'open' | 'confirm' | 'off'
    readonly http: string | null
    readonly version: string
    readonly uptime_s: number
    readonly state: 'running' | 'draining'
    readonly profile: HardwareProfile
  }
  /** Null: the home belongs to no cluster. */
  readonly cluster?: ClusterSummary | null
  readonly peers: readonly KnownPeer[]
  readonly stages: readonly StageStatus[]
  /** Small models that guess for answers of this peer. Absent: of a release before. */
  readonly drafts?: readonly DraftStatus[]
  readonly seen_not_joined: readonly SeenNotJoined[]
  readonly interfaces: readonly {
    readonly name: string
    readonly address: string
    readonly used: boolean
    readonly why: string
    /** Peers heard on it by multicast DNS; null where they are not asked for. */
    readonly heard?: number | null
  }[]
  readonly models: readonly ModelSummary[]
  /** Absent: of a release before. */
  readonly placements?: readonly PlacementView[]
  /** Peers that an audit of this one has found to compute something else than they should. */
  readonly quarantine?: readonly QuarantineEntry[]
  /** The policy that is in force, and where the audit log stands. Absent: of a release before. */
  readonly site?: SiteStatus
  readonly requests: readonly RequestStatus[]
  readonly transfers: readonly TransferStatus[]
  readonly disk: DiskStatus
  readonly counters: Readonly<Record<string, number>>
}

/** Tensors or a source on their way to this peer. */
export interface TransferStatus {
  readonly transfer: string
  readonly model: string
  /** `fetch`: from peers; `import`: from a source; `wait`: another peer fetches the source. */
  readonly kind: 'fetch' | 'import' | 'wait'
  readonly done: number
  readonly total: number | null
  /** Bytes a second, over the last few seconds. */
  readonly rate: number
  /** Peers that are sending now. */
  readonly holders: number
  readonly age_ms: number
}

export interface DiskStatus {
  /** Bytes that this home may take for models. */
  readonly quota: number
  /** Models that stay whatever the quota. */
  readonly pinned: readonly string[]
}

export interface RequestStatus {
  readonly request: string
  readonly model: string
  /** `running`: named arrays through a graph, which has no tokens. */
  readonly state: 'waiting' | 'prefill' | 'decode' | 'running'
  readonly prompt_tokens: number
  readonly tokens: number
  readonly age_ms: number
}

export type { ImportRequest, ModelInfo, ModelSummary } from './model-types.ts'

export interface Progress {
  readonly type: 'progress'
  /** What is being done, e.g. `fetching smollm2:135m from pypi`. */
  readonly task: string
  readonly done: number
  readonly total: number | null
  readonly unit: 'bytes' | 'tensors' | 'blocks' | 'steps'
  /** What changes while it is done, e.g. `from 3 peers`. */
  readonly detail?: string
}

export type ProgressSink = (progress: Progress) => void

export interface PlacementStatus {
  readonly schema: 'weft.placement/1'
  readonly model: string
  readonly epoch: number
  readonly author: string
  /** `chosen` by weft, or by `hand`. */
  readonly kind: 'chosen' | 'hand'
  readonly stages: PlacementFile['stages']
}

/** A placement by hand, or what a chosen one is to be good for: `spread` uses all peers. Default: `latency`. */
export type DeployTarget = PlacementFile | 'latency' | 'memory' | 'spread'

export interface PingReply {
  readonly seq: number
  readonly ms: number
}

export interface RemoveOptions {
  readonly last?: boolean
}

/** Every method takes a signal last and throws `WeftError`s only. */
export interface Peer {
  readonly id: string
  readonly home: string
  /** Null: the home belongs to no cluster. */
  readonly cluster?: ClusterControl | null
  status(): PeerStatus
  models(): Promise<readonly ModelSummary[]>
  manifest(model: string): Promise<AnyManifest>
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<GenerateEvent>
  /** Where the time of an answer went. @param request as its `start` names it; undefined: the last. @throws TraceMissingError */
  trace(request?: string): RequestTrace
  /** The answers of which that is kept, newest first. */
  traces(): readonly TraceEntry[]
  /**
   * A model of the library that was an ONNX file, on tensors by name: in parts, one a peer, values between them
   * directly, and the same bits as whole.
   */
  infer(
    model: string,
    inputs: ReadonlyMap<string, AnyTensor>,
    request?: InferRequest,
    signal?: AbortSignal,
  ): Promise<Inference>
  /**
   * A vector for each text, from an encoder of the library: the same bits whichever other texts are asked with it.
   * @throws ModelKindError, EmbeddingInputError
   */
  embed(
    model: string,
    texts: readonly EmbeddingText[],
    options?: EmbedOptions,
    signal?: AbortSignal,
  ): Promise<Embeddings>
  /** The same on files of this machine, in NumPy's format: for the command line. */
  inferFiles(request: InferFilesRequest, signal?: AbortSignal): Promise<InferredFiles>
  /** An adapter of a language model, its layers at peers: the plan and the folder are files of this machine. */
  train(request: TrainOverRequest, progress?: ProgressSink, signal?: AbortSignal): Promise<TrainedOver>
  /** Text with the chat template applied, as `generate` would see it, and its ids. */
  tokenize(model: string, input: GenerateRequest['input'], signal?: AbortSignal): Promise<{ ids: readonly number[] }>
  detokenize(model: string, ids: readonly number[], signal?: AbortSignal): Promise<string>
  importModel(request: ImportRequest, progress?: ProgressSink, signal?: AbortSignal): Promise<ModelInfo>
  /** `last`: also what no other peer holds. @throws LastCopyError without it */
  removeModel(model: string, options?: RemoveOptions, signal?: AbortSignal): Promise<void>
  /** A pinned model stays on this disk, whatever the quota. */
  pinModel(model: string, pinned: boolean, signal?: AbortSignal): Promise<void>
  deploy(
    model: string,
    placement?: DeployTarget,
    progress?: ProgressSink,
    signal?: AbortSignal,
  ): Promise<PlacementStatus>
  undeploy(model: string, signal?: AbortSignal): Promise<void>
  /** What weft would choose over the peers that are there, what it predicts, and why. Nothing is changed. */
  plan(model: string, request?: PlanRequest, signal?: AbortSignal): Promise<PlanDocument>
  ping(
    peer: string,
    options?: { readonly count?: number; readonly bytes?: number },
    signal?: AbortSignal,
  ): AsyncIterable<PingReply>
  /** What the network looks like, each pair probed; `peer`: this pair alone. @throws OfflineError */
  netcheck(options?: { readonly peer?: string }, progress?: ProgressSink, signal?: AbortSignal): Promise<NetCheck>
  /** Lets a newcomer in, or keeps it out, where joining needs a person (`--lan confirm`). */
  approve(peer: string, admit: boolean): Promise<void>
  /** Takes a peer out of quarantine. False: it was in none. */
  trust(peer: string): Promise<boolean>
  /** A folder of backups to the peer that keeps it, or back. */
  backups(call: BackupCall, signal?: AbortSignal): Promise<BackupAnswer>
  /** Federations: a document for each question. */
  federated(call: FederatedCall, signal?: AbortSignal): Promise<object>
  /** Calls back at every change that `/api/v1/events` shows; returns how to stop. */
  onEvent(listener: (event: PeerEvent) => void): () => void
  /** Prometheus text. */
  metrics(): Promise<string>
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] }
  /** Ends accepting, waits for what is in flight (at most `drain` ms), stops stages and the node. */
  stop(options?: { readonly drain?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface PeerEvent {
  /** `peer.joined`, `peer.left`, `peer.refused`, `stage.ready`, `stage.lost`, `placement.changed`, `request.started`, `request.ended`, ... */
  readonly event: string
  readonly at: string
  readonly data: Readonly<Record<string, unknown>>
}

/** A line of a JSONL stream of the control API. */
export type StreamLine =
  | Progress
  | GenerateEvent
  | { readonly type: 'result'; readonly result: unknown }
  | { readonly type: 'error'; readonly error: ErrorData }
