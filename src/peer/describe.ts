/** What a peer tells about itself and the mesh: the documents of `weft status` and `weft ls`. */
import type { Mesh } from '../mesh/index.ts'
import { isGraphManifest } from '../models/index.ts'
import type { AnyManifest } from '../models/index.ts'
import type { Network } from '../net/index.ts'
import type { DraftHosts, GraphStages, Stages } from '../pipeline/index.ts'
import { ORIGIN } from '../placement/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { ClusterControl } from './cluster/index.ts'
import type { DiskKeeper } from './disk-keeper.ts'
import type { Holdings } from './holdings.ts'
import type { Library } from './library.ts'
import type { Pins } from './pins.ts'
import type { Placing } from './placing.ts'
import type { PlanMeasures } from './profile-plan.ts'
import type { Profiling } from './profile.ts'
import { describePlacements } from './describe-placements.ts'
import type { Replanning } from './replanning.ts'
import type { Quarantine } from './quarantine.ts'
import type { Requests } from './requests.ts'
import type { Site } from './site.ts'
import type { Transfers } from './transfers.ts'
import type {
  DraftStatus,
  HardwareProfile,
  KnownPeer,
  ModelSummary,
  PeerStatus,
  SeenNotJoined,
  StageStatus,
} from './types.ts'

export interface StatusNeeds {
  readonly self: string
  readonly home: string
  readonly name: string
  readonly version: string
  readonly networkName: string
  readonly lan: 'open' | 'confirm' | 'off'
  readonly started: number
  readonly clock: Clock
  readonly network: Network | null
  readonly mesh: Mesh | null
  readonly library: Library
  readonly placing: Placing
  /** Null: alone. */
  readonly replanning: Replanning | null
  readonly stages: Stages
  readonly graphStages: GraphStages
  readonly drafts: { readonly hosts: Pick<DraftHosts, 'list'> }
  readonly holdings: Holdings
  readonly requests: Requests
  readonly telemetry: Telemetry
  readonly transfers: Transfers
  readonly keeper: DiskKeeper
  readonly pins: Pins
  readonly quarantine: Quarantine
  readonly cluster: ClusterControl | null
  readonly site: Site
  profile(): HardwareProfile
  readonly profiling: Profiling
  readonly measured: Pick<PlanMeasures, 'counted'>
}

export function describeStatus(
  needs: StatusNeeds,
  own: { readonly http: string | null; readonly draining: boolean },
): PeerStatus {
  return {
    schema: 'weft.status/1',
    peer: {
      id: needs.self,
      name: needs.name,
      pid: process.pid,
      addresses: needs.network?.addresses() ?? [],
      reach: needs.network?.reach() ?? null,
      home: needs.home,
      network: needs.networkName,
      lan: needs.lan,
      http: own.http,
      version: needs.version,
      uptime_s: Math.round((needs.clock.now() - needs.started) / 1000),
      state: own.draining ? 'draining' : 'running',
      profile: needs.profile(),
    },
    cluster: needs.cluster?.summary() ?? null,
    peers: knownPeers(needs),
    stages: allStages(needs),
    drafts: ownDrafts(needs),
    seen_not_joined: (needs.network?.refusals() ?? []).map(seen),
    interfaces: needs.network?.interfaces() ?? [],
    models: needs.library.list().map((manifest) => summary(needs, manifest)),
    placements: describePlacements(needs),
    quarantine: needs.quarantine.list(),
    site: needs.site.status(),
    requests: needs.requests.list(),
    transfers: needs.transfers.list(),
    disk: {
      quota: needs.keeper.quota,
      pinned: needs.library
        .list()
        .filter(({ digest }) => needs.pins.has(digest))
        .map(({ model }) => model),
    },
    counters: needs.telemetry.counters(),
  }
}

function knownPeers(needs: StatusNeeds): KnownPeer[] {
  const connected = new Map((needs.network?.connected() ?? []).map((peer) => [peer.id, peer]))
  return (needs.mesh?.peers() ?? []).map((peer) => {
    const connection = connected.get(peer.id)
    const link = connection === undefined ? null : needs.profiling.links.status(connection)
    const counted = needs.measured.counted(peer.id)
    return { ...peer, ...needs.cluster?.roleOf(peer.id), link, ...(counted === undefined ? {} : { counted }) }
  })
}

/** The stages of the whole mesh, as far as this peer has been told. */
function allStages(needs: Omit<StatusNeeds, 'telemetry'>): StageStatus[] {
  const own = [...needs.stages.list(), ...needs.graphStages.list()].map(({ model, from, to, pid, state }) => ({
    model,
    from,
    to,
    peer: needs.self,
    pid,
    state,
    memory: needs.holdings.memory.get(pid) ?? 0,
  }))
  const others = [...(needs.mesh?.holdings() ?? [])].flatMap(([peer, held]) =>
    peer === needs.self || needs.mesh?.state(peer) === 'away'
      ? []
      : held.flatMap(({ model, stages }) => stages.map((stage) => ({ model, peer, ...stage }))),
  )
  return [...own, ...others]
}

function ownDrafts({ drafts, library }: StatusNeeds): DraftStatus[] {
  return drafts.hosts.list().map(({ model, pid, state, sessions }) => {
    const manifest = library.list().find((one) => one.model === model)
    const memory = manifest?.blocks.reduce((sum, block) => sum + block.memory, 0) ?? 0
    return { model, pid, memory, state, answers: sessions }
  })
}

function seen(refusal: ReturnType<Network['refusals']>[number]): SeenNotJoined {
  const { id, address, code, why, hint, at } = refusal
  return { id, address, code, why, hint, seen_at: new Date(at).toISOString() }
}

export function manifestBytes(manifest: AnyManifest): number {
  const tensors = new Map(
    manifest.blocks.flatMap((block) => block.tensors.map((ref) => [ref.address, ref.bytes] as const)),
  )
  return [...tensors.values()].reduce((sum, bytes) => sum + bytes, 0)
}

export function summary(needs: Omit<StatusNeeds, 'telemetry'>, manifest: AnyManifest): ModelSummary {
  const announced = needs.mesh?.manifests().find((known) => known.digest === manifest.digest)
  const held = needs.mesh
    ?.holdings()
    .get(needs.self)
    ?.find((entry) => entry.digest === manifest.digest)
  const whole = held?.tensors.some(([from, to]) => from === 0 && to === manifest.blocks.length)
  return {
    model: manifest.model,
    digest: manifest.digest,
    bytes: manifestBytes(manifest),
    blocks: manifest.blocks.length,
    license: manifest.license,
    local: whole ?? true,
    holders: announced?.holders ?? [needs.self],
    covered: coveredBlocks(needs, manifest),
    available: true,
    ...textOf(manifest),
  }
}

function textOf(manifest: AnyManifest): Pick<ModelSummary, 'text'> {
  const text = isGraphManifest(manifest) ? manifest.text : undefined
  if (text === undefined) return {}
  const { context } = text
  return text.kind === 'encoder'
    ? { text: { kind: text.kind, dimensions: text.dimensions, context } }
    : { text: { kind: text.kind, context } }
}

function coveredBlocks(needs: Omit<StatusNeeds, 'telemetry'>, manifest: AnyManifest): number {
  const placement = needs.placing.placement(manifest.model)
  // What a request has loaded is kept for a while; it serves nobody by itself.
  if (isGraphManifest(manifest) && placement?.digest !== manifest.digest) return 0
  const ready = allStages(needs).filter((stage) => stage.model === manifest.model && stage.state === 'ready')
  const atOrigin = placement?.stages.filter((stage) => stage.peer === ORIGIN) ?? []
  return manifest.blocks.filter((_, block) =>
    [...ready, ...atOrigin].some(({ from, to }) => from <= block && block < to),
  ).length
}

/** Models here, in the mesh and in the catalogue. */
export async function describeModels(needs: StatusNeeds): Promise<ModelSummary[]> {
  const here = needs.library.list().map((manifest) => summary(needs, manifest))
  const names = new Set(here.map((entry) => entry.model))
  const elsewhere: ModelSummary[] = (needs.mesh?.manifests() ?? [])
    .filter((known) => !names.has(known.model))
    .map(({ model, digest, bytes, blocks, license, holders }) => ({
      model,
      digest,
      bytes,
      blocks,
      license,
      local: false,
      holders,
      covered: 0,
      available: true,
    }))
  for (const entry of elsewhere) names.add(entry.model)
  const catalogued: ModelSummary[] = (await needs.library.catalogue.list())
    .filter((entry) => !names.has(entry.model))
    .map((entry) => ({
      model: entry.model,
      digest: '',
      bytes: entry.sources[0]?.bytes ?? 0,
      blocks: 0,
      license: entry.license,
      local: false,
      holders: [],
      covered: 0,
      available: true,
    }))
  return [...here, ...elsewhere, ...catalogued]
}
