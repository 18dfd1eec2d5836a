/** At import: whether float16 boundaries hold this model (DESIGN decision 7). */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/**
 * Half of the largest float16. The largest elements belong to the first token of a text, whatever follows (massive
 * activations, arXiv 2402.17762; SmolLM2-135M: 25,095), so another text hardly goes further.
 */
const LIMIT = 65_504 / 2
const DEADLINE_MS = 600_000
/** Ordinary prose and what upsets models: digits, repeats, brackets, other scripts. */
export const RANGE_TEXT =
  'The quick brown fox jumps over the lazy dog. In 1984, 3.14159 and 2,718 were printed {"a": [1, 2, 3]}; ' +
  'aaaa aaaa aaaa \u2014 \u0416\u0443\u043a, \u4f60\u597d, \u00fcber. What is the capital of France? The capital of France is Paris.\n\n'

export interface RangeCheck {
  readonly largest: number
  readonly fits: boolean
}

/** Null when it could not be measured: then the boundary stays as it is, and a result that is no number is refused. */
export async function checkRange(
  paths: { readonly manifest: string; readonly store: string },
  ids: readonly number[],
  signal?: AbortSignal,
): Promise<RangeCheck | null> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const program = fileURLToPath(new URL(`../pipeline/host/range.${extension}`, import.meta.url))
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', program, paths.manifest, paths.store, JSON.stringify(ids)],
      { timeout: DEADLINE_MS, ...(signal === undefined ? {} : { signal }) },
    )
    const { largest } = JSON.parse(stdout) as { largest: number }
    return { largest, fits: largest < LIMIT }
  } catch {
    signal?.throwIfAborted()
    return null
  }
}
