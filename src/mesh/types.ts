/** The mesh as the other rooms see it: what every peer knows of every other, as checked plain data. */
import type { BoundaryType, AnyManifest } from '../models/index.ts'
import type { BatchPoint, LivingNote, PlacementKind, Stage } from '../placement/index.ts'
import type { BlobAddress } from '../store/index.ts'

export type PeerState = 'connected' | 'connecting' | 'away' | 'draining'

export interface ThermalState {
  /** Of the hottest sensor. */
  readonly celsius: number
  /** At which the system slows the processor down; null where it does not say. */
  readonly limit_celsius: number | null
  /** That is so now. */
  readonly limited: boolean
}

export interface BatteryState {
  readonly percent: number | null
  /** It is what the device runs on now. */
  readonly discharging: boolean
}

/** What a decoder block of one model takes at a peer. Milliseconds. */
export interface ModelSpeed {
  readonly digest: string
  /** For one row, and for a row of a prompt, as seen in real runs; null until there were some. */
  readonly block_ms: number | null
  readonly prefill_ms: number | null
  /** The same as predicted from its kernels and its memory. */
  readonly predicted_block_ms: number
  readonly predicted_prefill_ms: number
  /** Share by which such predictions may be off. */
  readonly error: number
  /** How many times as long as for one row a block takes for several, as seen. Absent: an older version, or not seen. */
  readonly batch?: readonly BatchPoint[] | undefined
}

/** A pair of peers as one of the two has measured it. */
export interface MeasuredLink {
  readonly peer: string
  readonly rtt_ms: number | null
  readonly jitter_ms: number | null
  /** Share of heart-beats that were not answered in time. */
  readonly loss: number | null
  /** Bytes a second that came from it, and that went to it; null until measured. */
  readonly down: number | null
  readonly up: number | null
  readonly relayed: boolean
}

export interface HardwareProfile {
  readonly platform: string
  readonly arch: string
  readonly cpu: string
  readonly cores: number
  /** Bytes, as are all sizes of memory here. */
  readonly memory_total: number
  readonly memory_free: number
  /** Bytes that weft may use for weights and KV. */
  readonly memory_quota: number
  /** Multiply-adds a second of one thread in the quick kernel trial; 0 until measured. */
  readonly speed: number
  readonly kernel: string
  /** Bytes a second that all its threads together read from memory. Absent, as what follows: an older version. */
  readonly memory_bandwidth?: number | undefined
  /** Null: its system does not tell. */
  readonly thermal?: ThermalState | null | undefined
  readonly battery?: BatteryState | null | undefined
  readonly models?: readonly ModelSpeed[] | undefined
}

/** What this peer does at most for peers that it does not know. */
export interface GuestLimits {
  readonly memory: number
  readonly sessions: number
}

/** What a peer says about itself; `addresses` and `circuits` are filled in by the mesh. */
export interface PeerProfile {
  readonly name: string
  readonly version: string
  readonly state: 'running' | 'draining'
  /** Threads that a stage of this peer may use; 0: not told. */
  readonly threads: number
  /** Multiaddrs at which it listens. */
  readonly addresses: readonly string[]
  /** Multiaddrs through relays; apart from those, since peers of a version before dial all that stand there. */
  readonly circuits?: readonly string[] | undefined
  readonly hardware: HardwareProfile
  readonly guests: GuestLimits
  readonly links?: readonly MeasuredLink[] | undefined
  readonly seen?: readonly SeenSpeed[] | undefined
  readonly short?: readonly ShortMemory[] | undefined
  readonly use?: readonly ModelUse[] | undefined
}

/** What this peer saw another take for a block of a model, where that is not what the other says. Milliseconds. */
export interface SeenSpeed {
  readonly peer: string
  readonly digest: string
  readonly block_ms: number
}

/** Bytes that this peer counts another with, in which a stage came to nothing for want of the memory that it tells of. */
export interface ShortMemory {
  readonly peer: string
  readonly bytes: number
}

/** Tokens of a model that were asked of this peer. */
export interface ModelUse {
  readonly digest: string
  readonly tokens_per_minute: number
  /** Of a step of its answers, with guesses where they were made: tokens and rows, in the mean. Absent: an older version, or one of each. */
  readonly step_tokens?: number | undefined
  readonly step_rows?: number | undefined
}

export type OwnProfile = Omit<PeerProfile, 'addresses' | 'circuits'>

export interface ReadyStage {
  readonly from: number
  readonly to: number
  /** Process of the stage host. */
  readonly pid: number
  readonly memory: number
  readonly state: 'loading' | 'ready' | 'failed'
  /** It failed for want of memory. Absent: for something else, or an older version. */
  readonly short?: boolean
}

export interface ModelHoldings {
  readonly model: string
  readonly digest: string
  /** Blocks [from, to) whose tensors are in the peer's store: rising, not touching. */
  readonly tensors: readonly (readonly [from: number, to: number])[]
  readonly stages: readonly ReadyStage[]
}

/** What a peer has measured of a model's rows: least and greatest level of those that go into block 1, 2, ..., in whole doublings. */
export interface ModelLevels {
  readonly low: readonly number[]
  readonly high: readonly number[]
}

/** Says that the author has a manifest and serves it. */
export interface ManifestAnnouncement {
  readonly model: string
  readonly digest: string
  /** Bytes of all source tensors. */
  readonly bytes: number
  readonly blocks: number
  readonly boundary: BoundaryType
  readonly license: string
  /** Absent: the author has not measured it. */
  readonly levels?: ModelLevels
}

export interface MeshPlacement {
  readonly model: string
  readonly digest: string
  readonly epoch: number
  readonly author: string
  readonly kind: PlacementKind
  /** Empty: withdrawn. */
  readonly stages: readonly Stage[]
  /** Blocks that more peers hold ready, for when one of the stages is lost. */
  readonly replicas: readonly Stage[]
  /** How it changes by itself; absent in records of an earlier release. */
  readonly note?: LivingNote | undefined
}

/** How far a peer is with bringing a model in from its source, for others that want the same. */
export interface ImportRecord {
  readonly state: 'waiting' | 'fetching' | 'done' | 'failed'
  readonly done: number
  readonly total: number | null
  /** Of the manifest that came of it. */
  readonly digest: string | null
}

export interface SeenImport extends ImportRecord {
  readonly peer: string
  /** Rises with each time that the peer says something of it. */
  readonly serial: number
}

/** Where an audit log stands, signed by the peer whose log it is. */
export interface AuditHead {
  readonly seq: number
  readonly hash: string
  readonly signature: string
}

export interface AuditRecord extends AuditHead {
  /** Heads of others that the author has seen. */
  readonly seen: readonly (AuditHead & { readonly peer: string })[]
  /** Identities that the author has met in two places. */
  readonly clones?: readonly string[]
}

export type RecordKind = 'profile' | 'holdings' | 'manifest' | 'placement' | 'imports' | 'audit'

export interface MeshPeer {
  readonly id: string
  readonly name: string
  readonly state: PeerState
  readonly addresses: readonly string[]
  readonly rtt_ms: number | null
  readonly version: string
  readonly profile: HardwareProfile | null
  /** Names of the models whose manifests it serves. */
  readonly models: readonly string[]
}

export interface KnownManifest extends ManifestAnnouncement {
  /** Peers that announce it, this one included, by id. */
  readonly holders: readonly string[]
}

export interface BlobRequest {
  readonly address: BlobAddress
  readonly bytes: number
}

/** Bytes that are in the store, of all that was asked for; never goes back. `holders`: those that are sending now. */
export type FetchProgress = (done: number, total: number, holders: number) => void

export interface FetchOptions {
  readonly onProgress?: FetchProgress
  /** Milliseconds without a verified byte after which the fetch gives up. @default 60 s */
  readonly stall?: number
  /** Holders as they are known by now: asked again and again, so that newcomers are asked too. */
  readonly more?: () => readonly string[]
  /** Digest of the model that the blobs are of: where nobody delivers them, holders are asked whether their policies are why. */
  readonly of?: string
  readonly signal?: AbortSignal
}

export interface MeshEvents {
  /** A record of this kind and key was added, replaced or dropped; `author` wrote it. */
  changed?(kind: RecordKind, key: string, author: string): void
  joined?(peer: string): void
  /** `farewell`: it said goodbye; else it was lost. */
  left?(peer: string, farewell: boolean): void
  /** What a peer sent of a blob was wrong; it is not asked again for a while. */
  lied?(peer: string, address: string, index: number, why: string): void
  /** A chunk of this peer's own store had gone bad; the blob is an interrupted transfer now. */
  rotten?(address: string, index: number): void
}

export interface Mesh {
  readonly id: string
  /** The membership has changed: what those said who are out of it is forgotten, but for placements, until another takes their place. */
  review(): void
  /** Reads what was kept, serves the protocols and begins to talk to connected peers. */
  start(): Promise<void>
  /** From now on this peer is known as one that is about to leave: it serves what it has, and takes nothing new. */
  announceLeaving(): Promise<void>
  /** Says goodbye to all, flushes what must survive, ends all channels. */
  stop(): Promise<void>
  /** Also published again by itself as a heartbeat, and when our addresses change. */
  publishProfile(profile: OwnProfile): Promise<void>
  publishHoldings(holdings: readonly ModelHoldings[]): Promise<void>
  /** Epoch: the highest seen, plus one. @throws PlacementGapError and its kin when the stages are no placement. */
  publishPlacement(model: string, placement: PlacementInit): Promise<MeshPlacement>
  withdrawPlacement(model: string): Promise<void>
  /** Where the audit log of this peer stands, and what it has seen of others'. */
  publishAudit(record: AuditRecord): Promise<void>
  audit(author: string): AuditRecord | undefined
  /** The one that stands: highest epoch, ties by author. A withdrawn one is no placement. */
  placement(model: string): MeshPlacement | undefined
  placements(): readonly MeshPlacement[]
  /** By peer id, this one included. */
  profiles(): ReadonlyMap<string, PeerProfile>
  /** By peer id, this one included; of peers that are away without stages. */
  holdings(): ReadonlyMap<string, readonly ModelHoldings[]>
  announceManifest(manifest: AnyManifest): Promise<void>
  withdrawManifest(digest: string): Promise<void>
  manifests(): readonly KnownManifest[]
  /** What each peer says that it has measured of a model's rows, this one included. */
  levels(digest: string): readonly { readonly by: string; readonly levels: ModelLevels }[]
  /** `source`: 64 hex digits that name it. Null takes it back. */
  publishImport(source: string, record: ImportRecord | null): Promise<void>
  /**
   * Resolves when every connected peer has taken what this one published before, and this one what they had published when
   * they took it; or after so many milliseconds, and at once in a mesh of more than some dozen. @throws the signal's reason
   */
  settled(milliseconds: number, signal?: AbortSignal): Promise<void>
  /** What connected peers, and this one, say of that source. */
  imports(source: string): readonly SeenImport[]
  /** From this peer or from a holder, checked. @throws ManifestUnavailableError, FetchFailedError */
  fetchManifest(modelOrDigest: string, options?: { readonly signal?: AbortSignal }): Promise<AnyManifest>
  /**
   * Brings blobs into the store, in parallel from `holders`, each chunk verified; what is there already is not fetched.
   * An interrupted fetch goes on where it stopped. @throws FetchFailedError, ChunkUnobtainableError
   */
  fetchTensors(blobs: readonly BlobRequest[], holders: readonly string[], options?: FetchOptions): Promise<void>
  /**
   * Asks peers to keep blobs that this one would like to drop. The addresses for which somebody has promised it: they
   * have them whole, and do not drop them by themselves for a while. Peers of older versions promise nothing.
   */
  askToKeep(blobs: readonly BlobRequest[], peers: readonly string[]): Promise<ReadonlySet<string>>
  /** Every other peer that is known, by id. */
  peers(): readonly MeshPeer[]
  state(peer: string): PeerState
  on(events: MeshEvents): () => void
}

export interface PlacementInit {
  readonly digest: string
  readonly kind: PlacementKind
  readonly stages: readonly Stage[]
  readonly replicas?: readonly Stage[]
  readonly note?: LivingNote
  /** The placement that this one was decided upon; where another stands by now, nothing is published. */
  readonly after?: { readonly epoch: number; readonly author: string }
}
