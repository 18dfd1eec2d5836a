/** All families of rules in one table. */
import type { GradientRule } from '../gradient-site.ts'
import { ARITHMETIC } from './arithmetic.ts'
import { CONVOLUTION } from './convolution.ts'
import { DROPOUT } from './dropout.ts'
import { EINSUM } from './einsum.ts'
import { INDEXING } from './indexing.ts'
import { NORMALIZATION } from './normalization.ts'
import { POOLING } from './pooling.ts'
import { PRODUCT } from './product.ts'
import { QUANTIZED } from './quantized.ts'
import { REDUCTION } from './reduction.ts'
import { RESAMPLING } from './resampling.ts'
import { SCATTER } from './scatter.ts'
import { SHAPING } from './shaping.ts'
import { UNARY } from './unary.ts'

/** By operator, with its domain before it unless it is ONNX's own. */
const RULES: ReadonlyMap<string, GradientRule> = new Map(
  [
    UNARY,
    ARITHMETIC,
    PRODUCT,
    REDUCTION,
    SHAPING,
    INDEXING,
    SCATTER,
    NORMALIZATION,
    CONVOLUTION,
    POOLING,
    RESAMPLING,
    DROPOUT,
    EINSUM,
    QUANTIZED,
  ]
    .flat()
    .flatMap(({ domain = '', operators, rule }) =>
      operators.split(/\s+/).map((operator): [string, GradientRule] => [`${domain}:${operator}`, rule]),
    ),
)

export function ruleOf(domain: string, opType: string): GradientRule | undefined {
  return RULES.get(`${domain}:${opType}`)
}

/** Operators that have a rule, as `domain:name`. */
export function operatorsWithRules(): readonly string[] {
  return [...RULES.keys()].sort()
}
