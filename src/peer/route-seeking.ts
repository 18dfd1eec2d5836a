/**
 * The stages of a request that begins, also while peers of the placement come and go: it takes the placement that stands, or
 * waits until another one does. One look for a model at a time, for whoever asks meanwhile.
 */
import type { MeshPlacement, PlacementInit } from '../mesh/index.ts'
import type { ModelManifest } from '../models/index.ts'
import type { PlacementStage } from '../pipeline/index.ts'
import { NoPlacementError, ORIGIN } from '../placement/index.ts'
import type { Plan } from '../placement/index.ts'
import { PolicyRefusedError } from '../trust/index.ts'
import { orAbort } from '../util/index.ts'
import type { Clock } from '../util/index.ts'
import { DeployFailedError } from './errors.ts'

/** From one look at what stands to the next, where one has come to nothing. */
const LOOK_MS = 200
/**
 * For which a request waits while nobody can take the blocks of a peer that has gone: it may be between two connections, and another
 * one may have joined and not have said yet what it has. Nothing of the request is lost, and whoever asks can ask elsewhere.
 */
const PATIENCE_MS = 2_500

/** What is over when another peer has come, or one that refuses is left out of what is planned next. */
const PASSING = [NoPlacementError, DeployFailedError, PolicyRefusedError]

export interface RouteSeekingNeeds {
  readonly self: string
  readonly clock: Clock
  placement(model: string): MeshPlacement | undefined
  /** The stages of the placement that stands, where all of its peers can be reached. */
  standing(manifest: ModelManifest): readonly PlacementStage[] | undefined
  /** With others in the place of peers that are gone; undefined: nobody could take their blocks. */
  repair(manifest: ModelManifest, stages: readonly PlacementStage[]): readonly PlacementStage[] | undefined
  /** Over peers that let this one place there. @throws NoPlacementError, PolicyRefusedError */
  plan(manifest: ModelManifest): Promise<Plan>
  isHere(peer: string, model: string): boolean
  /** Peers that this one goes over for nothing of the model. */
  without(model: string): string[]
  publish(manifest: ModelManifest, wanted: Omit<PlacementInit, 'digest'>): Promise<MeshPlacement>
  /** Until its stages are loaded, or another placement stands, or one of its peers has gone. @throws DeployFailedError */
  ready(manifest: ModelManifest, placement: MeshPlacement): Promise<void>
  /** The same of one that was planned anew; where it cannot be loaded what stood before stands again. @throws DeployFailedError */
  deploy(manifest: ModelManifest, stages: readonly PlacementStage[]): Promise<void>
  log(fields: object, message: string): void
}

/** Stages that nobody has to load; undefined: what stands is to be looked at again. */
type Found = readonly PlacementStage[] | undefined

export class RouteSeeking {
  readonly #needs: RouteSeekingNeeds
  readonly #under: Map<string, Promise<Found>> = new Map()

  constructor(needs: RouteSeekingNeeds) {
    this.#needs = needs
  }

  /**
   * The placement that stands, or what this peer can do by itself.
   * @throws NoPlacementError, DeployFailedError, the signal's reason
   */
  async stagesFor(manifest: ModelManifest, signal?: AbortSignal): Promise<readonly PlacementStage[]> {
    const { clock } = this.#needs
    let failing: number | undefined
    for (let looks = 0; ; looks++) {
      const standing = this.#needs.standing(manifest)
      if (standing !== undefined) return standing
      if (looks > 0) await clock.sleep(LOOK_MS, signal)
      const since = clock.now()
      try {
        const look = this.#look(manifest)
        const found = await (signal === undefined ? look : orAbort(look, signal))
        if (found !== undefined) return found
        failing = undefined
      } catch (error) {
        if (!this.#mayPass(manifest, error)) throw error
        failing ??= since
        if (clock.now() - failing >= PATIENCE_MS) throw error
      }
    }
  }

  /** It has been somewhere: what keeps it from being there now is perhaps over soon. */
  #mayPass({ model, digest }: ModelManifest, error: unknown): boolean {
    const isPlaced = this.#needs.placement(model)?.digest === digest
    return isPlaced && PASSING.some((kind) => error instanceof kind)
  }

  #look(manifest: ModelManifest): Promise<Found> {
    const { digest } = manifest
    const running = this.#under.get(digest)
    if (running !== undefined) return running
    const look = this.#seek(manifest).finally(() => this.#under.delete(digest))
    this.#under.set(digest, look)
    return look
  }

  /** Others are asked before all is planned anew: what they hold stays where it is, and running sessions with it. */
  async #seek(manifest: ModelManifest): Promise<Found> {
    const placement = this.#needs.placement(manifest.model)
    if (placement?.digest === manifest.digest) {
      const stages = this.#needs.repair(manifest, placement.stages)
      if (stages !== undefined) return this.#repair(manifest, stages, placement)
    }
    const plan = await this.#needs.plan(manifest)
    const isOwn = plan.stages.every(({ peer }) => peer === this.#needs.self || peer === ORIGIN)
    if (plan.verdict === 'do-not-split' && isOwn) return [{ peer: ORIGIN, from: 0, to: manifest.blocks.length }]
    await this.#needs.deploy(manifest, plan.stages)
    return undefined
  }

  async #repair(
    manifest: ModelManifest,
    stages: readonly PlacementStage[],
    { stages: before, replicas, kind, note = { origin: this.#needs.self, objective: 'latency' } }: MeshPlacement,
  ): Promise<Found> {
    const { model } = manifest
    const left = replicas.filter(({ peer }) => this.#needs.isHere(peer, model))
    const { origin, objective, pinned = kind === 'hand' ? before : undefined } = note
    const without = this.#needs.without(model)
    const published = await this.#needs.publish(manifest, {
      kind,
      stages,
      replicas: left,
      note: { origin, objective, without, ...(pinned === undefined ? {} : { pinned }) },
    })
    this.#needs.log({ model, epoch: published.epoch }, 'peers of the placement are gone: others took their blocks')
    await this.#needs.ready(manifest, published)
    return undefined
  }
}
