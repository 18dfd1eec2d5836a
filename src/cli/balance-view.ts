/** How good a cut is, in one line each. */
import { formatBytes, formatMs, plural } from './format.ts'

export interface BalanceView {
  readonly exact: boolean
  /** By how much the slowest partition is above the bound, as a share of that. */
  readonly above: number
}

export interface BestView extends BalanceView {
  readonly cuts: readonly number[]
  readonly slowest_ms: number
  readonly crossing_bytes: number
  readonly memory: readonly number[]
}

/** Below this what is left is rounding. */
const NOTHING = 5e-4

export function balanceLine(balance: BalanceView): string {
  return `the split is ${nearness(balance)}`
}

/** Of a graph that is not split: what it would be cut into. */
export function bestLine(best: BestView): string {
  const { cuts, memory, slowest_ms: slowest, crossing_bytes: crossing } = best
  const where = `${plural(memory.length, 'partition')}, cut before ${cuts.length === 1 ? 'block' : 'blocks'} ${cuts.join(', ')}`
  const cost = `the slowest takes ${formatMs(slowest)}, the largest needs ${formatBytes(Math.max(...memory))}`
  return `the best that can be had: ${where}; ${cost}, ${formatBytes(crossing)} cross`
}

function nearness({ exact, above }: BalanceView): string {
  if (exact && above < NOTHING) return 'the best there is'
  const share = Math.max(0.1, Math.ceil(1000 * above) / 10).toFixed(1)
  return `within ${share} % of the best there ${exact ? 'is' : 'could be'}`
}
