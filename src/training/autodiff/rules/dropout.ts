/** Dropout: what the mask let through, scaled as it was. */
import type { GradientRule } from '../gradient-site.ts'
import type { RuleFamily } from './registry.ts'

const DEFAULT_RATIO = 0.5

const dropout: GradientRule = (site) => {
  const training = site.given(2) ? site.numbers(2)?.[0] : 0
  if (training === 0) return [site.gradient]
  const mask = site.needOutput(1)
  const type = site.floatType(site.input(0))
  const ratio = site.given(1) ? site.cast(site.input(1), type) : site.number(DEFAULT_RATIO)
  const kept = site.op('Reciprocal', [site.sub(site.number(1), ratio)])
  // Known only when it runs: without training nothing is scaled, and the mask lets all through.
  const scale = training === undefined ? site.op('Where', [site.input(2), kept, site.number(1)]) : kept
  return [site.op('Where', [mask, site.mul(site.gradient, scale), site.number(0)])]
}

export const DROPOUT: readonly RuleFamily[] = [{ operators: 'Dropout', rule: dropout }]
