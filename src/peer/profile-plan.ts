/** What was measured, as the planner reads it: blocks of one model at every peer, and the ways between all of them. */
import { MAX_PROFILE_MODELS } from '../mesh/index.ts'
import type { MeasuredLink, Mesh, ModelUse, PeerProfile } from '../mesh/index.ts'
import { isGraphManifest } from '../models/index.ts'
import type { AnyManifest } from '../models/index.ts'
import type { Network } from '../net/index.ts'
import { soundCurve, soundGuessing } from '../placement/index.ts'
import type { PlanInput, PlanLink, PlanPeer } from '../placement/index.ts'
import type { RouteHop } from '../pipeline/index.ts'
import type { Clock } from '../util/index.ts'
import { blockSize, predictBlock } from './profile-predict.ts'
import type { BlockPrediction } from './profile-predict.ts'
import type { Told } from './profile-news.ts'
import type { Profiling } from './profile.ts'
import { SeenPeers } from './profile-seen.ts'
import type { SeenAnswer } from './profile-seen.ts'
import { ShortPeers } from './profile-short.ts'
import type { CountedMemory } from './profile-short.ts'
import type { HardwareProfile } from './types.ts'
import { UseMeter } from './use-meter.ts'
import type { UsedSteps } from './use-meter.ts'

/** The planner takes shares below 1; a pair whose every beat is lost is not connected for long. */
const MOST_LOSS = 0.99
/** A wired LAN, for a pair that is not measured yet. */
const UNKNOWN_RTT_MS = 1

export type PeerSpeed = Pick<PlanPeer, 'blockMs' | 'toldBlockMs' | 'headMs' | 'prefillMs' | 'bandwidth' | 'batchCurve'>

export interface PlanMeasuresNeeds {
  readonly self: string
  readonly clock: Clock
  readonly mesh: Mesh | null
  readonly network: Network | null
  readonly profiling: Profiling
  readonly threads: number
  manifest(digest: string): AnyManifest | undefined
  profile(): HardwareProfile
}

export class PlanMeasures {
  readonly #needs: PlanMeasuresNeeds
  readonly #seen: SeenPeers
  readonly #use: UseMeter
  readonly #short: ShortPeers
  #changed: () => void = () => undefined

  constructor(needs: PlanMeasuresNeeds) {
    const { self, clock, profiling } = needs
    this.#needs = needs
    this.#seen = new SeenPeers({
      self,
      clock,
      own: (digest) => profiling.measures.own(digest),
      claimed: (peer, digest) => this.#claimed(digest)(peer)?.one ?? null,
      rtt: (one, other) => this.#rtt(one, other),
      changed: () => this.#changed(),
    })
    this.#use = new UseMeter(clock)
    this.#short = new ShortPeers({
      self,
      clock,
      holdings: (peer) => needs.mesh?.holdings().get(peer) ?? [],
      manifest: (digest) => needs.manifest(digest),
      changed: () => this.#changed(),
    })
  }

  /** What others should know of it: whom this peer saw at another pace or with less memory than it says, and how much models are used here. */
  told(): Required<Pick<Told, 'seen' | 'use' | 'short'>> {
    return { seen: this.#seen.told().slice(-MAX_PROFILE_MODELS), use: this.#use.told(), short: this.#short.told() }
  }

  /** What a peer holds has changed. */
  held(peer: string): void {
    this.#short.look(peer)
  }

  left(peer: string): void {
    this.#short.left(peer)
  }

  /** It would not serve blocks that were given to it. */
  refused(...what: Parameters<ShortPeers['refused']>): void {
    this.#short.refused(...what)
  }

  /** Bytes that a peer is planned with. @param told by itself */
  memory(peer: string, told: number): number {
    return this.#short.memory(peer, told)
  }

  /** Undefined: a peer is counted with the memory that it tells of. */
  counted(peer: string): CountedMemory | undefined {
    return this.#short.counted(peer)
  }

  /** Calls back when something is to be told at once. */
  onNews(listener: () => void): void {
    this.#changed = listener
  }

  used(model: AnyManifest, tokens: number, steps: UsedSteps): void {
    if (!isGraphManifest(model)) this.#use.used(model.digest, tokens, steps)
  }

  /** Of the answers that were asked here lately. */
  guessing(digest: string): Pick<PlanInput, 'guessing'> {
    return toldGuessing(this.#use.told(), digest)
  }

  /** An answer over these hops took so long a token. */
  answered(
    model: AnyManifest,
    route: readonly RouteHop[],
    stepMs: number,
    manner: SeenAnswer['manner'] = 'whole',
  ): void {
    const first = model.blocks.findIndex(({ kind }) => kind === 'decoder')
    const last = model.blocks.findLastIndex(({ kind }) => kind === 'decoder') + 1
    if (first >= 0) this.#seen.answered({ digest: model.digest, route, first, last, stepMs, manner })
  }

  /**
   * Of one model, by peer: what was seen here of a peer goes before what it says, and what it has measured goes before
   * what is predicted.
   */
  speeds(digest: string): (peer: string) => PeerSpeed {
    const claimed = this.#claimed(digest)
    return (peer) => {
      const claim = claimed(peer)
      const blockMs =
        peer === this.#needs.self ? (claim?.one ?? null) : this.#seen.judge(peer, digest, claim?.one ?? null)
      // What a peer claims of prompts is as true as what it claims of single rows.
      const truth = claim === null || blockMs === null || claim.one === 0 ? 1 : blockMs / claim.one
      const hardware = this.#hardware(peer)
      const bandwidth = hardware?.memory_bandwidth ?? 0
      const headMs = peer === this.#needs.self ? (this.#needs.profiling.measures.own(digest)?.head ?? 0) : 0
      return {
        ...(blockMs !== null && blockMs > 0 ? { blockMs } : {}),
        ...(claim !== null && truth !== 1 ? { toldBlockMs: claim.one } : {}),
        ...(headMs > 0 ? { headMs } : {}),
        ...(claim !== null && claim.prefill > 0 ? { prefillMs: claim.prefill * truth } : {}),
        ...(bandwidth > 0 ? { bandwidth } : {}),
        ...toldCurve(hardware?.models, digest),
      }
    }
  }

  /** Between this peer and the connected ones as measured here; between those as they tell. */
  links(): PlanLink[] {
    const { self, mesh, network, profiling } = this.#needs
    const connected = network?.connected() ?? []
    const near = new Set(connected.map(({ id }) => id))
    const profiles = mesh?.profiles() ?? new Map<string, PeerProfile>()
    const own = profiling.links.links(connected).flatMap((link) => {
      // What has not been measured here, the other end may have.
      const theirs = profiles.get(link.peer)?.links?.find(({ peer }) => peer === self)
      return bothWays(self, { ...link, down: link.down ?? theirs?.up ?? null, up: link.up ?? theirs?.down ?? null })
    })
    const told = [...profiles]
      .filter(([peer]) => near.has(peer))
      .flatMap(([peer, { links }]) =>
        (links ?? []).filter((link) => near.has(link.peer)).flatMap((link) => bothWays(peer, link)),
      )
    return [...own, ...told]
  }

  /** Milliseconds of a block at a peer: as it has measured, else as its kernels let expect; null where nothing is known. */
  #claimed(digest: string): (peer: string) => BlockPrediction | null {
    const manifest = this.#needs.manifest(digest)
    const size = manifest === undefined ? null : blockSize(manifest)
    return (peer) => {
      const hardware = this.#hardware(peer)
      if (hardware === null || size === null) return null
      const { speed, memory_bandwidth: bandwidth = 0 } = hardware
      const told = hardware.models?.find((model) => model.digest === digest)
      const expected = predictBlock(size, { speed, bandwidth, threads: this.#threads(peer) })
      const one = told?.block_ms ?? expected?.one
      if (one === undefined) return null
      return { one, prefill: told?.prefill_ms ?? expected?.prefill ?? 0 }
    }
  }

  #hardware(peer: string): HardwareProfile | null {
    const { self, mesh } = this.#needs
    return peer === self ? this.#needs.profile() : (mesh?.profiles().get(peer)?.hardware ?? null)
  }

  #threads(peer: string): number {
    const { self, mesh, threads } = this.#needs
    const told = mesh?.profiles().get(peer)
    return peer === self ? threads : told?.threads || told?.hardware.cores || 1
  }

  #rtt(one: string, other: string): number {
    const { self, mesh, network } = this.#needs
    if (one === other) return 0
    const [from, to] = one === self ? [other, one] : [one, other]
    if (to === self) return network?.connected().find(({ id }) => id === from)?.rtt ?? UNKNOWN_RTT_MS
    const told = mesh
      ?.profiles()
      .get(from)
      ?.links?.find(({ peer }) => peer === to)
    return told?.rtt_ms ?? UNKNOWN_RTT_MS
  }
}

/** Of rows at once, as a peer tells it, as far as it can be true; nothing where it has not seen any. */
export function toldCurve(models: HardwareProfile['models'], digest: string): Pick<PlanPeer, 'batchCurve'> {
  const batchCurve = soundCurve(models?.find((model) => model.digest === digest)?.batch)
  return batchCurve === undefined ? {} : { batchCurve }
}

/** What a step gives where a model is asked, as that peer tells it, as far as it can be true. */
export function toldGuessing(use: readonly ModelUse[] = [], digest: string): Pick<PlanInput, 'guessing'> {
  const told = use.find((each) => each.digest === digest)
  const guessing = soundGuessing(told?.step_tokens, told?.step_rows)
  return guessing === undefined ? {} : { guessing }
}

/** A pair as one end tells it, for either direction; nothing where its round trip is not known. */
export function bothWays(from: string, link: MeasuredLink): PlanLink[] {
  if (link.rtt_ms === null) return []
  const both = {
    rtt: link.rtt_ms,
    jitter: link.jitter_ms ?? 0,
    loss: Math.min(link.loss ?? 0, MOST_LOSS),
    relayed: link.relayed,
  }
  return [
    { from, to: link.peer, bandwidth: link.up ?? link.down ?? 0, ...both },
    { from: link.peer, to: from, bandwidth: link.down ?? link.up ?? 0, ...both },
  ]
}
