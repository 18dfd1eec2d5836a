/** `deploy` of a model that was an ONNX file: its parts are loaded where a placement by hand says, and stay there. */
import { ModelKindError } from '../models/index.ts'
import type { GraphManifest } from '../models/index.ts'
import { loadOverMesh } from '../pipeline/index.ts'
import { graphParts, placesOf } from './graph-parts.ts'
import type { InferMeshNeeds } from './infer-mesh.ts'
import type { DeployTarget, PlacementStatus, ProgressSink } from './types.ts'

/** A peer that has to fetch its weights over a slow link takes long. */
const DEADLINE_MS = 600_000

/**
 * The placement is published once all its parts are loaded: one that cannot be does not take the place of another.
 * @throws ModelKindError without a placement by hand, what its check, cutting, proving and peers throw
 */
export async function deployGraph(
  needs: InferMeshNeeds,
  manifest: GraphManifest,
  placement: DeployTarget | undefined,
  progress: ProgressSink,
  signal?: AbortSignal,
): Promise<PlacementStatus> {
  const { placing, self } = needs
  const { digest, model } = manifest
  if (typeof placement !== 'object') {
    throw new ModelKindError(model, 'is no language model: its placement is given by hand (--placement FILE)')
  }
  const { stages } = placement
  placing.check(manifest, stages)
  const places = placesOf(stages, self)
  const { parts, optimization } = await graphParts(needs, manifest, places, signal)
  const peers = new Set(places.peers).size
  const task = `loading ${model} on ${peers} ${peers === 1 ? 'peer' : 'peers'}`
  const shown = (done: number): void => progress({ type: 'progress', task, done, total: parts.length, unit: 'steps' })
  shown(0)
  await loadOverMesh(needs, { digest, parts, optimization, deadline: DEADLINE_MS, signal }, shown)
  const { epoch, author, kind, stages: published } = await placing.publish(manifest, { kind: 'hand', stages })
  return { schema: 'weft.placement/1', model, epoch, author, kind, stages: published }
}
