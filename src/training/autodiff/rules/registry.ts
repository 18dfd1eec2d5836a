/** Which rule belongs to which operator. */
import type { GradientRule } from '../gradient-site.ts'

export interface RuleFamily {
  /** ONNX's own where it is left out. */
  readonly domain?: string
  /** Names of operators, with spaces between them. */
  readonly operators: string
  readonly rule: GradientRule
}
