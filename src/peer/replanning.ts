/**
 * Placements that live: every peer that has a model's manifest weighs, twice a second, whether its placement should move,
 * and comes to the same decision as all others, since it reads what they read. Who acts is first in an order that changes
 * with each epoch; who is next does when the first does not. What happens is a record that all take up: first the new stages are
 * loaded beside the old ones, then they stand.
 */
import type { Mesh, MeshPlacement } from '../mesh/index.ts'
import { isGraphManifest } from '../models/index.ts'
import type { AnyManifest, ModelManifest } from '../models/index.ts'
import {
  changed,
  FINISH_MS,
  hasBecomeSlow,
  judge,
  MOST_DECIDERS,
  RANK_MS,
  SETTLE_MS,
  weigh,
} from '../placement/index.ts'
import type { Decision, LivingState, Weighed } from '../placement/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import type { Placing } from './placing.ts'
import type { Probation } from './probation.ts'
import { decidersOf, livingState } from './replan-input.ts'
import type { PeerEvent } from './types.ts'

const LOOK_MS = 500
/** Who is not among the first looks this often whether it is by now. */
const BYSTANDER_MS = 10_000
/** An answer that could not leave a slow peer tries again after this: nobody may have had room to be fed beforehand. */
const LEAVE_MS = 5_000

/** `preview`: it is decided and shown, and nothing is moved. */
export type ReplanMode = 'on' | 'preview' | 'off'

export interface ReplanningNeeds {
  readonly self: string
  readonly clock: Clock
  readonly mesh: Mesh
  readonly placing: Pick<Placing, 'placements' | 'publish'>
  readonly mode: ReplanMode
  /** Milliseconds for which nothing moves after a change. @default a minute */
  readonly quiet: number | undefined
  readonly telemetry: Pick<Telemetry, 'count'>
  readonly probation: Pick<Probation, 'look'>
  manifest(digest: string): AnyManifest | undefined
  /** Answers of this model are under way from here. */
  isUsing(digest: string): boolean
  /** Answers under way leave these peers. */
  leave(digest: string, peers: ReadonlySet<string>): void
  emit(event: PeerEvent['event'], data: PeerEvent['data']): void
  log(fields: object, message: string): void
}

/** How a placement stands with the decision about it. */
export interface ReplanView {
  readonly decision: Decision
  /** Who acts first, and who after it. */
  readonly deciders: readonly string[]
}

/** Of one model: since when what is so. Times of the clock. */
interface Course {
  epoch: number
  author: string
  /** First heard of. */
  since: number
  /** What would be done now, and since when it would be. */
  wanted: string
  wantedSince: number
  /** Last told of. */
  told: string
  /** Answers that go over peers that have become slow were told to leave them. */
  toldToLeave: number
  /** Not before then. */
  nextLook: number
  key: string
  weighed: Weighed
  /** What was read last, and after how many changes of the mesh. */
  state: LivingState | undefined
  stateAt: number
  weighedAt: number
}

const NOTHING: Weighed = { move: null, heldBy: 'best' }

export class Replanning {
  readonly #needs: ReplanningNeeds
  readonly #courses = new Map<string, Course>()
  readonly #off: () => void
  /** Of what the mesh knows: as long as none comes, what was read is what would be read. */
  #changes = 0
  #cancel: CancelTimer = () => undefined
  #stopped = false

  constructor(needs: ReplanningNeeds) {
    this.#needs = needs
    const change = (): void => void this.#changes++
    this.#off = needs.mesh.on({ changed: change, joined: change, left: change })
  }

  get mode(): ReplanMode {
    return this.#needs.mode
  }

  start(): void {
    if (this.#stopped || this.#needs.mode === 'off') return
    void this.#look().then(() => {
      if (!this.#stopped) this.#cancel = this.#needs.clock.after(LOOK_MS, () => this.start())
    })
  }

  stop(): void {
    this.#stopped = true
    this.#off()
    this.#cancel()
  }

  /** Undefined for what is no language model, or is not known here. */
  view(placement: MeshPlacement): ReplanView | undefined {
    const state = this.#state(placement)
    if (state === undefined) return undefined
    const course = this.#course(placement)
    const decision = this.#judge(course, state)
    return { decision, deciders: decidersOf(this.#needs, placement).slice(0, MOST_DECIDERS) }
  }

  async #look(): Promise<void> {
    const placements = this.#needs.placing.placements()
    const models = new Set(placements.map(({ model }) => model))
    for (const model of this.#courses.keys()) if (!models.has(model)) this.#courses.delete(model)
    for (const placement of placements)
      await this.#lookAt(placement).catch((error: unknown) => {
        if (this.#stopped) return
        this.#course(placement).nextLook = this.#needs.clock.now() + BYSTANDER_MS
        this.#needs.log({ model: placement.model, err: error }, 'a placement could not be weighed')
      })
  }

  async #lookAt(placement: MeshPlacement): Promise<void> {
    const { clock, self, mode } = this.#needs
    const course = this.#course(placement)
    this.#followUp(placement, course)
    if (clock.now() < course.nextLook) return
    const rank = decidersOf(this.#needs, placement).indexOf(self)
    // Somebody else's to decide: it is weighed here when a person asks.
    if (rank >= MOST_DECIDERS || rank < 0) {
      course.nextLook = clock.now() + BYSTANDER_MS
      return
    }
    const state = this.#state(placement)
    if (state === undefined) return
    const now = clock.now()
    const decision = this.#judge(course, state)
    this.#tell(placement, course, decision)
    const wanted = decision.action === 'keep' ? '' : `${decision.action} ${JSON.stringify(decision.move.target)}`
    if (wanted !== course.wanted) course.wantedSince = now
    course.wanted = wanted
    const settle = state.note.next === undefined ? SETTLE_MS : FINISH_MS
    const isDue = now - course.wantedSince >= settle + rank * RANK_MS
    if (decision.action !== 'keep' && isDue && mode === 'on') await this.#act(placement, state, decision)
  }

  /** What this peer does about a placement that was left, whoever has decided it. */
  #followUp(placement: MeshPlacement, course: Course): void {
    const { clock, probation, mode } = this.#needs
    const { before } = placement.note ?? {}
    const manifest = this.#manifest(placement.digest)
    const isConcerned = placement.note?.origin === this.#needs.self || this.#needs.isUsing(placement.digest)
    if (before === undefined || manifest === undefined || mode !== 'on' || !isConcerned) return
    const state = this.#state(placement)
    if (state === undefined) return
    if (clock.now() - course.toldToLeave >= LEAVE_MS && hasBecomeSlow(state)) {
      const here = new Set(placement.stages.map(({ peer }) => peer))
      const left = before.map(({ peer }) => peer).filter((peer) => !here.has(peer))
      this.#needs.leave(placement.digest, new Set(left))
      course.toldToLeave = clock.now()
    }
    probation.look(placement, manifest, state, clock.now() - course.since)
  }

  async #act(placement: MeshPlacement, state: LivingState, decision: Decision): Promise<void> {
    const { placing, telemetry } = this.#needs
    const next = changed(state, decision)
    const manifest = this.#manifest(placement.digest)
    if (next === null || decision.action === 'keep' || manifest === undefined) return
    const { kind, epoch, author, model } = placement
    const published = await placing.publish(manifest, { kind, ...next, after: { epoch, author } })
    if (published.author !== this.#needs.self || published.epoch !== epoch + 1) return
    const { bytes, gain } = decision.move
    telemetry.count('replans', 1, { action: decision.action })
    if (decision.action === 'prepare') telemetry.count('moves_bytes', bytes)
    this.#needs.log({ model, epoch: published.epoch, action: decision.action, gain, bytes }, 'the placement moves')
    const data = { model, epoch: published.epoch, action: decision.action, stages: decision.move.target, gain, bytes }
    this.#needs.emit('placement.replanned', data)
  }

  /** Once for each reason for which something better is not done. */
  #tell(placement: MeshPlacement, course: Course, decision: Decision): void {
    const why = decision.action === 'keep' ? decision.heldBy : decision.action
    const told = `${placement.epoch} ${why}`
    if (told === course.told) return
    course.told = told
    if (decision.move === null) return
    if (decision.action === 'keep') this.#needs.telemetry.count('replans_held', 1, { why: decision.heldBy })
    const { gain, bytes, target } = decision.move
    this.#needs.emit('placement.weighed', { model: placement.model, why, gain, bytes, stages: target })
  }

  #state(placement: MeshPlacement): LivingState | undefined {
    const manifest = this.#manifest(placement.digest)
    if (manifest === undefined) return undefined
    const course = this.#course(placement)
    if (course.stateAt !== this.#changes) {
      course.state = livingState(this.#needs, manifest, placement)
      course.stateAt = this.#changes
    }
    return course.state
  }

  #manifest(digest: string): ModelManifest | undefined {
    const manifest = this.#needs.manifest(digest)
    return manifest === undefined || isGraphManifest(manifest) ? undefined : manifest
  }

  #course({ model, epoch, author }: MeshPlacement): Course {
    const known = this.#courses.get(model)
    if (known?.epoch === epoch && known.author === author) return known
    const now = this.#needs.clock.now()
    const fresh = {
      wanted: '',
      wantedSince: now,
      told: '',
      toldToLeave: -Infinity,
      nextLook: 0,
      key: '',
      weighed: NOTHING,
      state: undefined,
      stateAt: -1,
      weighedAt: -1,
    }
    const course = { epoch, author, since: now, ...fresh }
    this.#courses.set(model, course)
    return course
  }

  #judge(course: Course, state: LivingState): Decision {
    const { clock, quiet } = this.#needs
    return judge(state, this.#weigh(course, state), clock.now() - course.since, quiet)
  }

  /** Planning takes its time in a large mesh: once for the same figures. */
  #weigh(course: Course, state: LivingState): Weighed {
    if (course.weighedAt === course.stateAt) return course.weighed
    course.weighedAt = course.stateAt
    // Of one function's making, so that the same figures have the same spelling.
    const key = JSON.stringify({ ...state, held: [...state.held] })
    if (key !== course.key) {
      course.weighed = weigh(state)
      course.key = key
    }
    return course.weighed
  }
}
