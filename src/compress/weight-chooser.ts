/** Chooses the weight formats of a model that is being imported: measured in a child, a block at a time. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ImportMemoryError, ImportProcessError, ImportSilentError, runInChild } from '../models/index.ts'
import type {
  ChildNeeds,
  ModelImportRequest,
  ModelManifest,
  ModelQuality,
  ProgressListener,
  WeightChoice,
  WeightChooser,
} from '../models/index.ts'
import { qualityProgram } from '../pipeline/index.ts'
import type { FormatSpeed, MeasuredText, QualityEvent, QualityResult, QualityTask } from '../pipeline/index.ts'
import { CALIBRATION_NAME, CALIBRATION_PARAGRAPHS, HELD_OUT_PARAGRAPHS } from './calibration-text.ts'
import { candidatesOf, isFloatBlock, totalMemory } from './candidates.ts'
import { HOPELESS, PRICES, verdictOf } from './choose.ts'
import { CalibrationTextError } from './errors.ts'

export interface WeightChooserNeeds {
  readonly child: Pick<ChildNeeds, 'clock' | 'storeDirectory' | 'codeCache' | 'onChild' | 'limits'>
  /** The residual's largest magnitude on it decides about float16 boundaries. */
  readonly range: string
  fitsHalf(largest: number): boolean
  /** How fast this machine is in each format; no choice depends on it. */
  onSpeeds(model: string, speeds: readonly FormatSpeed[]): void
  /** A line for the log: it could not be measured, and why. */
  onUnmeasured(why: string): void
}

type Request = Pick<ModelImportRequest, 'weights' | 'measure' | 'calibration'>

/** Characters of a text of one's own. */
const LEAST_TEXT = 1_000
const MOST_TEXT = 200_000
/** Pieces of each half whose beginnings are read. */
const PIECES = 6
/**
 * Rows: of 64 the mean error of a layer stands to some percent; 256 tell a divergence of 0.006 from one of 0.01. Models
 * beyond a billion parameters are measured on fewer, so that it takes no more than a few times what the import does.
 */
const ROWS = { calibration: 64, heldOut: 256 }
const ROWS_OF_LARGE = { calibration: 48, heldOut: 128 }
const LARGE = 1e9
/** Node, the engine and the tokenizer, and a part of the head with its logits. */
const BASE_MEMORY = 1536 * 2 ** 20
/** Bytes a parameter of a layer: in float32 for the reference and three candidates, their integers, one that is made. */
const LAYER_BYTES = 32

export function createWeightChooser(needs: WeightChooserNeeds): WeightChooser {
  return {
    calibrationOf: (manifest, request) => (isToBeMeasured(manifest, request) ? nameOf(request.calibration) : null),
    choose: (manifest, request, onProgress, signal) => choose(needs, manifest, request, onProgress, signal),
  }
}

function isToBeMeasured({ blocks }: ModelManifest, { weights = 'auto', measure = 'auto' }: Request): boolean {
  if (measure !== 'auto') return measure === 'always'
  return weights === 'auto' ? blocks.some(isFloatBlock) : weights !== 'f32'
}

function nameOf(text: string | undefined): string {
  if (text === undefined) return CALIBRATION_NAME
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

/** @throws CalibrationTextError, ImportMemoryError, ImportSilentError, ImportProcessError, the signal's reason */
async function choose(
  needs: WeightChooserNeeds,
  manifest: ModelManifest,
  request: Request,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<WeightChoice | null> {
  const texts = textsOf(request.calibration, parametersOf(manifest) > LARGE ? ROWS_OF_LARGE : ROWS)
  const workDirectory = await mkdtemp(join(tmpdir(), 'weft-quality-'))
  try {
    const candidates = candidatesOf(manifest, request.weights ?? 'auto')
    const chooses = candidates.some(({ length }) => length > 1)
    const task: QualityTask = {
      ...texts,
      manifest,
      storeDirectory: needs.child.storeDirectory,
      workDirectory,
      range: needs.range,
      candidates,
      prices: chooses ? PRICES : PRICES.slice(-1),
      hopeless: HOPELESS,
      timed: timedBlock(manifest, candidates),
    }
    const result = await measureInChild(needs, task, onProgress, signal)
    needs.onSpeeds(manifest.model, result.speeds)
    return choiceOf(needs, manifest, request, result)
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof ImportMemoryError || error instanceof ImportSilentError || error instanceof ImportProcessError)
      throw error
    needs.onUnmeasured(error instanceof Error ? error.message : String(error))
    return null
  } finally {
    await rm(workDirectory, { recursive: true, force: true })
  }
}

async function measureInChild(
  { child }: WeightChooserNeeds,
  task: QualityTask,
  onProgress: ProgressListener,
  signal: AbortSignal | undefined,
): Promise<QualityResult> {
  const name = `measuring the layers of ${task.manifest.model}`
  const total = task.manifest.blocks.length
  const tell = (done: number): void => onProgress({ type: 'progress', task: name, done, total, unit: 'blocks' })
  tell(0)
  const work = {
    program: qualityProgram(),
    input: task,
    what: 'measuring the weight formats of the model',
    memory: memoryFor(task.manifest),
    onEvent: (event: unknown) => tell((event as QualityEvent).done),
  }
  return (await runInChild(child, work, signal)) as QualityResult
}

function choiceOf(
  needs: WeightChooserNeeds,
  manifest: ModelManifest,
  request: Request,
  result: QualityResult,
): WeightChoice {
  const { whole, passed } = verdictOf(manifest, result)
  const quality: ModelQuality = {
    asked: request.weights ?? 'auto',
    calibration: nameOf(request.calibration),
    calibration_tokens: result.calibration_tokens,
    held_out_tokens: result.held_out_tokens,
    perplexity: whole.perplexity,
    perplexity_float32: result.perplexity,
    divergence: whole.divergence,
    chance: whole.chance,
    passed,
    memory_float32: totalMemory(manifest, 'f32'),
    errors: result.errors,
  }
  return { weights: whole.weights, quality, fitsHalf: needs.fitsHalf(result.largest) }
}

/** @throws CalibrationTextError */
function textsOf(
  own: string | undefined,
  rows: typeof ROWS,
): { readonly calibration: MeasuredText; readonly heldOut: MeasuredText } {
  const halves = own === undefined ? [CALIBRATION_PARAGRAPHS, HELD_OUT_PARAGRAPHS] : halvesOf(own)
  return {
    calibration: { paragraphs: halves[0]!, tokens: rows.calibration },
    heldOut: { paragraphs: halves[1]!, tokens: rows.heldOut },
  }
}

function halvesOf(text: string): readonly (readonly string[])[] {
  checkCalibrationText(text)
  const length = Math.floor(text.length / (2 * PIECES))
  const pieces = Array.from({ length: 2 * PIECES }, (_, piece) => text.slice(piece * length, (piece + 1) * length))
  return [pieces.slice(0, PIECES), pieces.slice(PIECES)]
}

/** @throws CalibrationTextError */
export function checkCalibrationText(text: string): void {
  if (text.includes('\0') || text.includes('\uFFFD')) throw new CalibrationTextError('it is not text in UTF-8')
  if (text.length < LEAST_TEXT) throw new CalibrationTextError(`it has ${text.length} characters`)
  if (text.length > MOST_TEXT) throw new CalibrationTextError(`it has ${text.length} characters`)
}

/** The first layer of which there is something to choose, or just the first. */
function timedBlock({ blocks }: ModelManifest, candidates: readonly { readonly length: number }[]): number {
  const first = blocks.findIndex(({ kind }, index) => kind === 'decoder' && candidates[index]!.length > 1)
  return Math.max(1, first)
}

function parametersOf({ blocks }: ModelManifest): number {
  return blocks.slice(1).reduce((sum, block) => sum + elementsOf(block), 0)
}

function elementsOf({ tensors }: ModelManifest['blocks'][number]): number {
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
}

function memoryFor({ blocks }: ModelManifest): number {
  return BASE_MEMORY + LAYER_BYTES * Math.max(...blocks.slice(1, -1).map(elementsOf))
}
