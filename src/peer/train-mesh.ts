/**
 * Training over peers: data, what is trained and the optimizer stay with this one. Of an adapter layers are where the placement
 * says; of any other plan peers share the steps (train-shared.ts).
 */
import { languageModel } from '../models/index.ts'
import { createOrtEngine } from '../onnx/index.ts'
import { MeshLine, routeOf } from '../pipeline/index.ts'
import type {
  GradientService,
  MeshLineNeeds,
  PlacementStage,
  RouteSegment,
  Sharer,
  TrainHosts,
  TrainService,
} from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { formOf, parallelLine, readPlan, trainAdapter } from '../training/index.ts'
import type { BaseModel, TrainOutcome, TrainRequest } from '../training/index.ts'
import type { InferMeshNeeds } from './infer-mesh.ts'
import type { Replacements } from './failover.ts'
import { OptionError } from './errors.ts'
import { trainShared } from './train-shared.ts'
import type { ProgressSink } from './types.ts'

export interface TrainMeshNeeds extends InferMeshNeeds {
  readonly replacements: Replacements
  readonly service: TrainService
  readonly hosts: TrainHosts
  readonly sharing: GradientService
  /** Peers that were found to lie: no gradient of theirs is believed. @throws PeerQuarantinedError */
  readonly convicted: { refuse(peers: readonly string[]): void }
}

export interface TrainOverRequest extends TrainRequest {
  /** Of an adapter. Several: each computes its share of a step's micro-batches. @default the placement that stands, or this peer alone */
  readonly lines?: readonly (readonly PlacementStage[])[] | undefined
  /** Of any other plan: who computes the gradients of a step's batches, by PeerId, or `origin`. @default this peer, as one process */
  readonly peers?: readonly string[] | undefined
}

export interface TrainedOver extends TrainOutcome {
  /** Who computed the layers of each line, at the end. */
  readonly routes: readonly (readonly RouteSegment[])[]
  /** Who shared the steps, of a plan that is no adapter. */
  readonly sharers: readonly Sharer[]
  readonly counters: Readonly<Record<string, number>>
}

const COUNTED = ['micro_batches', 'gradient_bytes', 'steps_replayed', 'shares_recomputed', 'failovers'] as const

/** @throws what training, placing and peers throw */
export async function trainOverPeers(
  needs: TrainMeshNeeds,
  request: TrainOverRequest,
  progress: ProgressSink = () => undefined,
  signal?: AbortSignal,
): Promise<TrainedOver> {
  const { plan } = await readPlan(request.plan)
  const [field, kind] = plan.model.kind === 'base' ? (['peers', 'other'] as const) : (['lines', 'base'] as const)
  if (request[field] !== undefined)
    throw new OptionError(
      field,
      `is for a plan whose model is of ${kind === 'base' ? 'kind base' : 'another kind than base'}`,
    )
  if (plan.model.kind !== 'base') return trainShared(needs, request, progress, signal)
  return trainAdapterOver(needs, request, progress, signal)
}

async function trainAdapterOver(
  needs: TrainMeshNeeds,
  request: TrainOverRequest,
  progress: ProgressSink,
  signal?: AbortSignal,
): Promise<TrainedOver> {
  const lines: MeshLine[] = []
  const counters: Record<string, number> = Object.fromEntries(COUNTED.map((name) => [name, 0]))
  const count = (name: string, by = 1): void => {
    if (name in counters) counters[name] = counters[name]! + by
    needs.count(name as Parameters<Telemetry['count']>[0], by)
  }
  const base = async (name: string, end?: AbortSignal): Promise<BaseModel> => {
    const manifest = languageModel(await needs.library.resolve(name, end))
    const last = manifest.blocks.length
    // The embedding's rows are read here.
    await needs.library.fetch(manifest, 0, 1, end)
    return {
      manifest,
      store: needs.store,
      tokenizer: await needs.library.tokenizer(manifest, end),
      line: (spec, length, _work, _threads, gradients = 'float32') => {
        const here = [{ peer: needs.self, from: 0, to: last }]
        const given = request.lines ?? [needs.placing.standing(manifest) ?? here]
        const allowed = request.lines && new Set([needs.self, ...request.lines.flat().map(({ peer }) => peer)])
        for (const stages of given) {
          needs.placing.check(manifest, stages)
          const route = layersOf(routeOf(stages, needs.self), last)
          const replace: MeshLineNeeds['replace'] = (lost, avoid) =>
            needs.replacements.replace(manifest, lost, avoid, allowed)
          const init = { manifest, form: formOf(spec), length, gradients, route }
          lines.push(new MeshLine({ ...needs, count, replace }, init))
        }
        return Promise.resolve(
          lines.length === 1 ? lines[0]! : parallelLine(lines, { gradients, lost: () => count('shares_recomputed') }),
        )
      },
    }
  }
  const training = { clock: needs.clock, engine: createOrtEngine(), base }
  const outcome = await trainAdapter(training, request, progress, signal)
  return { ...outcome, routes: lines.map(({ route }) => route), sharers: [], counters }
}

/** Embedding and head stay here, whatever the placement says: tokens, and what should follow, are nobody else's. */
function layersOf(route: readonly RouteSegment[], last: number): RouteSegment[] {
  return route
    .map(({ peer, from, to }) => ({ peer, from: Math.max(1, from), to: Math.min(to, last - 1) }))
    .filter(({ from, to }) => from < to)
}
