/** Operators that are written out in simpler ones where gradients flow through them. */
import type { Node } from '../../../onnx/index.ts'
import type { Rewrite } from '../rewrite.ts'
import { ATTENTION_REWRITES } from './attention.ts'
import { CONTROL_REWRITES } from './control.ts'
import { dilatedSame, isDilatedSame } from './convolution.ts'
import { FUSED_REWRITES } from './fused.ts'
import { LOSS_REWRITES } from './loss.ts'
import { batchNormalization, NORMALIZATION_REWRITES } from './normalization.ts'
import { RECURRENT_REWRITES } from './recurrent.ts'

const REWRITES: ReadonlyMap<string, Rewrite> = new Map(
  Object.entries({
    ...LOSS_REWRITES,
    ...NORMALIZATION_REWRITES,
    ...CONTROL_REWRITES,
    ...RECURRENT_REWRITES,
    ...ATTENTION_REWRITES,
    ...FUSED_REWRITES,
  }).map(([operator, rewrite]) => [operator.includes(':') ? operator : `:${operator}`, rewrite]),
)

/** Undefined for nodes that have a rule as they are. */
export function loweringOf(node: Node): Rewrite | undefined {
  const { domain, opType } = node
  if (domain === '' && opType === 'BatchNormalization') return isTraining(node) ? batchNormalization : undefined
  if (domain === '' && opType === 'Conv') return isDilatedSame(node) ? dilatedSame : undefined
  return REWRITES.get(`${domain}:${opType}`)
}

function isTraining({ attributes }: Node): boolean {
  const mode = attributes.get('training_mode')
  return mode?.kind === 'int' && mode.value !== 0n
}

/** Operators that are written out, as `domain:name`. */
export function operatorsWrittenOut(): readonly string[] {
  return [...REWRITES.keys()].sort()
}
