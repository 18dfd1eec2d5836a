/** At import: whether float16 boundaries hold this model (DESIGN decision 7). */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ImportMemoryError, ImportProcessError, ImportSilentError, runInChild } from '../models/index.ts'
import type { ChildNeeds, ModelManifest } from '../models/index.ts'
import { rangeProgram } from '../pipeline/index.ts'
import type { RangeEvent, RangeResult, RangeTask } from '../pipeline/index.ts'
import type { ProgressSink } from './types.ts'

/**
 * Half of the largest float16. The largest elements belong to the first token of a text, whatever follows (massive
 * activations, arXiv 2402.17762; SmolLM2-135M: 27,347), so another text hardly goes further.
 */
const LIMIT = 65_504 / 2

export function fitsHalf(largest: number): boolean {
  return largest < LIMIT
}

/** Ordinary prose and what upsets models: digits, brackets, other scripts, repeats. Each begins in another way. */
const RANGE_TEXTS: readonly string[] = [
  'The capital of France is Paris.\n\nThe quick brown fox jumps over the lazy dog.',
  '1984, 3.14159 and 2,718 were printed {"a": [1, 2, 3]};',
  '\u4f60\u597d, \u0416\u0443\u043a \u2014 \u00fcber. aaaa aaaa aaaa',
]
export const RANGE_TEXT = RANGE_TEXTS.join('\n')
/** Node, the engine and the tokenizer, before a block is loaded. */
const BASE_MEMORY = 768 << 20
/** A block is there as float32 while it is packed, packed, as the engine lays it out, and as what it computes with; and two are. */
const BLOCK_COPIES = 8

export interface RangeCheck {
  readonly largest: number
  readonly fits: boolean
  /** Threads that loaded blocks while others were measured. */
  readonly threads: number
  /** Null: the model's rows are not all numbers. */
  readonly levels: RangeResult['levels']
}

export type RangeNeeds = Pick<ChildNeeds, 'clock' | 'storeDirectory' | 'codeCache' | 'onChild' | 'limits'>

/**
 * Null when it could not be measured: then the boundary stays as it is, and a result that is no number is refused.
 * @throws ImportMemoryError, ImportSilentError, ImportProcessError, the signal's reason
 */
export async function checkRange(
  needs: RangeNeeds,
  manifest: ModelManifest,
  progress: ProgressSink,
  signal?: AbortSignal,
): Promise<RangeCheck | null> {
  const task = `checking the range of ${manifest.model}`
  const total = manifest.blocks.length - 2
  const tell = (done: number): void => progress({ type: 'progress', task, done, total, unit: 'blocks' })
  tell(0)
  const workDirectory = await mkdtemp(join(tmpdir(), 'weft-range-'))
  try {
    const input: RangeTask = { manifest, storeDirectory: needs.storeDirectory, workDirectory, texts: RANGE_TEXTS }
    const work = {
      program: rangeProgram(),
      input,
      what: 'measuring the range of the model',
      memory: memoryFor(manifest),
      onEvent: (event: unknown) => tell((event as RangeEvent).done),
    }
    const { largest, threads, levels } = (await runInChild(needs, work, signal)) as RangeResult
    return { largest, threads, levels, fits: fitsHalf(largest) }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof ImportMemoryError || error instanceof ImportSilentError || error instanceof ImportProcessError)
      throw error
    return null
  } finally {
    await rm(workDirectory, { recursive: true, force: true })
  }
}

function memoryFor({ blocks }: ModelManifest): number {
  const parameters = Math.max(
    ...blocks
      .slice(1, -1)
      .map(({ tensors }) =>
        tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
      ),
  )
  return BASE_MEMORY + BLOCK_COPIES * Float32Array.BYTES_PER_ELEMENT * parameters
}
