/** `infer` over the mesh: a model of the library in parts at peers, values between them directly. */
import type { Mesh } from '../mesh/index.ts'
import { isGraphManifest, ModelKindError } from '../models/index.ts'
import type { GraphManifest } from '../models/index.ts'
import type { Optimization, Wire } from '../onnx/index.ts'
import { inferOverMesh, runRequest } from '../pipeline/index.ts'
import type { FlowService, GraphRequest, Inference, PlacementStage, Tensors } from '../pipeline/index.ts'
import type { RandomSource } from '../util/index.ts'
import { graphParts, placesOf } from './graph-parts.ts'
import type { GraphPartsNeeds, GraphPlaces } from './graph-parts.ts'
import type { Placing } from './placing.ts'
import { overPeersWithRoom } from './peers-with-room.ts'
import type { PeerRoom } from './peers-with-room.ts'
import { planPeers } from './plan-input.ts'
import type { KeptOut, PlanNeeds } from './plan-input.ts'
import { withSurvivors } from './survivors.ts'
import type { SurvivorsNeeds } from './survivors.ts'

export interface InferMeshNeeds extends GraphPartsNeeds, SurvivorsNeeds, Omit<PlanNeeds, 'quarantine'> {
  readonly random: RandomSource
  readonly mesh: Mesh | null
  readonly placing: Placing
  readonly flow: FlowService
  readonly watch: (peer: string) => () => void
  /** Peers that nothing of a model goes over: their own fault, or the policy of this site. */
  readonly quarantine: KeptOut
}

export interface InferRequest extends GraphRequest {
  /**
   * Each stage is one part, at the peer that it names; `auto`: a part each for this peer and all that are connected, but
   * those that are kept out.
   * @default the placement that stands, or `auto` where there is none or `parts` are given
   */
  readonly stages?: readonly PlacementStage[] | 'auto' | undefined
  /** Parts of `auto`: at most one a peer. */
  readonly parts?: number | undefined
  /**
   * Bytes of weights and live values that each part may need. Where `auto` chooses, no part gets more than its peer has free
   * either, as its record says.
   */
  readonly memory?: number | undefined
  readonly optimization?: Optimization | undefined
  /** As what float32 goes from part to part; `f16` rounds it, and the outputs are not those of the whole. @default 'f32' */
  readonly wire?: Wire | undefined
  /** Milliseconds. @default 10 minutes */
  readonly deadline?: number | undefined
}

const DEADLINE_MS = 600_000

/** @throws ModelUnknownError, ModelKindError, OnnxMemoryLimitError, NoPlacementError's kin, what cutting, peers and the model throw */
export async function inferOverPeers(
  needs: InferMeshNeeds,
  model: string,
  inputs: Tensors,
  request: InferRequest = {},
  signal?: AbortSignal,
): Promise<Inference> {
  const manifest = await needs.library.resolve(model, signal)
  if (!isGraphManifest(manifest)) throw new ModelKindError(model, 'is a language model: generate answers with it')
  const run = (places: GraphPlaces): Promise<{ readonly result: Inference; readonly moved: number }> =>
    withSurvivors(needs, { ...places, memory: lesser(places.memory, request.memory) }, (where) =>
      inferAt(needs, manifest, where, inputs, request, signal),
    )
  const given = placed(needs, manifest, request)
  const { result, moved } = await (given === null
    ? overPeersWithRoom(candidates(needs, manifest), request.parts, run)
    : run(given))
  const { counters, ...stats } = result.stats
  return moved === 0 ? result : { ...result, stats: { ...stats, counters: { ...counters, failovers: moved } } }
}

async function inferAt(
  needs: InferMeshNeeds,
  manifest: GraphManifest,
  where: GraphPlaces,
  inputs: Tensors,
  request: InferRequest,
  signal?: AbortSignal,
): Promise<Inference> {
  const { clock, self } = needs
  const { peers } = where
  const started = clock.now()
  const { optimization: level, wire } = request
  const cut = await graphParts(needs, manifest, { ...where, optimization: level, wire }, signal)
  const { prepared, parts: meshParts, optimization } = cut
  const counters = { bytes_sent: 0, bytes_received: 0, runs: 0 }
  let pids: readonly number[] = []
  const loadMs = clock.now() - started
  const { outputs, stats } = await runRequest(
    {
      clock,
      prepared,
      optimization,
      where: [...new Set(peers)].toSorted().join(),
      flow: async (units, carries) => {
        const deadline = request.deadline ?? DEADLINE_MS
        const init = { digest: manifest.digest, parts: meshParts, optimization, carries, units, deadline, signal }
        const made = await inferOverMesh(needs, init)
        pids = made.pids
        counters.bytes_sent += made.counters.bytes_sent
        counters.bytes_received += made.counters.bytes_received
        counters.runs += units.count * meshParts.length
        return made.results
      },
    },
    inputs,
    request,
  )
  const route = meshParts.map(({ peer, blocks: [from, to] }, part) => ({ peer, pid: pids[part]!, from, to }))
  const count = { ...counters, ...stats.counters }
  const here = route.filter(({ peer }) => peer === self).length
  return {
    outputs,
    route,
    stats: {
      ...stats,
      parts: route.length,
      threads: 0,
      optimization,
      load_ms: loadMs,
      counters: { ...count, parts_here: here },
    },
  }
}

function lesser(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other)
}

/** By hand, or as it stands; null: `auto`. @throws what the placement check throws */
function placed(needs: InferMeshNeeds, manifest: GraphManifest, { stages, parts }: InferRequest): GraphPlaces | null {
  const { self, placing } = needs
  const standing = stages === undefined && parts === undefined ? placing.standing(manifest) : undefined
  const given = stages === 'auto' ? undefined : (stages ?? standing)
  if (given === undefined) return null
  placing.check(manifest, given)
  return placesOf(given, self)
}

/** This peer, and those that are connected and not kept out. What a peer without a record has free is not known. */
function candidates(needs: InferMeshNeeds, manifest: GraphManifest): readonly PeerRoom[] {
  const { self, mesh, quarantine } = needs
  const known = new Map(planPeers(needs, manifest).map((each) => [each.id, each]))
  const connected = (mesh?.peers() ?? []).filter(({ state }) => state === 'connected').map(({ id }) => id)
  const allowed = connected.filter((peer) => !quarantine.has(peer, manifest.model))
  return [self, ...allowed].map((peer) => {
    const { memory = Number.MAX_SAFE_INTEGER, reserved = 0, speed = 0, threads = 0 } = known.get(peer) ?? {}
    return { peer, bytes: Math.max(0, memory - reserved), rate: speed * threads }
  })
}
