/** Normalizations that are written out: those over a batch, over groups, over channels. */
import type { Rewrite, RewriteSite } from '../rewrite.ts'

const range = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, at) => from + at)

interface Moments {
  readonly mean: string
  readonly variance: string
  readonly normalized: string
}

/** (x - mean) / sqrt(variance + epsilon), the variance being the mean of squares. */
function moments(site: RewriteSite, x: string, axes: readonly number[], epsilon: number): Moments {
  const mean = site.mean(x, axes)
  const centred = site.sub(x, mean)
  const variance = site.mean(site.mul(centred, centred), axes)
  const deviation = site.op('Sqrt', [site.add(variance, site.number(epsilon))])
  return { mean, variance, normalized: site.div(centred, deviation) }
}

/** One number a channel, for values [N, C, ...]. */
function channels(site: RewriteSite, value: string, rank: number): string {
  return rank <= 2 ? value : site.unsqueeze(value, range(1, rank - 1))
}

/** In training: by the batch itself. Without: one operator, which has a rule. */
export const batchNormalization: Rewrite = (site) => {
  const [x, scale, bias, oldMean, oldVariance] = site.node.inputs as readonly [string, string, string, string, string]
  const rank = site.needRank(x)
  const axes = range(0, rank).filter((axis) => axis !== 1)
  const { mean, variance, normalized } = moments(site, x, axes, site.float('epsilon', 1e-5))
  const scaled = site.mul(normalized, channels(site, scale, rank))
  site.returns(0, site.add(scaled, channels(site, bias, rank)))
  const momentum = site.float('momentum', 0.9)
  const running = (old: string, current: string): string => {
    const flat = site.squeeze(current, axes)
    return site.add(site.mul(old, site.number(momentum)), site.mul(flat, site.number(1 - momentum)))
  }
  if (site.output(1) !== '') site.returns(1, running(oldMean, mean))
  if (site.output(2) !== '') site.returns(2, running(oldVariance, variance))
}

const instanceNormalization: Rewrite = (site) => {
  const [x, scale, bias] = site.node.inputs as readonly [string, string, string]
  const rank = site.needRank(x)
  const { normalized } = moments(site, x, range(2, rank), site.float('epsilon', 1e-5))
  const scaled = site.mul(normalized, channels(site, scale, rank))
  site.returns(0, site.add(scaled, channels(site, bias, rank)))
}

/** Scale and bias are one a channel since operator set 21, one a group before. */
const groupNormalization: Rewrite = (site) => {
  const [x, scale, bias] = site.node.inputs as readonly [string, string, string]
  const rank = site.needRank(x)
  const groups = site.int('num_groups', 1)
  const grouped = site.op('Reshape', [x, site.int64s([0, groups, -1])])
  const { normalized } = moments(site, grouped, [2], site.float('epsilon', 1e-5))
  const size = site.sizes(scale)?.[0] ?? site.refuse('the size of its scale is not known')
  const channelCount = site.shape(x)?.[1]
  if (size === groups && channelCount !== groups) {
    const scaled = site.mul(normalized, site.unsqueeze(scale, [1]))
    return site.becomes('Reshape', [site.add(scaled, site.unsqueeze(bias, [1])), site.shapeTensor(x)], { allowzero: 1 })
  }
  const whole = site.reshapeLike(normalized, x)
  site.returns(0, site.add(site.mul(whole, channels(site, scale, rank)), channels(site, bias, rank)))
}

/** x divided by its norm along an axis; 0 stays 0. */
const lpNormalization: Rewrite = (site) => {
  const [x, axis] = [site.input(0), site.int('axis', -1)]
  const norm = site.op(site.int('p', 2) === 1 ? 'ReduceL1' : 'ReduceL2', [x, site.int64s([axis])], { keepdims: 1 })
  const isZero = site.op('Equal', [norm, site.number(0)])
  site.returns(0, site.div(x, site.op('Where', [isZero, site.number(1), norm])))
}

const meanVarianceNormalization: Rewrite = (site) => {
  const x = site.input(0)
  const axes = site.ints('axes') ?? [0, 2, 3]
  const centred = site.sub(x, site.mean(x, axes))
  const deviation = site.op('Sqrt', [site.mean(site.mul(centred, centred), axes)])
  site.returns(0, site.div(centred, site.add(deviation, site.number(1e-9))))
}

/** x / (bias + alpha / size * sum of squares of neighbouring channels) ^ beta */
const localResponse: Rewrite = (site) => {
  const x = site.input(0)
  const size = site.int('size', 1)
  const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)]
  const square = site.mul(x, x)
  const padded = site.op('Pad', [square, site.int64s([before, after]), undefined, site.int64s([1])])
  const count = site.size(x, 1)
  const parts = range(0, size).map((start) =>
    site.op('Slice', [padded, site.int64s([start]), site.add(count, site.int64s([start])), site.int64s([1])]),
  )
  const total = site.op('Sum', parts)
  const scaled = site.mul(total, site.number(site.float('alpha', 0.0001) / size))
  const base = site.add(scaled, site.number(site.float('bias', 1)))
  site.returns(0, site.div(x, site.op('Pow', [base, site.number(site.float('beta', 0.75))])))
}

export const NORMALIZATION_REWRITES: Readonly<Record<string, Rewrite>> = {
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  LpNormalization: lpNormalization,
  MeanVarianceNormalization: meanVarianceNormalization,
  LRN: localResponse,
}
