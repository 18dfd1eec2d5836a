/** The head, a part of the vocabulary at a time: first the errors of its candidates, then the wholes' distributions. */
import { trialHead } from '../../../models/index.ts'
import type { Block, BlockErrors, TrialBlock, WeightFormat } from '../../../models/index.ts'
import { Distribution, softmaxPart } from './distribution.ts'
import type { Distance } from './distribution.ts'
import { rounded } from './error.ts'
import type { LayerNeeds, Whole } from './layers.ts'

/** Weights of a part: 64 MiB in float32. */
const PART_WEIGHTS = 1 << 24
/** Tokens of a part, for narrow models: its logits take memory as well. */
const PART_TOKENS = 1 << 14

/** The errors are those of a quarter of a large vocabulary. */
const SAMPLED = 4
const LARGE_VOCABULARY = 1 << 13

type HeadNeeds = Pick<LayerNeeds, 'store' | 'shape' | 'runner'>

interface Part {
  readonly from: number
  readonly end: number
  readonly trial: (weights: WeightFormat) => Promise<TrialBlock>
}

function partsOf({ store, shape }: HeadNeeds, block: Block, sampled = 1): Part[] {
  const step = Math.min(PART_TOKENS, Math.max(1, Math.floor(PART_WEIGHTS / shape.width)))
  const parts: Part[] = []
  for (let from = 0; from < shape.vocabulary; from += step) {
    const most = Math.min(step, shape.vocabulary - from)
    const end = from + Math.ceil(most / sampled)
    parts.push({ from, end, trial: (weights) => trialHead(store, shape, { ...block, weights }, { from, end }) })
  }
  return parts
}

/** Mean over the rows of the relative error of the logits, less what all logits of a row have in common. */
export async function headErrors(
  needs: HeadNeeds,
  block: Block,
  candidates: readonly WeightFormat[],
  rows: Float32Array,
): Promise<BlockErrors> {
  const { runner, shape } = needs
  const count = rows.length / shape.width
  const parts = partsOf(needs, block, shape.vocabulary > LARGE_VOCABULARY ? SAMPLED : 1)
  const tokens = parts.reduce((sum, { from, end }) => sum + end - from, 0)
  const sums = new Map(candidates.map((weights) => [weights, new Moments(count)]))
  for (const part of parts) {
    const exact = await runner.run(await part.trial('f32'), rows, shape.width)
    for (const [weights, moments] of sums) {
      const own = weights === 'f32' ? exact : await runner.run(await part.trial(weights), rows, shape.width)
      moments.add(own, exact)
    }
  }
  return Object.fromEntries([...sums].map(([weights, moments]) => [weights, moments.relative(tokens)]))
}

/** Sums over the vocabulary, of each row. */
class Moments {
  readonly #rows: { error: number; errorSquares: number; sum: number; squares: number }[]

  constructor(rows: number) {
    this.#rows = Array.from({ length: rows }, () => ({ error: 0, errorSquares: 0, sum: 0, squares: 0 }))
  }

  add(got: Float32Array, wanted: Float32Array): void {
    const width = wanted.length / this.#rows.length
    for (const [row, sums] of this.#rows.entries()) {
      for (let at = row * width; at < (row + 1) * width; at++) {
        const [value, error] = [wanted[at]!, got[at]! - wanted[at]!]
        sums.error += error
        sums.errorSquares += error * error
        sums.sum += value
        sums.squares += value * value
      }
    }
  }

  relative(count: number): number {
    const each = this.#rows.map(({ error, errorSquares, sum, squares }) => {
      const [noise, signal] = [errorSquares - error ** 2 / count, squares - sum ** 2 / count]
      return noise <= 0 ? 0 : signal <= 0 ? Number.MAX_VALUE : Math.sqrt(noise / signal)
    })
    return rounded(each.reduce((total, value) => total + value, 0) / each.length)
  }
}

/** @param targets of each row the token that follows; -1 where none is counted */
export async function distances(
  needs: HeadNeeds,
  block: Block,
  reference: Float32Array,
  wholes: readonly Whole[],
  targets: Int32Array,
): Promise<{ readonly exact: number; readonly of: ReadonlyMap<Whole, Distance> }> {
  const { runner, shape } = needs
  const exact = new Distribution(targets)
  // Wholes that are alike to the last layer, and have the same head, are one.
  const keys = new Map(wholes.map((whole) => [whole, keyOf(whole, wholes)]))
  const each = new Map([...keys.values()].map((key) => [key, new Distribution(targets)]))
  const firsts = new Map([...keys].toReversed().map(([whole, key]) => [key, whole]))
  for (const part of partsOf(needs, block)) {
    const trials = new Map<WeightFormat, TrialBlock>()
    const run = async (weights: WeightFormat, rows: Float32Array): Promise<Float32Array> => {
      const trial = trials.get(weights) ?? (await part.trial(weights))
      trials.set(weights, trial)
      return runner.run(trial, rows, shape.width)
    }
    const wanted = softmaxPart(await run('f32', reference), targets.length)
    exact.add(wanted.logits, wanted, part.from)
    for (const [key, distribution] of each) {
      const { weights, rows } = firsts.get(key)!
      distribution.add(await run(weights.at(-1)!, rows), wanted, part.from)
    }
  }
  const of = new Map(wholes.map((whole) => [whole, each.get(keys.get(whole)!)!.distance()]))
  return { exact: exact.distance().perplexity, of }
}

function keyOf(whole: Whole, wholes: readonly Whole[]): string {
  return `${whole.weights.at(-1)!}/${wholes.findIndex(({ rows }) => rows === whole.rows)}`
}
