/** `--stats`: the times of an answer, in the order in which they passed, and the hops that it took. */
import type { GenerateStats, RouteHop } from '../pipeline/index.ts'
import { formatMs, formatRate } from './format.ts'
import { pad } from './text.ts'
import { peerName } from './views.ts'

const LABEL_COLUMNS = 22

export function statsLines(
  stats: GenerateStats,
  route: readonly RouteHop[],
  names: ReadonlyMap<string, string>,
): string[] {
  const row = (label: string, value: string): string => `${pad(`${label}:`, LABEL_COLUMNS)}${value}`
  const prefillRate = (stats.prefill_tokens / stats.prefill_ms) * 1000
  const lines = [
    row('total duration', formatMs(stats.prefill_ms + stats.decode_ms)),
    row('prompt eval count', `${stats.prefill_tokens} tokens`),
    row('prompt eval duration', formatMs(stats.prefill_ms)),
    row('prompt eval rate', Number.isFinite(prefillRate) ? formatRate(prefillRate) : '-'),
    row('first token', formatMs(stats.time_to_first_token_ms)),
    row('eval count', `${stats.decode_tokens} tokens`),
    row('eval duration', formatMs(stats.decode_ms)),
    row('eval rate', formatRate(stats.tokens_per_second)),
    row('token (median)', formatMs(stats.ms_per_token_p50)),
    row('hop (median)', formatMs(stats.hop_ms_p50)),
  ]
  for (const [index, hop] of route.entries()) {
    lines.push(row(`hop ${index + 1}`, `${peerName(names, hop.peer)} [${hop.from}:${hop.to}] (process ${hop.pid})`))
  }
  const counters = Object.entries(stats.counters).filter(([, value]) => value !== 0)
  if (counters.length > 0) lines.push(row('counters', counters.map(([name, value]) => `${name}=${value}`).join(' ')))
  return lines
}
