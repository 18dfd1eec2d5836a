/** What the planner is asked: the model's blocks, and the peers of the mesh as they are now. */
import type { Mesh } from '../mesh/index.ts'
import { isGraphManifest } from '../models/index.ts'
import { graphAsked } from './graph-plan.ts'
import type { AnyManifest, GraphManifest, ModelManifest } from '../models/index.ts'
import type { Stages } from '../pipeline/index.ts'
import { planRange } from '../placement/index.ts'
import type { Objective, PlanBlock, PlanInput, PlanPeer, Stage } from '../placement/index.ts'
import type { PlaceAsking } from './place-asking.ts'
import type { PlanMeasures } from './profile-plan.ts'
import type { HardwareProfile } from './types.ts'

/** Context and sessions for which a chosen placement leaves room. */
export const PLAN_CONTEXT = 2_048
export const PLAN_CONCURRENCY = 1

/** Peers over which nothing of this one goes, by whatever reason: nothing of a model, where one is named. */
export interface KeptOut {
  has(peer: string, model?: string): boolean
  /** As others should know it, by whom it would be obeyed: not by its role alone, which they know themselves. */
  isListed(peer: string, model?: string): boolean
  /** @throws the reason, for the first of these that is kept out */
  refuse(peers: Iterable<string>, model?: string): void
}

export interface PlanNeeds {
  readonly self: string
  readonly mesh: Mesh | null
  readonly stages: Stages
  readonly threads: number
  /** What was measured of blocks and links. @default nothing but the speed that each peer tells */
  readonly measured?: PlanMeasures
  /** Peers that nothing is given to. */
  readonly quarantine?: KeptOut
  /** Asks others whether they load what this one places, and knows who has said no. @default nobody is asked */
  readonly asking?: PlaceAsking
  profile(): HardwareProfile
}

/** What a person wishes; what is left out is as for a placement that weft chooses. */
export interface PlanWishes {
  readonly objective?: Objective
  /** Tokens; no more than the model has. */
  readonly context?: number
  readonly concurrency?: number
  /** Tokens of the prompt whose first token is predicted. */
  readonly prompt?: number
}

export interface PlanRequest extends PlanWishes {
  /** Changes of the mesh, as `--what-if` has them. */
  readonly whatIf?: readonly string[]
  /** With every term, what bounds it, and what would help. */
  readonly explain?: boolean
}

/** Of a graph, context and prompt say nothing. */
export function planInput(needs: PlanNeeds, model: AnyManifest, wishes: PlanWishes = {}): PlanInput {
  if (isGraphManifest(model)) return graphInput(needs, model, wishes)
  const manifest = model
  const objective = wishes.objective ?? 'latency'
  return {
    blocks: planBlocks(manifest),
    peers: planPeers(needs, manifest),
    links: needs.measured?.links() ?? [],
    context: Math.min(wishes.context ?? PLAN_CONTEXT, manifest.shape.context),
    concurrency: wishes.concurrency ?? PLAN_CONCURRENCY,
    origin: needs.self,
    objective,
    // The sessions of a batch guess little, and a first token comes of no guess.
    ...(objective === 'latency' ? needs.measured?.guessing(manifest.digest) : {}),
    ...(wishes.prompt === undefined ? {} : { prompt: wishes.prompt }),
  }
}

function graphInput(needs: PlanNeeds, manifest: GraphManifest, wishes: PlanWishes): PlanInput {
  return {
    ...graphAsked(manifest, wishes),
    peers: planPeers(needs, manifest),
    links: needs.measured?.links() ?? [],
    origin: needs.self,
    objective: wishes.objective ?? 'latency',
  }
}

/**
 * Peers for blocks [from, to) of a model whose other stages stay where they are; undefined: they have no room for them, all
 * together. Any two neighbours count the same: who stands before and behind is the origin's to know.
 * @throws ModelKindError for what is no language model
 */
export function divideRange(needs: PlanNeeds, model: AnyManifest, from: number, to: number): Stage[] | undefined {
  const { mesh, self, stages } = needs
  const input = planInput(needs, model)
  const held = (peer: string): number =>
    peer === self
      ? stages.weights - stages.weightsBeside(model.digest)
      : (mesh?.holdings().get(peer) ?? [])
          .filter(({ digest }) => digest === model.digest)
          .reduce((sum, { stages: ready }) => sum + Math.max(0, ...ready.map(({ memory }) => memory)), 0)
  const peers = input.peers.map((peer) => ({ ...peer, reserved: peer.reserved + held(peer.id) }))
  return planRange({ ...input, peers }, from, to, self, self)
}

export function planBlocks(model: ModelManifest): PlanBlock[] {
  const { blocks, boundary, shape } = model
  const boundaryBytes = shape.width * (boundary === 'f16' ? 2 : 4)
  return blocks.map(({ kind, memory, flops, kv_bytes }) => ({ kind, memory, flops, kv_bytes, boundaryBytes }))
}

/** A peer keeps one model of a name, so it would never load another one. */
export function isNameTaken(
  mesh: Mesh | null,
  peer: string,
  { digest, model }: Pick<AnyManifest, 'digest' | 'model'>,
): boolean {
  return (mesh?.holdings().get(peer) ?? []).some((held) => held.model === model && held.digest !== digest)
}

/** Memory that the same model takes now would be free for its new placement. */
export function planPeers(needs: PlanNeeds, { digest, model }: Pick<AnyManifest, 'digest' | 'model'>): PlanPeer[] {
  const { self, mesh, stages, threads } = needs
  const own = needs.profile()
  const measured = needs.measured?.speeds(digest) ?? ((): object => ({}))
  const reservedHere = stages.weightsBeside(digest)
  const peers: PlanPeer[] = [
    { id: self, speed: own.speed, threads, memory: own.memory_quota, reserved: reservedHere, ...measured(self) },
  ]
  for (const peer of mesh?.peers() ?? []) {
    if (peer.state !== 'connected' || peer.profile === null) continue
    if (needs.quarantine?.has(peer.id, model) === true || needs.asking?.has(peer.id, digest) === true) continue
    if (isNameTaken(mesh, peer.id, { digest, model })) continue
    const { speed, memory_quota, cores } = peer.profile
    const their = mesh?.profiles().get(peer.id)
    const others = (mesh?.holdings().get(peer.id) ?? []).filter((held) => held.digest !== digest)
    const hosts = new Map(others.flatMap((held) => held.stages).map((stage) => [stage.pid, stage.memory]))
    const reserved = [...hosts.values()].reduce((sum, memory) => sum + memory, 0)
    const memory = needs.measured?.memory(peer.id, memory_quota) ?? memory_quota
    const told = memory < memory_quota ? { toldMemory: memory_quota } : {}
    const device = { speed, threads: their?.threads ?? cores, memory, reserved, ...told }
    peers.push({ id: peer.id, ...device, ...measured(peer.id) })
  }
  return peers
}
