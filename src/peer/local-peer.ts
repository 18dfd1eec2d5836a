/** A running peer behind the face of `types.ts`. */
import { importInto } from './import-into.ts'
import type { AddressBook } from './address-book.ts'
import type { ClusterControl } from './cluster/index.ts'
import type { Mesh } from '../mesh/index.ts'
import { audited, auditedFederation, deployFacts, importFacts, liftAll } from './audited.ts'
import { describeModels, describeStatus, manifestBytes } from './describe.ts'
import type { StatusNeeds } from './describe.ts'
import { deployGraph } from './deploy-graph.ts'
import { OfflineError } from './errors.ts'
import { embedTexts } from './embed.ts'
import type { EmbeddingText, Embeddings, EmbedOptions } from './embed.ts'
import { explainedPlan } from './explained-plan.ts'
import { inferFiles } from './infer-files.ts'
import { trainOverPeers } from './train-mesh.ts'
import type { TrainedOver, TrainMeshNeeds, TrainOverRequest } from './train-mesh.ts'
import type { InferFilesRequest, InferredFiles } from './infer-files.ts'
import { inferOverPeers } from './infer-mesh.ts'
import type { InferMeshNeeds, InferRequest } from './infer-mesh.ts'
import type { KeptParts } from './kept-parts.ts'
import type { Library } from './library.ts'
import { checkNetwork } from './link-check.ts'
import type { NetCheck } from './link-types.ts'
import { pingPeer } from './ping-peer.ts'
import type { Placing } from './placing.ts'
import type { PlanRequest } from './plan-input.ts'
import type { PlanDocument } from '../placement/index.ts'
import type { PlanMeasures } from './profile-plan.ts'
import { watchedAnswer } from './watched-answer.ts'
import { callFederation } from './federated.ts'
import { callBackups } from './backups/call.ts'
import type { BackupAnswer, BackupCall } from './backups/call.ts'
import type { Federated, FederatedCall } from './federated.ts'
import { setGauges } from './gauges.ts'
import { removeModel } from './remove-model.ts'
import { underAlias } from './rollouts/graph-answer.ts'
import { promptOf } from './prompt-ids.ts'
import type { Requests } from './requests.ts'
import { qualityReport } from '../compress/index.ts'
import { isGraphManifest } from '../models/index.ts'
import type { AnyManifest } from '../models/index.ts'
import type { AnyTensor } from '../onnx/index.ts'
import type { GenerateEvent, GenerateRequest, Inference, RingService, Stages } from '../pipeline/index.ts'
import type { Network } from '../net/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { RequestTrace, TraceEntry, Traces } from './traces.ts'
import type {
  DeployTarget,
  ImportRequest,
  ModelInfo,
  ModelSummary,
  Peer,
  PeerEvent,
  PeerStatus,
  PingReply,
  PlacementStatus,
  ProgressSink,
  RemoveOptions,
} from './types.ts'

const DRAIN_MS = 10_000
/** Between two looks at whether the sessions of others have gone. */
const LOOK_MS = 25

export interface LocalPeerNeeds extends StatusNeeds {
  readonly network: Network | null
  readonly mesh: Mesh | null
  readonly library: Library
  readonly placing: Placing
  readonly stages: Stages
  readonly requests: Requests
  readonly ring: RingService
  readonly telemetry: Telemetry
  readonly traces: Traces
  readonly book: AddressBook
  readonly listeners: Set<(event: PeerEvent) => void>
  readonly inferring: InferMeshNeeds
  readonly training: TrainMeshNeeds
  readonly keptParts: KeptParts
  readonly federation: Federated
  /** Told how long answers take, by their route. */
  readonly measured: PlanMeasures
  /** Ends everything below, in order. */
  shutdown(): Promise<void>
}

export class LocalPeer implements Peer {
  readonly id: string
  readonly home: string
  readonly #needs: LocalPeerNeeds
  #stopping: Promise<void> | undefined
  #draining = false
  readonly #beforeShutdown: (() => Promise<void>)[] = []
  http: string | null = null

  constructor(needs: LocalPeerNeeds) {
    this.#needs = needs
    this.id = needs.self
    this.home = needs.home
    setGauges(needs.telemetry, needs)
  }

  get cluster(): ClusterControl | null {
    return this.#needs.cluster
  }

  status(): PeerStatus {
    return describeStatus(this.#needs, { http: this.http, draining: this.#draining })
  }

  readonly models = (): Promise<readonly ModelSummary[]> => describeModels(this.#needs)
  readonly trace = (request?: string): RequestTrace => this.#needs.traces.get(request)
  readonly traces = (): readonly TraceEntry[] => this.#needs.traces.list()

  manifest(model: string): Promise<AnyManifest> {
    return this.#needs.library.resolve(model)
  }

  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<GenerateEvent> {
    return watchedAnswer(this.#needs, request, signal)
  }

  infer(
    model: string,
    inputs: ReadonlyMap<string, AnyTensor>,
    request: InferRequest = {},
    signal?: AbortSignal,
  ): Promise<Inference> {
    const run = (end: AbortSignal): Promise<Inference> =>
      underAlias({ ...this.#needs, signal: end }, model, request, (named, asked) =>
        inferOverPeers(this.#needs.inferring, named, inputs, asked, end),
      )
    return this.#needs.requests.infer(model, run, signal)
  }

  embed(
    model: string,
    texts: readonly EmbeddingText[],
    options: EmbedOptions = {},
    signal?: AbortSignal,
  ): Promise<Embeddings> {
    const { inferring, keptParts: parts, telemetry } = this.#needs
    const count: Telemetry['count'] = (name, by) => telemetry.count(name, by)
    const needs = { ...inferring, parts, count }
    return this.#needs.requests.infer(model, (end) => embedTexts(needs, model, texts, options, end), signal)
  }

  inferFiles(request: InferFilesRequest, signal?: AbortSignal): Promise<InferredFiles> {
    const run = (end: AbortSignal): Promise<InferredFiles> =>
      underAlias({ ...this.#needs, signal: end }, request.model, request, (model, asked) =>
        inferFiles(this.#needs.inferring, { ...asked, model }, end),
      )
    return this.#needs.requests.infer(request.model, run, signal)
  }

  train(request: TrainOverRequest, progress?: ProgressSink, signal?: AbortSignal): Promise<TrainedOver> {
    const { requests, training } = this.#needs
    return requests.infer(request.plan, (end) => trainOverPeers(training, request, progress, end), signal)
  }

  async tokenize(
    model: string,
    input: GenerateRequest['input'],
    signal?: AbortSignal,
  ): Promise<{ ids: readonly number[] }> {
    const tokenizer = await this.#needs.library.tokenizer(await this.#needs.library.resolve(model, signal), signal)
    return { ids: await promptOf(tokenizer, { input }, { clock: this.#needs.clock, signal }) }
  }

  async detokenize(model: string, ids: readonly number[], signal?: AbortSignal): Promise<string> {
    const tokenizer = await this.#needs.library.tokenizer(await this.#needs.library.resolve(model, signal), signal)
    return tokenizer.decode(ids)
  }

  async importModel(
    request: ImportRequest,
    progress: ProgressSink = () => undefined,
    signal?: AbortSignal,
  ): Promise<ModelInfo> {
    const { site } = this.#needs
    const run = (): Promise<AnyManifest> => importInto(this.#needs, request, progress, signal)
    const manifest = await audited(site, 'model.import', request.name, run, importFacts)
    await this.#needs.mesh?.announceManifest(manifest)
    const { model, digest, blocks, boundary, license, source } = manifest
    const speeds = this.#needs.library.speedsOf(manifest)
    const quality = isGraphManifest(manifest) ? undefined : qualityReport(manifest, speeds)
    return {
      schema: 'weft.model/1',
      model,
      digest,
      blocks: blocks.length,
      bytes: manifestBytes(manifest),
      boundary,
      license,
      source,
      ...(quality === undefined ? {} : { quality }),
    }
  }

  removeModel(model: string, options: RemoveOptions = {}): Promise<void> {
    return removeModel(this.#needs, model, options)
  }

  async pinModel(model: string, pinned: boolean, signal?: AbortSignal): Promise<void> {
    const { digest } = await this.#needs.library.resolve(model, signal)
    await this.#needs.pins.set(digest, pinned)
  }

  async deploy(
    model: string,
    placement?: DeployTarget,
    progress: ProgressSink = () => undefined,
    signal?: AbortSignal,
  ): Promise<PlacementStatus> {
    const manifest = await this.#needs.library.resolve(model, signal)
    const run = (): Promise<PlacementStatus> =>
      isGraphManifest(manifest)
        ? deployGraph(this.#needs.inferring, manifest, placement, progress, signal)
        : this.#needs.placing.deploy(manifest, placement, progress, signal)
    return audited(this.#needs.site, 'deploy', model, run, deployFacts)
  }

  async undeploy(model: string, signal?: AbortSignal): Promise<void> {
    await this.#needs.library.resolve(model, signal)
    await audited(this.#needs.site, 'undeploy', model, () => this.#needs.placing.undeploy(model))
  }

  plan(model: string, request: PlanRequest = {}, signal?: AbortSignal): Promise<PlanDocument> {
    return explainedPlan({ ...this.#needs, self: this.id }, model, request, signal)
  }

  ping(
    peer: string,
    options: { readonly count?: number; readonly bytes?: number } = {},
    signal?: AbortSignal,
  ): AsyncIterable<PingReply> {
    return pingPeer(this.#needs, peer, options, signal)
  }

  async netcheck(
    options: { readonly peer?: string } = {},
    progress: ProgressSink = () => undefined,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<NetCheck> {
    const { network, mesh, networkName, lan, profiling } = this.#needs
    const { links, prober } = profiling
    if (network === null || prober === undefined) throw new OfflineError('netcheck')
    const nameOf = (id: string): string => mesh?.peers().find((peer) => peer.id === id)?.name ?? id
    const needs = { network, prober, links, networkName, lan, nameOf, refused: network.refusals().length }
    return checkNetwork(needs, options.peer, progress, signal)
  }

  async approve(peer: string, admit: boolean): Promise<void> {
    if (this.#needs.network === null) throw new OfflineError('approving a peer')
    // who waits with an invite is no newcomer of the network: its membership is decided, not its connection
    await audited(this.#needs.site, admit ? 'peer.admit' : 'peer.deny', peer, async () => {
      if (this.#needs.cluster?.decide(peer, admit) === true) return
      this.#needs.network?.decide(peer, admit)
      await this.#needs.book.decide(peer, admit)
    })
  }

  trust(peer: string): Promise<boolean> {
    return audited(this.#needs.site, 'peer.trust', peer, () => liftAll(this.#needs, peer))
  }

  backups(call: BackupCall, signal?: AbortSignal): Promise<BackupAnswer> {
    return callBackups({ ...this.#needs, random: this.#needs.inferring.random }, call, signal)
  }

  federated(call: FederatedCall, signal?: AbortSignal): Promise<object> {
    return auditedFederation(this.#needs.site, call, () => callFederation(this.#needs.federation, call, signal))
  }

  onEvent(listener: (event: PeerEvent) => void): () => void {
    this.#needs.listeners.add(listener)
    return () => this.#needs.listeners.delete(listener)
  }

  metrics(): Promise<string> {
    return this.#needs.telemetry.text()
  }

  ready(): { readonly ready: boolean; readonly reasons: readonly string[] } {
    const loading = this.#needs.stages.list().filter((stage) => stage.state !== 'ready')
    const reasons = loading.map((stage) => `${stage.model} [${stage.from}, ${stage.to}) is ${stage.state}`)
    if (this.#draining) reasons.push('the peer is stopping')
    return { ready: reasons.length === 0, reasons }
  }

  /** Something around this peer (an API) that ends once its requests have, and before its parts do. */
  beforeShutdown(action: () => Promise<void>): void {
    this.#beforeShutdown.push(action)
  }

  stop(options: { readonly drain?: number } = {}): Promise<void> {
    this.#stopping ??= this.#stop(options.drain ?? DRAIN_MS)
    return this.#stopping
  }

  async #stop(drain: number): Promise<void> {
    this.#draining = true
    const { clock, requests, mesh, ring } = this.#needs
    const until = clock.now() + drain
    // Others look for another route while it still serves them.
    await mesh?.announceLeaving()
    ring.leave()
    await requests.drain(drain)
    while (ring.guests > 0 && clock.now() < until) await clock.sleep(LOOK_MS)
    for (const action of this.#beforeShutdown) await action()
    await this.#needs.shutdown()
    for (const listener of this.#needs.listeners) {
      listener({ event: 'peer.stopped', at: new Date(this.#needs.clock.wall()).toISOString(), data: { peer: this.id } })
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
