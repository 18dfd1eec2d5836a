/**
 * Where models run: placements are planned or taken from a person, published to the mesh, and what they give to this
 * peer is loaded here. The placement that stands is a record of the mesh; this part makes it so.
 */
import type { MeshPlacement, ModelHoldings, PlacementInit } from '../mesh/index.ts'
import { languageModel } from '../models/index.ts'
import type { AnyManifest, ModelManifest } from '../models/index.ts'
import type { BlockRange, GraphStages, PlacementFile, PlacementStage } from '../pipeline/index.ts'
import { checkPlacement, checkReplicas, NoPlacementError, ORIGIN, planPlacement } from '../placement/index.ts'
import type { Objective, Plan, PlanInput } from '../placement/index.ts'
import { isPeerId, PolicyRefusedError } from '../trust/index.ts'
import type { Clock } from '../util/index.ts'
import { AbsentPeerError, DeployFailedError, NameTakenThereError } from './errors.ts'
import type { Library } from './library.ts'
import { isNameTaken, planInput } from './plan-input.ts'
import type { PlanNeeds, PlanWishes } from './plan-input.ts'
import { failureOf, TakingUp } from './take-up.ts'
import { NamedPeers } from './named-peers.ts'
import { RouteSeeking } from './route-seeking.ts'
import type { PlacementStatus, ProgressSink } from './types.ts'

/** A peer that has to fetch its blocks over a slow link takes long; one that says nothing is not waited for. */
const DEPLOY_DEADLINE_MS = 600_000

export interface PlacingNeeds extends PlanNeeds {
  readonly clock: Clock
  readonly library: Library
  readonly graphStages: GraphStages
  /** A placement with others in the place of peers that are gone; undefined: nobody could take their blocks. */
  repair(manifest: ModelManifest, stages: readonly PlacementStage[]): readonly PlacementStage[] | undefined
  /** Why others would not obey what this peer places. @default they do */
  mayNotPlace?: (() => Error | undefined) | undefined
  /** Why what another peer has placed here is not loaded; undefined: it is. */
  refuses?(placement: MeshPlacement): string | undefined
  /** Sessions have stages here. */
  busy(): boolean
  log(fields: object, message: string): void
}

interface Waiting {
  readonly progress?: ProgressSink | undefined
  readonly signal?: AbortSignal | undefined
  readonly named?: NamedPeers | undefined
  /** It is waited no longer. */
  readonly isMoot?: () => boolean
}

export class Placing {
  readonly #needs: PlacingNeeds
  /** Alone, placements are this peer's own. */
  readonly #alone = new Map<string, MeshPlacement>()
  readonly #takingUp: TakingUp
  readonly #seeking: RouteSeeking
  #stopped = false
  #reconciling: Promise<void> = Promise.resolve()

  constructor(needs: PlacingNeeds) {
    this.#needs = needs
    this.#takingUp = new TakingUp({
      ...needs,
      isStopped: () => this.#stopped,
      again: (milliseconds) => void needs.clock.after(milliseconds, () => this.reconcile()),
    })
    this.#seeking = new RouteSeeking({
      ...needs,
      placement: (model) => this.placement(model),
      standing: (manifest) => this.standing(manifest),
      plan: (manifest) => this.#agreed(manifest, 'latency'),
      isHere: (peer, model) => this.#isHere(peer, model),
      without: (model) => this.#without(model),
      publish: (manifest, wanted) => this.publish(manifest, wanted),
      ready: (manifest, published) => this.#whileThere(manifest, published),
      deploy: async (manifest, stages) => {
        this.check(manifest, stages)
        const note = { origin: needs.self, objective: 'latency' as const, without: this.#without(manifest.model) }
        const wanted = { kind: 'chosen' as const, stages, replicas: [], note }
        await this.#loaded(manifest, wanted, (published) => this.#whileThere(manifest, published))
      },
    })
  }

  placement(model: string): MeshPlacement | undefined {
    return this.#needs.mesh?.placement(model) ?? this.#alone.get(model)
  }

  placements(): readonly MeshPlacement[] {
    return this.#needs.mesh?.placements() ?? [...this.#alone.values()]
  }

  /** @throws NoPlacementError when the model fits nowhere */
  plan(model: AnyManifest, objective: Objective): Plan {
    const plan = planPlacement(planInput(this.#needs, model, { objective }))
    if (plan.verdict === 'no-fit') throw new NoPlacementError(model.model, plan)
    return plan
  }

  #agreed(model: AnyManifest, objective: Objective, signal?: AbortSignal): Promise<Plan> {
    const plan = (): Plan => this.plan(model, objective)
    return this.#needs.asking?.agreed(model, plan, signal) ?? Promise.resolve().then(plan)
  }

  question(model: AnyManifest, wishes: PlanWishes): PlanInput {
    return planInput(this.#needs, model, wishes)
  }

  /** Publishes the placement and waits until all its stages are ready. */
  async deploy(
    manifest: AnyManifest,
    placement: PlacementFile | Objective | undefined,
    progress: ProgressSink,
    signal?: AbortSignal,
  ): Promise<PlacementStatus> {
    languageModel(manifest)
    const refused = this.#needs.mayNotPlace?.()
    if (refused !== undefined) throw refused
    const byHand = typeof placement === 'object'
    const { stages } = byHand ? placement : await this.#agreed(manifest, placement ?? 'latency', signal)
    const replicas = byHand ? (placement.replicas ?? []) : []
    this.check(manifest, stages, replicas)
    const peers = byHand ? [...stages, ...replicas].map(({ peer }) => peer) : []
    const named = new NamedPeers(peers, (peer) => this.#isConnected(peer), this.#needs.clock)
    // Before anything is published: what stands goes on where this one cannot be.
    await named.arrived(signal)
    await this.#needs.asking?.admit(manifest, peers, signal)
    const objective = byHand ? 'latency' : (placement ?? 'latency')
    const note = { origin: this.#needs.self, objective, without: this.#without(manifest.model) }
    const wanted = { kind: byHand ? ('hand' as const) : ('chosen' as const), stages, replicas, note }
    const ready = (next: MeshPlacement): Promise<void> => this.#ready(manifest, next, { progress, signal, named })
    const published = await this.#loaded(manifest, wanted, ready, signal)
    const { model, epoch, author, kind, stages: standing } = this.placement(manifest.model) ?? published
    return { schema: 'weft.placement/1', model, epoch, author, kind, stages: standing }
  }

  /** Publishes a placement and waits for it; where it cannot be loaded, or not in time, what stood before stands again. */
  async #loaded(
    manifest: AnyManifest,
    wanted: Omit<PlacementInit, 'digest'>,
    wait: (published: MeshPlacement) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<MeshPlacement> {
    const before = this.placement(manifest.model)
    const published = await this.publish(manifest, wanted)
    try {
      await wait(published)
    } catch (error) {
      const isOver = [AbsentPeerError, DeployFailedError, PolicyRefusedError].some((kind) => error instanceof kind)
      // Who has given up waiting for it is not left with a placement that nobody has loaded.
      if (isOver || signal?.aborted === true) await this.#restore(manifest, before, published)
      throw error
    }
    return published
  }

  async #restore(manifest: AnyManifest, before: MeshPlacement | undefined, failed: MeshPlacement): Promise<void> {
    if (before?.digest !== manifest.digest || before.stages.length === 0 || !this.#stands(failed)) return
    const { kind, stages, replicas, note } = before
    await this.publish(manifest, { kind, stages, replicas, ...(note === undefined ? {} : { note }) })
  }

  /** It stands from now on, and takes the place of the one before. */
  async publish({ digest, model }: AnyManifest, wanted: Omit<PlacementInit, 'digest'>): Promise<MeshPlacement> {
    const { mesh, self } = this.#needs
    const init = { ...wanted, digest }
    if (mesh === null) this.#alone.set(model, { model, epoch: 1, author: self, replicas: [], ...init })
    const published = mesh === null ? this.#alone.get(model)! : await mesh.publishPlacement(model, init)
    this.reconcile()
    return published
  }

  /** Who wrote a placement that stands and gives exactly these blocks to this peer, or to whoever asks. */
  giver(digest: string, [from, to]: BlockRange): string | undefined {
    return this.placements().find(
      (placement) =>
        placement.digest === digest &&
        this.#needs.refuses?.(placement) === undefined &&
        placement.stages.some(
          (stage) =>
            (stage.peer === this.#needs.self || stage.peer === ORIGIN) && stage.from === from && stage.to === to,
        ),
    )?.author
  }

  /** The stages of the placement that stands, where all of its peers can be reached. */
  standing({ digest, model }: AnyManifest): readonly PlacementStage[] | undefined {
    const placement = this.placement(model)
    return placement?.digest === digest && this.#reachable(placement) ? placement.stages : undefined
  }

  /** @throws a coded error that names the entry that is wrong */
  check(manifest: AnyManifest, stages: readonly PlacementStage[], replicas: readonly PlacementStage[] = []): void {
    const { mesh, self, quarantine } = this.#needs
    const known = new Set([self, ORIGIN, ...(mesh?.peers() ?? []).map((peer) => peer.id)])
    const peers = [...stages, ...replicas].map(({ peer }) => peer)
    // what is no id is nobody whose role could be wrong
    quarantine?.refuse(
      peers.filter((peer) => known.has(peer) || isPeerId(peer)),
      manifest.model,
    )
    checkPlacement(stages, manifest.blocks.length, known)
    checkReplicas(replicas, manifest.blocks.length, known)
    const other = peers.find((peer) => peer !== self && isNameTaken(mesh, peer, manifest))
    if (other !== undefined) throw new NameTakenThereError(other, manifest.model)
  }

  async undeploy(model: string): Promise<void> {
    this.#alone.delete(model)
    await this.#needs.mesh?.withdrawPlacement(model)
    this.reconcile()
    await this.#reconciling
  }

  /** Those that stand by are not waited for, nor is one that has gone in its turn: of that nothing would come. */
  #whileThere(manifest: AnyManifest, placement: MeshPlacement): Promise<void> {
    const isMoot = (): boolean => placement.stages.some(({ peer }) => !this.#isHere(peer, manifest.model))
    return this.#ready(manifest, { ...placement, replicas: [] }, { isMoot })
  }

  async #ready(
    manifest: AnyManifest,
    placement: MeshPlacement,
    { progress = () => undefined, signal, named, isMoot = () => false }: Waiting,
  ): Promise<void> {
    const { clock } = this.#needs
    const wanted = [...placement.stages, ...placement.replicas].map((stage) => ({
      ...stage,
      peer: stage.peer === ORIGIN ? this.#needs.self : stage.peer,
    }))
    const until = clock.now() + DEPLOY_DEADLINE_MS
    const asked = this.#needs.asking?.follow(manifest)
    const peers = new Set(wanted.map((stage) => stage.peer)).size
    const task = `loading ${manifest.model} on ${peers} ${peers === 1 ? 'peer' : 'peers'}`
    let shown = -1
    for (;;) {
      signal?.throwIfAborted()
      const waiting = wanted.filter((stage) => !this.#isReady(manifest.digest, stage))
      const done = wanted.length - waiting.length
      if (done !== shown) progress({ type: 'progress', task, done, total: wanted.length, unit: 'steps' })
      shown = done
      // Of two that decide at once one stands, and nobody loads the other.
      if (waiting.length === 0 || !this.#stands(placement) || isMoot()) return
      const names = waiting.map((stage) => `${stage.peer} [${stage.from}, ${stage.to})`)
      const failure = failureOf({ ...this.#needs, failures: this.#takingUp.failures }, manifest.digest, waiting)
      if (failure !== undefined) throw new DeployFailedError(manifest.model, names, failure)
      named?.checkLost(waiting.map(({ peer }) => peer))
      asked?.check(waiting.map(({ peer }) => peer))
      if (clock.now() > until) throw new DeployFailedError(manifest.model, names, 'the time for it has passed')
      await clock.sleep(50, signal)
    }
  }

  #stands({ model, epoch, author }: MeshPlacement): boolean {
    const standing = this.placement(model)
    return standing?.epoch === epoch && standing.author === author
  }

  #isReady(digest: string, stage: PlacementStage): boolean {
    const { self, mesh, stages } = this.#needs
    const ready =
      stage.peer === self
        ? stages.list().filter((entry) => entry.digest === digest && entry.state === 'ready')
        : (mesh?.holdings().get(stage.peer) ?? [])
            .filter((held: ModelHoldings) => held.digest === digest)
            .flatMap((held) => held.stages.filter((entry) => entry.state === 'ready'))
    return covers(ready, stage.from, stage.to)
  }

  /** Makes what is loaded here what the placements say; runs again when they change meanwhile. */
  reconcile(): void {
    this.#reconciling = this.#reconciling.then(() => (this.#stopped ? undefined : this.#reconcile()))
  }

  async #reconcile(): Promise<void> {
    const placements = this.placements()
    for (const placement of placements) await this.#takingUp.takeUp(placement)
    const placed = new Set(placements.map((placement) => placement.digest))
    for (const { digest } of this.#needs.stages.list()) {
      if (!placed.has(digest) && this.#dropped.has(digest)) await this.#needs.stages.retain(digest, [])
    }
    this.#dropped = placed
    await this.#needs.graphStages.reconcile()
  }

  /** Digests that a placement gave to this peer before: only these are released when it goes. */
  #dropped: ReadonlySet<string> = new Set()

  /** Others would not know that this peer goes over nobody of these. */
  #without(model: string): string[] {
    const { mesh, quarantine } = this.#needs
    return (mesh?.peers() ?? []).flatMap(({ id }) => (quarantine?.isListed(id, model) === true ? [id] : []))
  }

  #reachable(placement: MeshPlacement): boolean {
    return placement.stages.every(({ peer }) => this.#isHere(peer, placement.model))
  }

  #isHere(peer: string, model: string): boolean {
    return this.#needs.quarantine?.has(peer, model) !== true && this.#isConnected(peer)
  }

  #isConnected(peer: string): boolean {
    const { self, mesh } = this.#needs
    return peer === ORIGIN || peer === self || mesh?.state(peer) === 'connected'
  }

  /** What a request that begins takes. @throws NoPlacementError, DeployFailedError, the signal's reason */
  stagesFor(manifest: ModelManifest, signal?: AbortSignal): Promise<readonly PlacementStage[]> {
    return this.#seeking.stagesFor(manifest, signal)
  }

  stop(): void {
    this.#stopped = true
  }
}

function covers(ranges: readonly { readonly from: number; readonly to: number }[], from: number, to: number): boolean {
  if (from >= to) return true
  return ranges.some((range) => range.from <= from && from < range.to && covers(ranges, range.to, to))
}
