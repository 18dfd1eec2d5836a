/** `infer` over the mesh for the command line: arrays in files of this machine, in NumPy's format. */
import { readNpz, writeNpz } from '../data/index.ts'
import type { InferenceHop, InferenceStats } from '../pipeline/index.ts'
import { inferOverPeers } from './infer-mesh.ts'
import type { InferMeshNeeds, InferRequest } from './infer-mesh.ts'

export interface InferFilesRequest extends InferRequest {
  readonly model: string
  /** Absolute paths. */
  readonly in: string
  readonly out: string
}

export interface InferredFiles {
  readonly schema: 'weft.inference/1'
  readonly model: string
  readonly outputs: readonly { readonly name: string; readonly type: string; readonly shape: readonly number[] }[]
  readonly route: readonly InferenceHop[]
  readonly stats: InferenceStats
}

/** Writes the outputs whole or not at all. @throws as `inferOverPeers`, and what reading and writing arrays throw */
export async function inferFiles(
  needs: InferMeshNeeds,
  { model, in: source, out, ...request }: InferFilesRequest,
  signal?: AbortSignal,
): Promise<InferredFiles> {
  const inputs = await readNpz(source, signal)
  const { outputs, route, stats } = await inferOverPeers(needs, model, inputs, request, signal)
  signal?.throwIfAborted()
  await writeNpz(out, outputs)
  const arrays = [...outputs].map(([name, { type, dims }]) => ({ name, type, shape: dims }))
  return { schema: 'weft.inference/1', model, outputs: arrays, route, stats }
}
