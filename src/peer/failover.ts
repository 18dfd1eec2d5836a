/**
 * Who takes the blocks of a peer that was lost: first whoever has them loaded, then whoever has their tensors and room,
 * then whoever has room and can fetch them. Peers that were lost lately are asked after the others, not never.
 */
import type { Mesh, ModelHoldings } from '../mesh/index.ts'
import type { ModelManifest } from '../models/index.ts'
import { servesRange } from '../pipeline/index.ts'
import type { AuditorChoice, PlacementStage, RouteSegment } from '../pipeline/index.ts'
import { ORIGIN } from '../placement/index.ts'
import type { Clock } from '../util/index.ts'
import type { KeptOut } from './plan-input.ts'
import type { PlanMeasures } from './profile-plan.ts'
import type { HardwareProfile } from './types.ts'

/** A peer that was lost is asked last for so long; twice as long with every further loss. */
const BACKOFF_MS = 2_000
const MOST_BACKOFF_MS = 60_000
/** What was lost this moment is not there, whatever others have not heard yet. */
const SETTLE_MS = 500
/** A peer that stayed for so long begins anew. */
const FORGET_MS = 300_000

export interface FailoverNeeds {
  readonly self: string
  readonly clock: Clock
  readonly mesh: Pick<Mesh, 'state' | 'peers' | 'profiles' | 'holdings'> | null
  readonly quarantine?: Pick<KeptOut, 'has'>
  /** What peers are counted with, whatever they tell. @default by their own word */
  readonly measured?: Pick<PlanMeasures, 'memory' | 'refused'>
  profile(): HardwareProfile
  /** Several peers that take blocks together which no single one has room for. */
  divide(manifest: ModelManifest, from: number, to: number): readonly RouteSegment[] | undefined
}

interface Candidate {
  readonly peer: string
  /** Blocks loaded, tensors on the disk, or neither. */
  readonly rank: 0 | 1 | 2
  /** Milliseconds. */
  readonly rtt: number
  readonly isBackedOff: boolean
}

export class Replacements {
  readonly #needs: FailoverNeeds
  readonly #losses = new Map<string, { count: number; at: number }>()

  constructor(needs: FailoverNeeds) {
    this.#needs = needs
  }

  /** A peer went away without a farewell. */
  peerLost(peer: string): void {
    const now = this.#needs.clock.now()
    const known = this.#losses.get(peer)
    const count = known === undefined || now - known.at > FORGET_MS ? 0 : known.count
    this.#losses.set(peer, { count: count + 1, at: now })
  }

  /** A peer does not serve what was given to it. */
  refused(manifest: ModelManifest, segment: RouteSegment, error: Error): void {
    this.#needs.measured?.refused(segment.peer, manifest, segment, error)
  }

  isReachable(peer: string): boolean {
    const state = this.#needs.mesh?.state(peer)
    return peer === this.#needs.self || state === 'connected' || state === 'draining'
  }

  /** It has these blocks loaded, as one graph or as several that follow each other. */
  isReady(manifest: ModelManifest, peer: string, from: number, to: number): boolean {
    return rankOf(this.#held(peer), manifest, from, to) === 0
  }

  kernel(peer: string): string {
    if (peer === this.#needs.self) return this.#needs.profile().kernel
    return this.#needs.mesh?.profiles().get(peer)?.hardware.kernel ?? ''
  }

  /**
   * Segments that make up `lost`; undefined: nobody can now.
   * @param avoid peers to be asked last
   * @param allowed peers that may be asked at all; undefined: everybody who is there
   */
  replace(
    manifest: ModelManifest,
    lost: RouteSegment,
    avoid: ReadonlySet<string>,
    allowed?: ReadonlySet<string>,
  ): readonly RouteSegment[] | undefined {
    const { from, to } = lost
    if (!this.#areKept(manifest, from, to)) return undefined
    const candidates = this.#candidates(manifest, from, to).filter(
      ({ peer }) => allowed === undefined || allowed.has(peer),
    )
    const last = (candidate: Candidate): number => Number(avoid.has(candidate.peer) || candidate.isBackedOff)
    const [best] = candidates.sort(
      (left, right) =>
        last(left) - last(right) || left.rank - right.rank || left.rtt - right.rtt || (left.peer < right.peer ? -1 : 1),
    )
    if (best !== undefined) return [{ peer: best.peer, from, to }]
    const several = this.#needs.divide(manifest, from, to)
    const isSound = several?.every(
      ({ peer }) => (allowed === undefined || allowed.has(peer)) && !(this.#sinceLoss(peer) < SETTLE_MS),
    )
    return isSound === true ? several : undefined
  }

  /**
   * Others in the place of a peer that is there, and has no room for a session. Embedding and head stay where they are: they
   * need no room, and whoever has them is meant to see the tokens.
   */
  relieve(
    manifest: ModelManifest,
    refused: RouteSegment,
    full: ReadonlySet<string>,
    allowed?: ReadonlySet<string>,
  ): readonly RouteSegment[] | undefined {
    const { peer } = refused
    const from = Math.max(refused.from, 1)
    const to = Math.min(refused.to, manifest.blocks.length - 1)
    if (from >= to) return undefined
    const by = this.replace(manifest, { peer, from, to }, full, allowed)
    if (by === undefined || by.some((segment) => full.has(segment.peer))) return undefined
    const kept = [
      { peer, from: refused.from, to: from },
      { peer, from: to, to: refused.to },
    ].filter((segment) => segment.from < segment.to)
    return [...kept.filter((segment) => segment.to <= from), ...by, ...kept.filter((segment) => segment.from >= to)]
  }

  /**
   * A placement with others in the place of peers that are gone; undefined: nobody could take their blocks.
   * @param allowed as for `replace`
   */
  repair(
    manifest: ModelManifest,
    stages: readonly PlacementStage[],
    allowed?: ReadonlySet<string>,
  ): readonly PlacementStage[] | undefined {
    const repaired: PlacementStage[] = []
    for (const stage of stages) {
      const { self, mesh } = this.#needs
      const isKeptOut = this.#needs.quarantine?.has(stage.peer, manifest.model) === true
      const isHere =
        stage.peer === ORIGIN || stage.peer === self || (!isKeptOut && mesh?.state(stage.peer) === 'connected')
      const by = isHere ? [stage] : this.replace(manifest, stage, new Set(), allowed)
      if (by === undefined) return undefined
      repaired.push(...by)
    }
    return repaired
  }

  /**
   * Who could compute blocks again to check `of`: those with the same kernels, that have them loaded, before others; this
   * peer, whose memory is its own, after all that have them ready.
   * @param isHead it ends with a token: other kernels may choose another one
   */
  auditors(
    manifest: ModelManifest,
    of: RouteSegment,
    exclude: ReadonlySet<string>,
    isHead: boolean,
  ): readonly AuditorChoice[] {
    const kernel = this.kernel(of.peer)
    return this.#candidates(manifest, of.from, of.to)
      .filter(({ peer }) => !exclude.has(peer) && (!isHead || this.kernel(peer) === kernel))
      .map(({ peer, rank, isBackedOff }) => {
        const isOther = this.kernel(peer) !== kernel
        const isHome = peer === this.#needs.self && rank > 0
        return { peer, level: Number(isOther) * 16 + Number(isBackedOff) * 8 + rank * 2 + Number(isHome) }
      })
  }

  #candidates(manifest: ModelManifest, from: number, to: number): Candidate[] {
    return this.#there(manifest.model).flatMap(({ id, rtt, quota }) => {
      const held = this.#held(id)
      const rank = rankOf(held, manifest, from, to)
      if (rank > 0 && taken(held) + weightsOf(manifest, from, to) > quota) return []
      return [{ peer: id, rank, rtt, isBackedOff: this.#isBackedOff(id) }]
    })
  }

  /** Who could be asked: this peer, and the connected ones. @param model undefined: those too that are kept out */
  #there(model?: string): { readonly id: string; readonly rtt: number; readonly quota: number }[] {
    const { self, mesh } = this.#needs
    const others = (mesh?.peers() ?? [])
      .filter(({ state }) => state === 'connected')
      .flatMap(({ id, rtt_ms: rtt, profile: their }) =>
        their === null ? [] : [{ id, rtt: rtt ?? 1, quota: this.#quota(id, their.memory_quota) }],
      )
    return [{ id: self, rtt: 0, quota: this.#needs.profile().memory_quota }, ...others].filter(
      ({ id }) =>
        !(this.#sinceLoss(id) < SETTLE_MS) && (model === undefined || this.#needs.quarantine?.has(id, model) !== true),
    )
  }

  #quota(peer: string, told: number): number {
    return this.#needs.measured?.memory(peer, told) ?? told
  }

  #held(peer: string): readonly ModelHoldings[] {
    return this.#needs.mesh?.holdings().get(peer) ?? []
  }

  /** The tensors of these blocks are on disks of peers that are here. */
  #areKept(manifest: ModelManifest, from: number, to: number): boolean {
    if (this.#needs.mesh === null) return true
    // Tensors are checked by their hashes, whoever has them.
    const kept = this.#there().flatMap(({ id }) => tensorsOf(this.#held(id), manifest))
    return tiles(kept, from, to)
  }

  #sinceLoss(peer: string): number {
    return this.#needs.clock.now() - (this.#losses.get(peer)?.at ?? -Infinity)
  }

  #isBackedOff(peer: string): boolean {
    const { count } = this.#losses.get(peer) ?? { count: 0 }
    return count > 0 && this.#sinceLoss(peer) < Math.min(MOST_BACKOFF_MS, BACKOFF_MS * 2 ** (count - 1))
  }
}

function rankOf(held: readonly ModelHoldings[], manifest: ModelManifest, from: number, to: number): Candidate['rank'] {
  const own = held.filter(({ digest }) => digest === manifest.digest)
  const ready = own.flatMap(({ stages }) => stages.filter(({ state }) => state === 'ready'))
  // In the middle of what is one graph there, it would have to load again.
  const ranges = ready.map((stage) => [stage.from, stage.to] as const)
  if (servesRange([from, to], ranges, manifest.blocks.length)) return 0
  return tiles(tensorsOf(held, manifest), from, to) ? 1 : 2
}

type Range = { readonly from: number; readonly to: number }

function tensorsOf(held: readonly ModelHoldings[], manifest: ModelManifest): Range[] {
  return held
    .filter(({ digest }) => digest === manifest.digest)
    .flatMap(({ tensors }) => tensors.map(([from, to]) => ({ from, to })))
}

/** Every block of [from, to) is in one of the ranges. */
function tiles(ranges: readonly Range[], from: number, to: number): boolean {
  if (from >= to) return true
  const furthest = Math.max(...ranges.filter((range) => range.from <= from).map((range) => range.to), from)
  return furthest > from && tiles(ranges, furthest, to)
}

/** Bytes that the stages of a peer take, each host once. */
function taken(held: readonly ModelHoldings[]): number {
  const hosts = new Map(held.flatMap(({ stages }) => stages.map(({ pid, memory }) => [pid, memory] as const)))
  return [...hosts.values()].reduce((sum, memory) => sum + memory, 0)
}

function weightsOf({ blocks }: ModelManifest, from: number, to: number): number {
  return blocks.slice(from, to).reduce((sum, { memory }) => sum + memory, 0)
}
