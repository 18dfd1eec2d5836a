/** Rounds of a job out of its life-cycle. */

/**
 * Each round that stands, once, and the statistics. A model that too few members stood for was given up, and its round made
 * again: that line is of no round any more, and stays in the log alone.
 */
export function standingRounds(events: readonly Record<string, unknown>[]): Record<string, unknown>[] {
  const lines = new Map<string, Record<string, unknown>>()
  for (const one of events) {
    const { event, step } = one
    if (event !== 'round' && event !== 'statistics') continue
    const key = event === 'round' ? `round ${String(step)}` : event
    // Behind those that were noted since.
    lines.delete(key)
    lines.set(key, one)
  }
  return [...lines.values()]
}
