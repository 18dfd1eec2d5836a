/** Losses over classes, written out. */
import type { Rewrite, RewriteSite } from '../rewrite.ts'

/** Scores [N, C, ...] to the loss, and to the logarithms of the probabilities. */
const softmaxCrossEntropy: Rewrite = (site) => {
  const logarithms = site.op('LogSoftmax', [site.input(0)], { axis: 1 })
  site.returns(1, logarithms)
  likelihoodLoss(site, logarithms)
}

const negativeLogLikelihood: Rewrite = (site) => likelihoodLoss(site, site.input(0))

/** Labels [N, ...]; those that are `ignore_index` count nothing. */
function likelihoodLoss(site: RewriteSite, logarithms: string): void {
  const labels = site.input(1)
  const labelType = site.type(labels) ?? 'int64'
  const zero = site.builder.scalar(labelType, 0)
  const ignored = site.attribute('ignore_index')
  const isIgnored =
    ignored?.kind === 'int'
      ? site.op('Equal', [labels, site.builder.scalar(labelType, Number(ignored.value))])
      : undefined
  const safe = isIgnored === undefined ? labels : site.op('Where', [isIgnored, zero, labels])
  const picked = site.squeeze(site.op('GatherElements', [logarithms, site.unsqueeze(safe, [1])], { axis: 1 }), [1])
  const weight = weightOf(site, safe, isIgnored)
  const each = site.neg(weight === undefined ? picked : site.mul(picked, weight))
  const reduction = site.text('reduction', 'mean')
  if (reduction === 'none') return site.returns(0, each)
  if (reduction === 'mean' && weight === undefined) return site.returns(0, site.mean(each, undefined, 0))
  const total = site.sum(each, undefined, 0)
  if (reduction === 'sum' || weight === undefined) return site.returns(0, total)
  site.returns(0, site.div(total, site.sum(weight, undefined, 0)))
}

/** Of each label: that of its class, and 0 for those that are ignored; undefined where all count the same. */
function weightOf(site: RewriteSite, safe: string, isIgnored: string | undefined): string | undefined {
  const classes = site.given(2) ? site.op('Gather', [site.input(2), safe]) : undefined
  if (isIgnored === undefined) return classes
  return site.op('Where', [isIgnored, site.number(0), classes ?? site.number(1)])
}

export const LOSS_REWRITES: Readonly<Record<string, Rewrite>> = {
  SoftmaxCrossEntropyLoss: softmaxCrossEntropy,
  NegativeLogLikelihoodLoss: negativeLogLikelihood,
}
