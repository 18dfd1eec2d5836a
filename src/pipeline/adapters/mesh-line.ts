/**
 * A line of blocks over peers, as its origin: embedding and head stay here, layers are at the stages. Micro-batches are under way in
 * both directions at once, and no more of them than keep all stages busy. Adapters are here and go out with each step, so
 * that a step over which a stage is lost is made again from its beginning, over another route, and gives the same.
 */
import { WeftError } from '../../errors.ts'
import { MemoryQuotaError } from '../errors.ts'
import type { AdapterLine, LineResult, LineStep } from '../../training/index.ts'
import type { RouteSegment } from '../origin/route.ts'
import { NoRouteError } from '../ring/errors.ts'
import { LineRun } from './line-run.ts'
import type { Lost, MeshLineInit, MeshLineNeeds, OpenHead } from './line-run.ts'

/** Of one step, one after the other: a mesh that loses more has other troubles. */
const MOST_REPLAYS = 8
/**
 * A peer that is there and fails one step so often is replaced like one that is gone: it cannot reach its neighbour, has no memory
 * for a host, or has one that stands still each time.
 */
const TOO_OFTEN = 3
/** Doubled each time: a stage whose memory is with other sessions has it back when their micro-batches are. */
const FULL_MS = 100

export class MeshLine implements AdapterLine {
  readonly #needs: MeshLineNeeds
  readonly #init: MeshLineInit
  #route: readonly RouteSegment[]
  #head: OpenHead | undefined
  #run: LineRun | undefined
  #step = 0

  constructor(needs: MeshLineNeeds, init: MeshLineInit) {
    this.#needs = needs
    this.#init = init
    this.#route = init.route
  }

  /** Who computes what. */
  get route(): readonly RouteSegment[] {
    return this.#route
  }

  step(step: LineStep, signal?: AbortSignal): Promise<LineResult> {
    return this.#through(step, true, signal)
  }

  async loss(step: LineStep, signal?: AbortSignal): Promise<number> {
    return (await this.#through(step, false, signal)).loss
  }

  async close(): Promise<void> {
    this.#run?.close()
    this.#run = undefined
    this.#endHead()
    await Promise.resolve()
  }

  async #through(step: LineStep, back: boolean, signal?: AbortSignal): Promise<LineResult> {
    const failures = new Map<string, number>()
    for (let attempt = 0; ; attempt++) {
      signal?.throwIfAborted()
      try {
        const run = (this.#run ??= await this.#opened(signal))
        return await run.through(this.#step++, step, back, signal)
      } catch (error) {
        const lost = this.#run?.lost
        this.#run?.close()
        this.#run = undefined
        signal?.throwIfAborted()
        if ((lost?.isGone !== true && !isTransient(error)) || attempt >= MOST_REPLAYS) throw error
        this.#needs.count('steps_replayed')
        if (isFull(error)) await this.#needs.clock.sleep(FULL_MS * 2 ** attempt, signal)
        if (lost === undefined) continue
        const times = (failures.get(lost.peer) ?? 0) + 1
        failures.set(lost.peer, times)
        this.#replace(lost, times)
      }
    }
  }

  async #opened(signal?: AbortSignal): Promise<LineRun> {
    const head = (this.#head ??= await this.#openHead())
    const run = new LineRun(this.#needs, this.#init, this.#route, head)
    // Known from here on, so that what is lost while it opens is replaced.
    this.#run = run
    await run.open(signal)
    return run
  }

  async #openHead(): Promise<OpenHead> {
    const { manifest, length, form } = this.#init
    const last = manifest.blocks.length
    const lent = await this.#needs.hosts.lend(manifest.digest, last - 1, last)
    const session = this.#needs.service.newSession()
    await lent.host.ask('open', { session, from: last - 1, to: last, length, form })
    void lent.host.ended.then((error) => {
      this.#run?.lose(this.#needs.self, error)
      this.#endHead()
    })
    return { lent, session }
  }

  #endHead(): void {
    const head = this.#head
    this.#head = undefined
    if (head === undefined) return
    head.lent.host.ask('close', { session: head.session }).catch(() => undefined)
    head.lent.done()
  }

  /** A peer whose process alone was lost starts another, and keeps its blocks. */
  #replace({ peer, isGone }: Lost, times: number): void {
    if (!isGone && (times < TOO_OFTEN || peer === this.#needs.self)) return
    this.#route = this.#route.flatMap((segment) => {
      if (segment.peer !== peer) return [segment]
      const by = this.#needs.replace(segment, new Set([peer]))
      if (by === undefined && !isGone) return [segment]
      if (by === undefined) throw new NoRouteError(segment, 'nobody is there who could take its blocks', 0)
      this.#needs.count('failovers')
      return [...by]
    })
  }
}

function isTransient(error: unknown): boolean {
  return error instanceof WeftError && error.retryable
}

function isFull(error: unknown): boolean {
  return error instanceof WeftError && error.code === MemoryQuotaError.info.code
}
