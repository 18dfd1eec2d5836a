/** What a placement gives to this peer, loaded here; and what it does not give any more, given back when nobody needs it. */
import type { MeshPlacement } from '../mesh/index.ts'
import { isGraphManifest } from '../models/index.ts'
import { CancelledError, MemoryQuotaError } from '../pipeline/index.ts'
import type { BlockRange, PlacementStage, Stages } from '../pipeline/index.ts'
import { ORIGIN } from '../placement/index.ts'
import type { Clock } from '../util/index.ts'
import type { Library } from './library.ts'
import type { PlanNeeds } from './plan-input.ts'

const RETRY_MS = 2_000
/** Sessions that are still there by then are replaced like those of a lost host. */
const LONGEST_WAIT_MS = 600_000

export interface TakingUpNeeds {
  readonly self: string
  readonly clock: Clock
  readonly stages: Stages
  readonly library: Library
  /** Why what another peer has placed here is not loaded; undefined: it is. */
  refuses?(placement: MeshPlacement): string | undefined
  isStopped(): boolean
  /** Sessions have stages here. */
  busy(): boolean
  /** Looks at all placements again. */
  again(milliseconds: number): void
  log(fields: object, message: string): void
}

export class TakingUp {
  readonly #needs: TakingUpNeeds
  /** Why what was given could not be loaded, by digest. */
  readonly failures = new Map<string, string>()
  /** Digests of which ranges could be given back, and since when. */
  readonly #waiting = new Map<string, number>()

  constructor(needs: TakingUpNeeds) {
    this.#needs = needs
  }

  async takeUp(placement: MeshPlacement): Promise<void> {
    const { self, stages, library } = this.#needs
    const own = rangesOf(placement.stages, self)
    const spare = rangesOf(placement.replicas, self)
    const origin = rangesOf(placement.stages, ORIGIN)
    // Whoever deploys will ask: its embedding and head are loaded at once, others' with their first request.
    const ranges = placement.author === self ? [...own, ...origin] : own
    try {
      const isLoaded = stages.list().some((stage) => stage.digest === placement.digest)
      const isGiven = ranges.length + spare.length > 0
      if (!isGiven && !isLoaded) return
      const refused = isGiven ? this.#needs.refuses?.(placement) : undefined
      if (refused !== undefined) {
        this.failures.set(placement.digest, refused)
        // What was loaded while it was allowed is given back.
        const kept = origin.filter((range) => this.#isLoaded(placement.digest, range))
        if (isLoaded) await this.#load(placement.digest, { kept, ranges: [], spare: [] })
        return
      }
      // The parts of a graph are loaded by whoever deploys it: it has the cut.
      if (isGiven && isGraphManifest(await library.resolve(placement.digest))) return
      // What a request has loaded here of the rest stays as well.
      const others = origin.filter((range) => this.#isLoaded(placement.digest, range))
      await this.#load(placement.digest, { kept: [...ranges, ...spare, ...others], ranges, spare })
      this.failures.delete(placement.digest)
    } catch (error) {
      if (this.#needs.isStopped() || error instanceof CancelledError) return
      const why = error instanceof Error ? error.message : String(error)
      this.failures.set(placement.digest, why)
      this.#needs.log({ model: placement.model, err: error }, 'a stage of the placement could not be loaded')
      this.#needs.again(RETRY_MS)
    }
  }

  #isLoaded(digest: string, [from, to]: BlockRange): boolean {
    return this.#needs.stages
      .list()
      .some((stage) => stage.digest === digest && stage.state !== 'failed' && stage.from === from && stage.to === to)
  }

  async #load(
    digest: string,
    { kept, ranges, spare }: Record<'kept' | 'ranges' | 'spare', BlockRange[]>,
  ): Promise<void> {
    const { stages } = this.#needs
    const waits = this.#mustWait(digest, kept)
    if (!waits) await stages.retain(digest, kept)
    // What serves comes before what stands by, so that want of room for this costs nothing of that.
    await stages.prepare(digest, ranges).catch(async (error: unknown) => {
      if (!waits || !(error instanceof MemoryQuotaError)) throw error
      await stages.retain(digest, kept)
      await stages.prepare(digest, ranges)
    })
    await stages.prepare(digest, spare)
  }

  /**
   * A stage host gives ranges back by starting anew, which ends its sessions here: that waits for them, unless it takes long
   * or the room is needed.
   */
  #mustWait(digest: string, kept: readonly BlockRange[]): boolean {
    const { clock, stages } = this.#needs
    const loaded = stages.list().filter((stage) => stage.digest === digest && stage.state === 'ready')
    const goes = loaded.some((range) => !kept.some(([from, to]) => from === range.from && to === range.to))
    if (!goes || !this.#needs.busy()) {
      this.#waiting.delete(digest)
      return false
    }
    const since = this.#waiting.get(digest) ?? clock.now()
    this.#waiting.set(digest, since)
    if (clock.now() - since > LONGEST_WAIT_MS) return false
    this.#needs.again(RETRY_MS)
    return true
  }
}

function rangesOf(stages: readonly PlacementStage[], owner: string): BlockRange[] {
  return stages.filter(({ peer }) => peer === owner).map(({ from, to }) => [from, to])
}

/** Why stages that are waited for will not be ready: this peer's own reason, or another's word that it has no memory for them. */
export function failureOf(
  { self, mesh, failures }: Pick<PlanNeeds, 'self' | 'mesh'> & { readonly failures: ReadonlyMap<string, string> },
  digest: string,
  waiting: readonly PlacementStage[],
): string | undefined {
  const own = failures.get(digest)
  if (own !== undefined && waiting.some(({ peer }) => peer === self)) return own
  const short = waiting.find(({ peer, from, to }) =>
    (mesh?.holdings().get(peer) ?? [])
      .filter((held) => held.digest === digest)
      .some(({ stages }) => stages.some((it) => it.short === true && it.from < to && from < it.to)),
  )
  return short === undefined ? undefined : `${short.peer} has no memory for it`
}
