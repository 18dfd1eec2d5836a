/** The gossip of a job at one of its members: its own model, its loop, what it does for its groups, and what it notes of each round. */
import { join } from 'node:path'
import { writeNpz } from '../../data/index.ts'
import { GossipHost } from '../rounds/gossip-host.ts'
import { GossipLoop } from '../rounds/gossip-loop.ts'
import type { GossipNeeds, GossipNote } from '../rounds/gossip-loop.ts'
import { GossipState } from '../rounds/gossip-state.ts'
import type { CoordinatorNeeds, Waiting } from '../rounds/coordinator-types.ts'
import { folderFiles } from '../rounds/member-state.ts'
import { tensorsOf } from '../site/parameters.ts'
import type { Site } from '../site/site.ts'
import { roundFile } from './standing-model.ts'

export interface RunningGossipNeeds extends Omit<GossipNeeds, 'gossip' | 'noted' | 'site'> {
  readonly host: CoordinatorNeeds
  /** Of the job. */
  readonly path: string
  readonly site: Site
  readonly note: (event: string, facts: Record<string, unknown>) => void
  /** What was noted, by processes before this one too. */
  readonly events: () => Promise<readonly Record<string, unknown>[]>
}

interface LateNote extends Record<'members' | 'records' | 'loss' | 'bytes' | 'mixed', null> {
  readonly round: number
  readonly late: true
}

export class RunningGossip {
  readonly host: GossipHost
  readonly loop: GossipLoop
  readonly #state: GossipState
  readonly #needs: RunningGossipNeeds

  private constructor(needs: RunningGossipNeeds, state: GossipState) {
    this.#state = state
    this.#needs = needs
    this.host = new GossipHost(needs.host, () => state.step)
    this.loop = new GossipLoop({ ...needs, gossip: state, noted: (note, model) => this.#noted(note, model) })
  }

  /** @throws JobDamagedError */
  static async open(needs: RunningGossipNeeds): Promise<RunningGossip> {
    return new RunningGossip(needs, await GossipState.open(folderFiles(needs.path)))
  }

  /** Rounds that are behind this member. */
  get step(): number {
    return this.#state.step
  }

  /** Undefined: the one that all begin with. */
  get model(): Float32Array | undefined {
    return this.#state.model
  }

  get waiting(): Waiting | undefined {
    return this.host.waiting ?? this.loop.waiting
  }

  /** Resolves when the last round is over. @throws what this site refuses */
  async run(): Promise<void> {
    await this.#noteLate()
    await this.loop.run()
  }

  stop(): void {
    this.loop.stop()
    this.host.stop()
  }

  /** The process ended after a round was signed and before it was noted: what came of it nobody says again. */
  async #noteLate(): Promise<void> {
    const { step, model } = this.#state
    if (step === 0 || model === undefined) return
    const isNoted = (await this.#needs.events()).some(({ event, round }) => event === 'round' && round === step)
    const unknown = { members: null, records: null, loss: null, bytes: null, mixed: null }
    if (!isNoted) await this.#noted({ round: step, ...unknown, late: true }, model)
  }

  async #noted(facts: GossipNote | LateNote, model: Float32Array): Promise<void> {
    const { path, site, note, standing } = this.#needs
    // Of a process that has just begun the site knows no scaling yet.
    await site.weights(standing.current.state)
    const metrics = await site.trainer.metrics(model, 'test')
    // The model first: a round that is noted is whole.
    const tensors = tensorsOf(site.trainer.shapes(), model)
    await writeNpz(join(path, 'rounds', roundFile(facts.round)), new Map(Object.entries(tensors)))
    note('round', { step: facts.round, session: facts.round - 1, ...facts, own_test: metrics ?? null })
  }
}
