/** One way to a peer for every command: the running one over its socket, or one inside this process. */
import type { AnyManifest } from '../models/index.ts'
import type {
  ClusterAction,
  ClusterOutcome,
  DeployTarget,
  Embeddings,
  BackupAnswer,
  BackupCall,
  FederatedCall,
  ImportRequest,
  InferFilesRequest,
  InferredFiles,
  ModelInfo,
  ModelSummary,
  NetCheck,
  PeerStatus,
  PingReply,
  PlacementStatus,
  PlanRequest,
  ProgressSink,
  RemoveOptions,
  RequestTrace,
  TraceEntry,
  TrainedOver,
  TrainOverRequest,
} from '../peer/index.ts'
import type { PlanDocument } from '../placement/index.ts'
import type { GenerateEvent, GenerateRequest, PromptInput } from '../pipeline/index.ts'
import { socketPath } from '../util/index.ts'
import type { Clock, Environment } from '../util/index.ts'
import { PeerNotRunningError } from './errors.ts'
import { passphraseFromFile } from './passphrase.ts'
import { openLocalPeer } from './peer-local.ts'
import { createRemotePeer } from './peer-remote.ts'

/** What commands ask of a peer, wherever it is. Every method throws `WeftError`s or the signal's reason. */
export interface PeerAccess {
  readonly kind: 'running' | 'local'
  status(signal?: AbortSignal): Promise<PeerStatus>
  models(signal?: AbortSignal): Promise<readonly ModelSummary[]>
  manifest(model: string, signal?: AbortSignal): Promise<AnyManifest>
  /** @param request undefined: the last. @throws TraceMissingError */
  trace(request: string | undefined, signal?: AbortSignal): Promise<RequestTrace>
  traces(signal?: AbortSignal): Promise<readonly TraceEntry[]>
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<GenerateEvent>
  inferFiles(request: InferFilesRequest, signal?: AbortSignal): Promise<InferredFiles>
  train(request: TrainOverRequest, progress: ProgressSink, signal?: AbortSignal): Promise<TrainedOver>
  embed(
    model: string,
    texts: readonly string[],
    options: { readonly dimensions?: number },
    signal?: AbortSignal,
  ): Promise<Embeddings>
  tokenize(model: string, input: PromptInput, signal?: AbortSignal): Promise<{ ids: readonly number[] }>
  detokenize(model: string, ids: readonly number[], signal?: AbortSignal): Promise<string>
  importModel(request: ImportRequest, progress: ProgressSink, signal?: AbortSignal): Promise<ModelInfo>
  removeModel(model: string, options?: RemoveOptions, signal?: AbortSignal): Promise<void>
  pinModel(model: string, pinned: boolean, signal?: AbortSignal): Promise<void>
  deploy(
    model: string,
    placement: DeployTarget | undefined,
    progress: ProgressSink,
    signal?: AbortSignal,
  ): Promise<PlacementStatus>
  undeploy(model: string, signal?: AbortSignal): Promise<void>
  plan(model: string, request: PlanRequest, signal?: AbortSignal): Promise<PlanDocument>
  ping(
    peer: string,
    options: { readonly count?: number; readonly bytes?: number },
    signal?: AbortSignal,
  ): AsyncIterable<PingReply>
  netcheck(options: { readonly peer?: string }, progress: ProgressSink, signal?: AbortSignal): Promise<NetCheck>
  /** @throws NoClusterError, and what the membership refuses with */
  cluster(action: ClusterAction, signal?: AbortSignal): Promise<ClusterOutcome>
  approve(peer: string, admit: boolean, signal?: AbortSignal): Promise<void>
  /** Out of quarantine; false: it was in none. */
  trust(peer: string, signal?: AbortSignal): Promise<boolean>
  backups(call: BackupCall, signal?: AbortSignal): Promise<BackupAnswer>
  federated(call: FederatedCall, signal?: AbortSignal): Promise<object>
  /** Asks the peer to stop; it goes on until what is in flight has ended, or `drain` ms. */
  shutdown(drain: number, signal?: AbortSignal): Promise<void>
  /** Frees what this access holds; a running peer goes on. */
  close(): Promise<void>
}

export interface PeerAccessNeeds {
  readonly clock: Clock
  readonly env: Environment
}

export interface OpenPeerInit {
  /** `never`: only the running peer. `fallback`: in this process when none runs. `always`: in this process. */
  readonly local: 'never' | 'fallback' | 'always'
  readonly signal?: AbortSignal
}

/** @throws PeerNotRunningError when `local` is `never` and no peer runs in this home. */
export async function openPeer(needs: PeerAccessNeeds, home: string, init: OpenPeerInit): Promise<PeerAccess> {
  if (init.local === 'always') return openHere(needs, home, init.signal)
  const remote = createRemotePeer({ clock: needs.clock }, { home, socket: socketPath(home, needs.env) })
  try {
    await remote.status(init.signal)
    return remote
  } catch (error) {
    if (init.local === 'never' || !(error instanceof PeerNotRunningError)) throw error
    return openHere(needs, home, init.signal)
  }
}

async function openHere({ env }: PeerAccessNeeds, home: string, signal?: AbortSignal): Promise<PeerAccess> {
  return openLocalPeer(home, await passphraseFromFile(env), signal)
}

/** The status of the home's running peer, or null where none runs. Other failures are thrown. */
export async function runningStatus(
  needs: PeerAccessNeeds,
  home: string,
  signal?: AbortSignal,
): Promise<PeerStatus | null> {
  try {
    return await createRemotePeer({ clock: needs.clock }, { home, socket: socketPath(home, needs.env) }).status(signal)
  } catch (error) {
    if (error instanceof PeerNotRunningError) return null
    throw error
  }
}
