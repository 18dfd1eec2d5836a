/** What a site notes of each round: its line of the life-cycle, and the model that it left. */
import { join } from 'node:path'
import { writeNpz } from '../../data/index.ts'
import { AnalysisMath } from '../analysis/math.ts'
import { roundOf, sumsOf } from '../plan/cohort.ts'
import type { JobView } from '../rounds/job-view.ts'
import type { MemberState } from '../rounds/member-state.ts'
import type { RoundFacts } from '../rounds/sum-math.ts'
import { stepsOf } from '../rounds/state.ts'
import type { FedState } from '../rounds/state.ts'
import { tensorsOf } from '../site/parameters.ts'
import type { Site } from '../site/site.ts'
import type { JobFolder } from './job-folder.ts'
import type { SignedResults } from './signed-results.ts'
import { roundFile } from './standing-model.ts'

export interface NotedRound extends RoundFacts {
  /** In the sum; null: not known here. */
  readonly members: number | null
  readonly session: number | null
  /** Of what this site added to the sum; null: not known here. */
  readonly bytes: number | null
  /** Of asynchronous rounds: age of this site's own update; null: it is not in it. */
  readonly own_age?: number | null
}

export interface RoundNotesNeeds {
  readonly folder: JobFolder
  readonly view: JobView
  readonly standing: MemberState
  readonly signed: SignedResults
  /** The model now, at this site; nothing before the statistics, or without data. */
  readonly weights: () => Promise<{ readonly site: Site; readonly weights: Float32Array } | undefined>
  readonly note: (event: string, facts: Record<string, unknown>) => void
}

export class RoundNotes {
  readonly #needs: RoundNotesNeeds
  /** Hashes of the states that were noted, those of processes before this one too. */
  #noted: Promise<Set<unknown>> | undefined

  constructor(needs: RoundNotesNeeds) {
    this.#needs = needs
  }

  /** Of a sum that this site has had a part in. @param before the state that it was made from */
  async applied(before: FedState, facts: NotedRound): Promise<void> {
    const noise = this.#needs.view.math.noise(before)
    const spent = noise === undefined ? {} : { q: noise.q, z: noise.z, unit: noise.unit }
    await this.#note(facts, spent)
  }

  /**
   * What stands and was not noted is: the process ended in between, or the state is one that others made. How many were in it is
   * known where this site signed for it; its loss and records nobody says again.
   */
  async standing(): Promise<void> {
    const { standing, signed } = this.#needs
    const { state, hash } = standing.current
    if (stepsOf(state) === 0) return
    const model = Buffer.from(hash).toString('hex')
    if ((await this.#known()).has(model)) return
    const result = await signed.at(stepsOf(state))
    const own = result?.model === model ? result : undefined
    const facts = {
      loss: null,
      records: null,
      members: own?.members.length ?? null,
      session: own?.session ?? null,
      bytes: null,
    }
    await this.#note(facts, { late: true })
  }

  #known(): Promise<Set<unknown>> {
    this.#noted ??= this.#needs.folder.events().then((events) => new Set(events.map((event) => event['model'])))
    return this.#noted
  }

  async #note(facts: NotedRound, rest: Record<string, unknown>): Promise<void> {
    const { folder, view, standing, note, weights } = this.#needs
    const { math } = view
    const { state, hash } = standing.current
    const model = Buffer.from(hash).toString('hex')
    const noted = await this.#known()
    noted.add(model)
    if (math instanceof AnalysisMath) {
      note('round', { round: state.done, step: state.done, ...facts, model, ...rest })
      return
    }
    if (state.done === 0) {
      note('statistics', { ...facts, model, columns: state.pooled?.columns.length ?? 0, ...rest })
      return
    }
    const { plan } = math
    const round = roundOf(plan, state.done - 1)
    const held = await weights()
    const metrics = held === undefined ? undefined : await held.site.trainer.metrics(held.weights, 'test')
    // The model first: a round that is noted is whole.
    if (held !== undefined && state.done % (sumsOf(plan) / plan.rounds) === 0) {
      const tensors = tensorsOf(held.site.trainer.shapes(), held.weights)
      await writeNpz(join(folder.path, 'rounds', roundFile(round)), new Map(Object.entries(tensors)))
    }
    note('round', { round, step: state.done, ...facts, model, ...rest, own_test: metrics ?? null })
  }
}
