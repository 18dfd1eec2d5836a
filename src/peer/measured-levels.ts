/** At import: the range of a model's residual, and the levels of its rows, measured on the way or behind it. */
import type { AnyManifest, ModelManifest } from '../models/index.ts'
import type { MeasuredLevels } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { checkRange } from './range-check.ts'
import type { RangeNeeds } from './range-check.ts'
import type { RowLevels } from './row-levels.ts'
import type { ProgressSink } from './types.ts'

export interface ImportedLevelsNeeds {
  readonly count: Telemetry['count']
  readonly log: (line: string) => void
  /** @default nothing is measured behind an import */
  readonly levels?: Pick<RowLevels, 'keep' | 'own'>
}

export class ImportedLevels {
  readonly #needs: ImportedLevelsNeeds
  /** By model. */
  readonly #found = new Map<string, MeasuredLevels>()

  constructor(needs: ImportedLevelsNeeds) {
    this.#needs = needs
  }

  /** Whether float16 boundaries hold a model; null: nobody knows. @throws what `checkRange` does */
  async fitsHalf(
    child: RangeNeeds,
    manifest: ModelManifest,
    progress: ProgressSink,
    signal?: AbortSignal,
  ): Promise<boolean | null> {
    const { count, log } = this.#needs
    const range = await checkRange(child, manifest, progress, signal)
    if (range === null) {
      log(`the range of ${manifest.model} could not be measured`)
      return null
    }
    count('ranges_measured', 1, { threads: String(range.threads) })
    if (!range.fits) log(`${manifest.model} reaches ${range.largest}: its boundaries are float32`)
    if (range.levels !== null) this.#found.set(manifest.model, range.levels)
    return range.fits
  }

  /** Of an import that has ended: what it measured on the way, else measured now, once a model. @throws the signal's reason */
  async keep(child: RangeNeeds, manifest: AnyManifest, progress: ProgressSink, signal: AbortSignal): Promise<void> {
    const { levels } = this.#needs
    const found = this.#found.get(manifest.model)
    this.#found.delete(manifest.model)
    if (levels === undefined || !('shape' in manifest) || levels.own(manifest.digest) !== undefined) return
    const tell: ProgressSink = (step) => progress({ ...step, task: `measuring the rows of ${manifest.model}` })
    const measured = found ?? (await checkRange(child, manifest, tell, signal).catch(() => null))?.levels
    signal.throwIfAborted()
    if (measured !== undefined && measured !== null) await levels.keep(manifest.digest, measured)
  }
}
