/** `deploy` of a model that was an ONNX file: its parts are loaded where a person or the planner says, and stay there. */
import type { GraphManifest } from '../models/index.ts'
import { loadOverMesh } from '../pipeline/index.ts'
import { WeftError } from '../errors.ts'
import { OnnxSplitDiffersError } from '../onnx/index.ts'
import { NoPlacementError, planPlacement } from '../placement/index.ts'
import type { Objective } from '../placement/index.ts'
import type { PlacementStage } from '../pipeline/index.ts'
import { graphParts, placesOf } from './graph-parts.ts'
import type { GraphParts, GraphPlaces } from './graph-parts.ts'
import { inAllBlocks, withCuts } from './graph-plan.ts'
import type { InferMeshNeeds } from './infer-mesh.ts'
import type { DeployTarget, PlacementStatus, ProgressSink } from './types.ts'

/** A peer that has to fetch its weights over a slow link takes long. */
const DEADLINE_MS = 600_000

/**
 * The placement is published once all its parts are loaded: one that cannot be does not take the place of another.
 * @throws NoPlacementError, what the check of a placement by hand, cutting, proving and peers throw
 */
export async function deployGraph(
  needs: InferMeshNeeds,
  manifest: GraphManifest,
  placement: DeployTarget | undefined,
  progress: ProgressSink,
  signal?: AbortSignal,
): Promise<PlacementStatus> {
  const { placing } = needs
  const { digest, model } = manifest
  const kind = typeof placement === 'object' ? 'hand' : 'chosen'
  const { stages, places, made } =
    typeof placement === 'object'
      ? await cutAt(needs, manifest, placement.stages, signal)
      : await chosenParts(needs, manifest, placement ?? 'latency', signal)
  const { parts, optimization } = made
  await needs.asking?.admit(manifest, places.peers, signal)
  const peers = new Set(places.peers).size
  const task = `loading ${model} on ${peers} ${peers === 1 ? 'peer' : 'peers'}`
  const shown = (done: number): void => progress({ type: 'progress', task, done, total: parts.length, unit: 'steps' })
  shown(0)
  await loadOverMesh(needs, { digest, parts, optimization, deadline: DEADLINE_MS, signal }, shown)
  const published = await placing.publish(manifest, { kind, stages })
  const { epoch, author } = published
  return { schema: 'weft.placement/1', model, epoch, author, kind: published.kind, stages: published.stages }
}

interface CutStages {
  readonly stages: readonly PlacementStage[]
  readonly places: GraphPlaces
  readonly made: GraphParts
}

async function cutAt(
  needs: InferMeshNeeds,
  manifest: GraphManifest,
  stages: readonly PlacementStage[],
  signal?: AbortSignal,
): Promise<CutStages> {
  needs.placing.check(manifest, stages)
  const places = placesOf(stages, needs.self)
  return { stages, places, made: await graphParts(needs, manifest, places, signal) }
}

/**
 * As the planner would have it. Where its cuts change bits, with those alone that the import has proven together.
 * @throws NoPlacementError, and what cutting and proving throw
 */
async function chosenParts(
  needs: InferMeshNeeds,
  manifest: GraphManifest,
  objective: Objective,
  signal?: AbortSignal,
): Promise<CutStages> {
  const { placing } = needs
  try {
    return await cutAt(needs, manifest, placing.plan(manifest, objective).stages, signal)
  } catch (error) {
    if (!(error instanceof WeftError) || error.code !== OnnxSplitDiffersError.info.code) throw error
    const { proven } = manifest.graph
    const input = withCuts(placing.question(manifest, { objective }), proven)
    const plan = planPlacement(input)
    if (plan.verdict === 'no-fit') throw new NoPlacementError(manifest.model, plan)
    return cutAt(needs, manifest, inAllBlocks(plan.stages, proven, manifest.blocks.length), signal)
  }
}
