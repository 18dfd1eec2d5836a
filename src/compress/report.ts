/** What an import tells of the formats that were chosen: quality, memory, and the speed of this machine. */
import type { ModelManifest, ModelQuality, WeightFormat } from '../models/index.ts'
import type { FormatSpeed } from '../pipeline/index.ts'
import { totalMemory } from './candidates.ts'

export interface FormatReport {
  readonly weights: WeightFormat
  /** Layers that have it, the head counted as one. */
  readonly layers: number
  /** Bytes of weights in memory, had all layers it. */
  readonly memory: number
  /** Mean relative error of a layer in it; null where it was not tried. */
  readonly error: number | null
  /** Of this machine, in this run. */
  readonly speed: Omit<FormatSpeed, 'weights'> | null
}

export interface QualityReport extends Omit<ModelQuality, 'errors'> {
  /** Bytes of weights in memory. */
  readonly memory: number
  /** From the smallest to the largest. */
  readonly formats: readonly FormatReport[]
}

export function qualityReport(manifest: ModelManifest, speeds: readonly FormatSpeed[]): QualityReport | undefined {
  if (manifest.quality === undefined) return undefined
  const { errors, ...quality } = manifest.quality
  const tried = new Set(errors.flatMap((each) => Object.keys(each) as WeightFormat[]))
  const formats = [...tried].map((weights): FormatReport => {
    const each = errors.flatMap((own) => own[weights] ?? [])
    const speed = speeds.find((one) => one.weights === weights)
    return {
      weights,
      layers: manifest.blocks.filter((block) => block.kind !== 'embedding' && block.weights === weights).length,
      memory: totalMemory(manifest, weights),
      error: each.length === 0 ? null : each.reduce((sum, error) => sum + error, 0) / each.length,
      speed: speed === undefined ? null : { alone_ms: speed.alone_ms, batched_ms: speed.batched_ms },
    }
  })
  const memory = totalMemory(manifest)
  return { ...quality, memory, formats: formats.toSorted((a, b) => a.memory - b.memory) }
}
