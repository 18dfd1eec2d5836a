/**
 * Small models that guess for answers of this peer: each in a stage host of its own, whole, as long as its memory is not wanted for
 * stages. Nobody else reaches their sessions.
 */
import type { ModelManifest } from '../../models/index.ts'
import type { StageHost } from '../host/stage-host.ts'
import { Stages } from '../stages.ts'
import type { StagesNeeds } from '../stages.ts'
import { Draft } from './draft.ts'
import type { DraftInit } from './draft.ts'
import { runYielding } from './run-yielding.ts'

export interface DraftHostsNeeds extends Omit<StagesNeeds, 'others' | 'changed'> {
  /** Bytes that stages of this peer take. */
  taken(): number
  count(name: string, by?: number): void
}

export interface LoadedDraft {
  readonly model: string
  readonly pid: number
  readonly state: 'loading' | 'ready' | 'failed'
  /** Answers that it guesses for now. */
  readonly sessions: number
}

export class DraftHosts {
  readonly #needs: DraftHostsNeeds
  readonly #stages: Stages
  readonly #drafts = new WeakMap<StageHost, Map<number, Draft>>()
  #next = 1

  constructor(needs: DraftHostsNeeds) {
    this.#needs = needs
    const runHost = needs.runHost ?? runYielding
    this.#stages = new Stages({ ...needs, runHost, others: () => needs.taken(), changed: () => undefined })
  }

  /** Bytes of weights that are loaded, or about to be. */
  get weights(): number {
    return this.#stages.weights
  }

  /**
   * Whether it fits beside all that is loaded.
   * @param beside bytes that will be loaded besides
   * @param share of the memory that is left then
   */
  fits({ digest, blocks }: Pick<ModelManifest, 'digest' | 'blocks'>, beside = 0, share = 1): boolean {
    const left = this.#needs.memory - this.#needs.taken() - this.#stages.weightsBeside(digest) - beside
    return blocks.reduce((sum, block) => sum + block.memory, 0) <= left * share
  }

  /** Its processes, by model. */
  get loaded(): readonly { readonly digest: string; readonly pid: number }[] {
    return this.#stages.hosts().map(({ digest, host }) => ({ digest, pid: host.pid }))
  }

  /** What is loaded, and for how many answers each guesses now. */
  list(): readonly LoadedDraft[] {
    const sessions = new Map(this.#stages.hosts().map(({ host }) => [host.pid, this.#drafts.get(host)?.size ?? 0]))
    return this.#stages.list().map(({ model, pid, state }) => ({ model, pid, state, sessions: sessions.get(pid) ?? 0 }))
  }

  /** Has the whole of it loaded. @throws MemoryQuotaError, StageHostError */
  async load({ digest, blocks }: Pick<ModelManifest, 'digest' | 'blocks'>, signal?: AbortSignal): Promise<void> {
    await this.#stages.prepare(digest, [[0, blocks.length]], signal)
  }

  /** A session at a text; undefined: the model is not loaded now. */
  open(digest: string, init: DraftInit): Draft | undefined {
    const isReady = this.#stages.list().some((stage) => stage.digest === digest && stage.state === 'ready')
    const host = this.#stages.hosts().find((entry) => entry.digest === digest)?.host
    if (!isReady || host === undefined) return undefined
    const drafts = this.#attached(host)
    const number = this.#next++
    const ended = (): void => {
      if (drafts.delete(number)) this.#needs.count('draft_sessions_freed')
    }
    const draft = new Draft({ clock: this.#needs.clock, send: (message) => host.send(message), number, ended }, init)
    drafts.set(number, draft)
    this.#needs.count('draft_sessions')
    return draft
  }

  /**
   * Stages want the memory: where more than `most` bytes are taken, all that is loaded goes, and answers go on without it.
   * @returns bytes that are taken then
   */
  giveBack(most: number): number {
    if (this.weights <= most) return this.weights
    for (const digest of this.#stages.digests()) void this.#stages.retain(digest, []).catch(() => undefined)
    return 0
  }

  stop(): Promise<void> {
    return this.#stages.stop()
  }

  #attached(host: StageHost): Map<number, Draft> {
    const known = this.#drafts.get(host)
    if (known !== undefined) return known
    const drafts = new Map<number, Draft>()
    this.#drafts.set(host, drafts)
    host.onFrame((message) => drafts.get(message.request)?.receive(message))
    void host.ended.then(() => {
      for (const draft of drafts.values()) draft.lost()
    })
    return drafts
  }
}
