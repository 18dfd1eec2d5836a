/** What of a manifest is measured and not read: the weight formats, and the type of the boundaries. */
import { makeBlock } from '../blocks.ts'
import { ModelExistsError } from '../errors.ts'
import type { AnyManifest } from '../graph/manifest.ts'
import { manifestDigest } from '../manifest-check.ts'
import { loadManifest } from '../manifest-files.ts'
import type { ModelManifest, ModelQuality, WeightFormat } from '../manifest.ts'
import type { ProgressListener } from '../sources/progress.ts'
import type { ModelImportRequest } from './import.ts'

export interface SettleNeeds {
  /** Partitions folder of the mesh home: where the manifest goes. */
  readonly directory: string
  /**
   * Whether float16 boundaries hold the model, whose tensors are in the store; null where that cannot be said: then they
   * stay as they are. Not asked where the request names a boundary. @default nothing is measured
   */
  readonly fitsHalf?: (
    manifest: ModelManifest,
    onProgress: ProgressListener,
    signal?: AbortSignal,
  ) => Promise<boolean | null>
  /** @default nothing is chosen: the weights are held as the request says */
  readonly weights?: WeightChooser
}

export type ChoiceRequest = Pick<ModelImportRequest, 'weights' | 'measure' | 'calibration'>

export interface WeightChooser {
  /** Name of the text that this model is to be measured on; null: it is not. */
  calibrationOf(manifest: ModelManifest, request: ChoiceRequest): string | null
  /** Null where it cannot be measured: then the weights are held as the request says. */
  choose(
    manifest: ModelManifest,
    request: ChoiceRequest,
    onProgress: ProgressListener,
    signal?: AbortSignal,
  ): Promise<WeightChoice | null>
}

export interface WeightChoice {
  /** Of each block. */
  readonly weights: readonly WeightFormat[]
  readonly quality: ModelQuality
  readonly fitsHalf: boolean
}

/**
 * The manifest with what was measured. What is here already, and was measured in the same way, is not measured again.
 * @throws ModelExistsError, and what measuring does
 */
export async function settled(
  needs: SettleNeeds,
  request: ModelImportRequest,
  manifest: ModelManifest,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  const there = await loadManifest(needs.directory, manifest.model).catch(() => null)
  const calibration = needs.weights?.calibrationOf(manifest, request) ?? null
  if (needs.weights === undefined || calibration === null) {
    return withBoundary(needs, request, manifest, there, onProgress, signal)
  }
  if (there !== null) {
    if (isOfSameSource(there, manifest)) {
      const { quality } = there
      if (quality?.asked === (request.weights ?? 'auto') && quality.calibration === calibration) return there
    } else if (request.force !== true) throw new ModelExistsError(manifest.model, there.digest, manifest.digest)
  }
  const choice = await needs.weights.choose(manifest, request, onProgress, signal)
  if (choice === null) return withBoundary(needs, request, manifest, there, onProgress, signal)
  const { shape } = manifest
  const blocks = manifest.blocks.map(({ kind, tensors }, index) =>
    makeBlock(kind, tensors, choice.weights[index]!, shape),
  )
  const boundary = request.boundary === undefined && !choice.fitsHalf ? 'f32' : manifest.boundary
  const content = { ...manifest, blocks, boundary } as const
  return { ...content, digest: manifestDigest(content), quality: choice.quality }
}

/** They differ in what is measured at most. */
function isOfSameSource(there: AnyManifest, manifest: ModelManifest): there is ModelManifest {
  if ('kind' in there) return false
  const source = ({ shape, tokenizer, blocks }: ModelManifest): string =>
    JSON.stringify([shape, tokenizer, blocks.map(({ tensors }) => tensors)])
  return source(there) === source(manifest)
}

/** The manifest with float32 boundaries, where float16 would not hold its residual. */
async function withBoundary(
  needs: SettleNeeds,
  request: ModelImportRequest,
  manifest: ModelManifest,
  there: AnyManifest | null,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<ModelManifest> {
  if (needs.fitsHalf === undefined || request.boundary !== undefined) return manifest
  const content = { ...manifest, boundary: 'f32' as const }
  const wide: ModelManifest = { ...content, digest: manifestDigest(content) }
  // The same model was measured when it came.
  for (const same of [manifest, wide]) if (there?.digest === same.digest) return same
  if (there !== null && request.force !== true) {
    throw new ModelExistsError(manifest.model, there.digest, manifest.digest)
  }
  return (await needs.fitsHalf(manifest, onProgress, signal)) === false ? wide : manifest
}
