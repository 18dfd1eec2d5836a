/**
 * What a decision to move a placement reads: nothing but what peers have told the whole mesh, so that all of them read the
 * same. What this peer has measured by itself comes in by its own record.
 */
import type { MeshPlacement, Mesh, ModelHoldings, PeerProfile } from '../mesh/index.ts'
import type { ModelManifest } from '../models/index.ts'
import { decisionOrder, ORIGIN } from '../placement/index.ts'
import type { HeldBlocks, LivingNote, LivingState, PlanLink, PlanPeer, Stage } from '../placement/index.ts'
import { PLAN_CONCURRENCY, PLAN_CONTEXT, planBlocks } from './plan-input.ts'
import { bothWays, toldCurve, toldGuessing } from './profile-plan.ts'
import { blockSize, predictBlock } from './profile-predict.ts'

/**
 * Bytes a second, 1 Mbit: less was measured of a transfer that waited for something else (a disk, a busy processor), and nothing
 * is moved for that.
 */
const LEAST_BANDWIDTH = 125e3

export interface ReplanInputNeeds {
  readonly self: string
  readonly mesh: Pick<Mesh, 'peers' | 'profiles' | 'holdings' | 'manifests' | 'state'>
}

/** Connected peers that could decide about a model, in the order in which they act: those that have its manifest. */
export function decidersOf({ self, mesh }: ReplanInputNeeds, { model, digest, epoch }: MeshPlacement): string[] {
  const holders = mesh.manifests().find((known) => known.digest === digest)?.holders ?? []
  const able = [...new Set([...holders, self])].filter((peer) => mesh.state(peer) === 'connected')
  return decisionOrder(model, epoch, able)
}

/** Undefined while it is not known what the peers can do, and for a placement that does not fit the model. */
export function livingState(
  needs: ReplanInputNeeds,
  manifest: ModelManifest,
  placement: MeshPlacement,
): LivingState | undefined {
  const { mesh } = needs
  if (!fits(manifest, placement.stages)) return undefined
  const profiles = mesh.profiles()
  const note = noteOf(manifest, placement)
  const there = connected(needs).filter((peer) => profiles.has(peer) && note.without?.includes(peer) !== true)
  const origin = [note.origin, placement.author, ...decidersOf(needs, placement)].find((peer) => there.includes(peer))
  if (origin === undefined) return undefined
  const holdings = mesh.holdings()
  const held = heldBlocks(mesh, there, manifest.digest)
  const peers = there.map((peer) => {
    const isServing = placement.stages.some(
      (stage) =>
        stage.peer === peer && held.get(peer)!.ready.some(([from, to]) => from <= stage.from && stage.to <= to),
    )
    return planPeer(manifest, profiles, origin, peer, holdings.get(peer) ?? [], isServing)
  })
  return {
    input: {
      blocks: planBlocks(manifest),
      peers,
      links: linksOf(profiles, new Set(there)),
      context: Math.min(PLAN_CONTEXT, manifest.shape.context),
      concurrency: PLAN_CONCURRENCY,
      origin,
      objective: note.objective,
      // As whoever asks has planned with it: what is deployed is not moved for having been judged by something else.
      ...(note.objective === 'latency' ? toldGuessing(profiles.get(origin)?.use, manifest.digest) : {}),
    },
    kind: placement.kind,
    stages: placement.stages,
    replicas: placement.replicas.filter(({ to }) => to <= manifest.blocks.length),
    note,
    held,
    use: there
      .flatMap((peer) => profiles.get(peer)?.use ?? [])
      .filter(({ digest }) => digest === manifest.digest)
      .reduce((sum, { tokens_per_minute: rate }) => sum + rate, 0),
  }
}

/** Records come from anybody. All blocks once, and embedding and head with whoever asks. */
function fits({ blocks }: ModelManifest, stages: readonly Stage[]): boolean {
  const isInner = ({ from, to }: Stage): boolean => blocks.slice(from, to).every(({ kind }) => kind === 'decoder')
  return stages.at(-1)?.to === blocks.length && stages.every((stage) => stage.peer === ORIGIN || isInner(stage))
}

function noteOf(manifest: ModelManifest, { author, note }: MeshPlacement): LivingNote {
  const { origin, objective, without, ...stages } = note ?? { origin: author, objective: 'latency' as const }
  const sound = Object.entries(stages).filter(([, list]) => Array.isArray(list) && fits(manifest, list as Stage[]))
  return { origin, objective, without, ...Object.fromEntries(sound) }
}

/** Of peers that are there: blocks of one model on their disks, and loaded. */
export function heldBlocks(
  mesh: Pick<Mesh, 'holdings'>,
  peers: readonly string[],
  digest: string,
): Map<string, HeldBlocks> {
  const holdings = mesh.holdings()
  return new Map(
    peers.map((peer) => {
      const held = (holdings.get(peer) ?? []).filter((entry) => entry.digest === digest)
      const inState = (state: 'ready' | 'failed'): (readonly [number, number])[] =>
        held.flatMap(({ stages }) =>
          stages.filter((it) => it.state === state).map(({ from, to }) => [from, to] as const),
        )
      const tensors = held.flatMap((entry) => entry.tensors)
      return [peer, { tensors, ready: inState('ready'), failed: inState('failed') }]
    }),
  )
}

/** This peer and all that are connected, by id. */
function connected({ self, mesh }: ReplanInputNeeds): string[] {
  return [self, ...mesh.peers().flatMap(({ id, state }) => (state === 'connected' ? [id] : []))].sort()
}

function planPeer(
  manifest: ModelManifest,
  profiles: ReadonlyMap<string, PeerProfile>,
  origin: string,
  id: string,
  holdings: readonly ModelHoldings[],
  isServing: boolean,
): PlanPeer {
  const { hardware, threads: told } = profiles.get(id)!
  const { digest } = manifest
  const threads = told > 0 ? told : hardware.cores
  const bandwidth = hardware.memory_bandwidth ?? 0
  const hosts = new Map(
    holdings.filter((held) => held.digest !== digest).flatMap(({ stages }) => stages.map((it) => [it.pid, it.memory])),
  )
  const own = hardware.models?.find((model) => model.digest === digest)
  const size = blockSize(manifest)
  const expected = size === null ? null : predictBlock(size, { speed: hardware.speed, bandwidth, threads })
  const claimed = own?.block_ms ?? expected?.one ?? 0
  // Whoever asks has seen how long its answers take, and goes by that.
  const seen = profiles.get(origin)?.seen?.find((it) => it.peer === id && it.digest === digest)?.block_ms
  // What came to nothing there, as whoever asks has seen it; what stands there proves itself.
  const short = profiles.get(origin)?.short?.find(({ peer }) => peer === id)?.bytes
  const prefill = own?.prefill_ms ?? expected?.prefill ?? 0
  const blockMs = seen ?? claimed
  return {
    id,
    speed: hardware.speed,
    threads: Math.max(1, threads),
    memory: isServing ? hardware.memory_quota : Math.min(hardware.memory_quota, short ?? Infinity),
    reserved: [...hosts.values()].reduce((sum, memory) => sum + memory, 0),
    ...(blockMs > 0 ? { blockMs } : {}),
    ...(prefill > 0 ? { prefillMs: claimed > 0 ? (prefill * blockMs) / claimed : prefill } : {}),
    ...(bandwidth > 0 ? { bandwidth } : {}),
    ...toldCurve(hardware.models, digest),
  }
}

function linksOf(profiles: ReadonlyMap<string, PeerProfile>, there: ReadonlySet<string>): PlanLink[] {
  return [...there]
    .flatMap((peer) =>
      (profiles.get(peer)?.links ?? []).filter((link) => there.has(link.peer)).map((link) => ({ peer, link })),
    )
    .flatMap(({ peer, link }) => bothWays(peer, link))
    .map((link) => ({ ...link, bandwidth: link.bandwidth > 0 ? Math.max(link.bandwidth, LEAST_BANDWIDTH) : 0 }))
    .sort((one, other) => (`${one.from} ${one.to}` < `${other.from} ${other.to}` ? -1 : 1))
}
