/** Softmax, and what centres and scales. */
import type { GradientRule, GradientSite } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

/**
 * y (g - sum(g y)), the sum taken away twice. Where one y is nearly 1, g less the first sum is little more than what rounding
 * left of it, and as large as the whole gradient of the others; the second sum is of small numbers, and has that too.
 */
const softmax: GradientRule = (site) => {
  const y = site.output(0)
  const centred = (value: string): string => site.sub(value, site.sum(site.mul(value, y), [site.int('axis', -1)]))
  return [site.mul(y, centred(centred(site.gradient)))]
}

/** g - exp(y) sum(g) */
const logSoftmax: GradientRule = (site) => {
  const { gradient } = site
  const total = site.sum(gradient, [site.int('axis', -1)])
  return [site.sub(gradient, site.mul(site.op('Exp', [site.output(0)]), total))]
}

/** Dimensions from the axis on. */
function normalizedAxes(site: GradientSite): readonly number[] {
  const rank = site.needRank(site.input(0))
  const first = site.axis(site.int('axis', -1), rank)
  return Array.from({ length: rank - first }, (_, index) => first + index)
}

/**
 * What was normalized is n = (x - mean) inv, or x inv. dx = inv (g - mean(g) - n mean(g n)), without the mean of g where
 * the mean was not taken away.
 */
function throughNormalization(
  site: GradientSite,
  normalized: string,
  inverse: string,
  gradient: string,
  axes: readonly number[],
  isCentred: boolean,
): string {
  const along = site.mul(normalized, site.mean(site.mul(gradient, normalized), axes))
  const rest = isCentred ? site.sub(site.sub(gradient, site.mean(gradient, axes)), along) : site.sub(gradient, along)
  return site.mul(inverse, rest)
}

const layerNormalization: GradientRule = (site) => {
  const [x, scale, bias] = [site.input(0), site.input(1), site.input(2)]
  const axes = normalizedAxes(site)
  const [mean, inverse] = statistics(site, axes)
  const normalized = site.mul(site.sub(x, mean), inverse)
  const shape = site.shape(x)
  const gradient = site.gradientOf(0)
  const through = (): string | undefined =>
    gradient && throughNormalization(site, normalized, inverse, site.mul(gradient, scale), axes, true)
  return [
    site.wants(0) ? sumOf(site, [through(), throughStatistics(site, normalized, inverse)]) : undefined,
    gradient && site.wants(1) ? site.reduceTo(site.mul(gradient, normalized), shape, scale) : undefined,
    gradient && site.wants(2) ? site.reduceTo(gradient, shape, bias) : undefined,
  ]
}

/**
 * What flows in by the second and third output, over a mean of `count` elements: d mean / dx = 1 / count, and
 * d inverse / dx = -inverse^2 n / count.
 */
function throughStatistics(site: GradientSite, normalized: string, inverse: string): string | undefined {
  const type = site.floatType(site.input(0))
  const [ofMean, ofInverse] = [site.gradientOf(1), site.gradientOf(2)].map((part) => part && site.cast(part, type))
  const turned = ofInverse && site.neg(site.mul(site.mul(ofInverse, site.mul(inverse, inverse)), normalized))
  const total = sumOf(site, [turned, ofMean])
  if (total === undefined) return undefined
  const [all, left] = [normalized, inverse].map((value) => site.cast(site.op('Size', [value]), type)) as [
    string,
    string,
  ]
  return site.op('Expand', [site.div(total, site.div(all, left)), site.shapeTensor(site.input(0))])
}

function sumOf(site: GradientSite, parts: readonly (string | undefined)[]): string | undefined {
  const [first, ...rest] = parts.filter((part) => part !== undefined)
  return rest.reduce<string | undefined>((sum, part) => sum && site.add(sum, part), first)
}

/** The operator gives them in float32 only. */
function statistics(site: GradientSite, axes: readonly number[]): readonly [mean: string, inverse: string] {
  const x = site.input(0)
  if (site.floatType(x) === 'float32') return [site.needOutput(1), site.needOutput(2)]
  const mean = site.mean(x, axes)
  const centred = site.sub(x, mean)
  return [mean, inverseRoot(site, site.mean(site.mul(centred, centred), axes))]
}

function inverseRoot(site: GradientSite, square: string): string {
  const epsilon = site.number(site.float('epsilon', 1e-5))
  return site.op('Reciprocal', [site.op('Sqrt', [site.add(square, epsilon)])])
}

/** Also the engine's own, of before operator set 23. */
const rootMeanSquare: GradientRule = (site) => {
  const [x, scale] = [site.input(0), site.input(1)]
  const axes = normalizedAxes(site)
  const inverse = inverseRoot(site, site.mean(site.mul(x, x), axes))
  const normalized = site.mul(x, inverse)
  const { gradient } = site
  return [
    site.wants(0) ? throughNormalization(site, normalized, inverse, site.mul(gradient, scale), axes, false) : undefined,
    site.wants(1) ? site.reduceTo(site.mul(gradient, normalized), site.shape(x), scale) : undefined,
  ]
}

/** With given mean and variance; what trains is written out before. */
const batchNormalization: GradientRule = (site) => {
  const [x, scale, , mean, variance] = site.node.inputs as readonly [string, string, string, string, string]
  const rank = site.needRank(x)
  const others = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1)
  const column = (value: string): string =>
    rank <= 2
      ? value
      : site.unsqueeze(
          value,
          Array.from({ length: rank - 2 }, (_, axis) => axis + 1),
        )
  const total = (value: string): string => site.sum(value, others, 0)
  const { gradient } = site
  const inverse = inverseRoot(site, variance)
  const factor = site.mul(scale, inverse)
  const along = (): string => total(site.mul(gradient, site.sub(x, column(mean))))
  return [
    site.wants(0) ? site.mul(gradient, column(factor)) : undefined,
    site.wants(1) ? site.mul(along(), inverse) : undefined,
    site.wants(2) ? total(gradient) : undefined,
    site.wants(3) ? site.neg(site.mul(factor, total(gradient))) : undefined,
    site.wants(4)
      ? site.mul(site.mul(along(), site.number(-0.5)), site.mul(factor, site.mul(inverse, inverse)))
      : undefined,
  ]
}

export const NORMALIZATION: readonly RuleFamily[] = [
  { operators: 'Softmax', rule: softmax },
  { operators: 'LogSoftmax', rule: logSoftmax },
  { operators: 'LayerNormalization', rule: layerNormalization },
  { operators: 'RMSNormalization SimplifiedLayerNormalization', rule: rootMeanSquare },
  { operators: 'BatchNormalization', rule: batchNormalization },
]
