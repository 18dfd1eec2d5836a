/**
 * Peers that were left because they had become slow are not banned: now and then a short answer goes over the placement that was
 * left, and what it takes is what they are judged by from then on.
 */
import type { MeshPlacement } from '../mesh/index.ts'
import type { ModelManifest } from '../models/index.ts'
import { GREEDY } from '../pipeline/index.ts'
import type { GenerateEvent, GenerateRequest } from '../pipeline/index.ts'
import { hasBecomeSlow, isStillReady } from '../placement/index.ts'
import type { LivingState } from '../placement/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { watchAnswer } from './answer-watch.ts'
import type { PlanMeasures } from './profile-plan.ts'

/** Who has recovered is seen within a minute, a probe that failed included. */
const PROBE_MS = 20_000
/** Who has not recovered in so long is probed a tenth as often. */
const LONG_MS = 1_800_000
/** Enough that its steps are more than its start. */
const PROBE_TOKENS = 12
const DEADLINE_MS = 15_000

export interface ProbationNeeds {
  readonly self: string
  readonly clock: Clock
  readonly measured: PlanMeasures
  readonly telemetry: Pick<Telemetry, 'count'>
  generate(request: GenerateRequest): AsyncIterable<GenerateEvent>
}

export class Probation {
  readonly #needs: ProbationNeeds
  /** By model: when the last probe ended. */
  readonly #last = new Map<string, number>()
  #running: Promise<void> | undefined

  constructor(needs: ProbationNeeds) {
    this.#needs = needs
  }

  /**
   * Probes what this placement has left, where it is time; one probe at a time.
   * @param sinceMs since it was left
   */
  look(placement: MeshPlacement, manifest: ModelManifest, state: LivingState, sinceMs: number): void {
    const { clock, self } = this.#needs
    const { before, origin } = state.note
    if (this.#running !== undefined || before === undefined || origin !== self || placement.kind === 'hand') return
    const pause = sinceMs < LONG_MS ? PROBE_MS : 10 * PROBE_MS
    const last = Math.max(this.#last.get(placement.model) ?? -Infinity, clock.now() - sinceMs)
    if (clock.now() - last < pause || !isStillReady(state) || !hasBecomeSlow(state)) return
    this.#running = this.#probe(manifest, { model: placement.model, stages: before })
      .catch(() => undefined)
      .finally(() => {
        this.#last.set(placement.model, clock.now())
        this.#running = undefined
      })
  }

  async #probe(manifest: ModelManifest, placement: GenerateRequest['placement'] & object): Promise<void> {
    const { measured, telemetry } = this.#needs
    telemetry.count('speed_probes')
    const events = this.#needs.generate({
      model: manifest.digest,
      input: { kind: 'ids', ids: [0] },
      sampling: GREEDY,
      maxTokens: PROBE_TOKENS,
      ignoreEnd: true,
      deadline: DEADLINE_MS,
      placement,
    })
    const told = watchAnswer(events, (route, stepMs) => measured.answered(manifest, route, stepMs, 'probe'))
    for await (const event of told) if (event.type === 'waiting') return
  }
}
