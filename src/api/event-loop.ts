/** How late the event loop is: a kernel or a loop that holds it up shows here before anybody waits for an answer. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Telemetry } from '../telemetry/index.ts'

/** Milliseconds between two looks; what is told is what they were late by. */
const RESOLUTION_MS = 10

/** @returns ends it */
export function watchEventLoop({ gauges }: Pick<Telemetry, 'gauges'>): () => void {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000)
  gauges('event_loop_delay', () => {
    const told = [
      [{ quantile: '0.5' }, late(histogram.percentile(50))],
      [{ quantile: '0.99' }, late(histogram.percentile(99))],
      [{ quantile: '1' }, late(histogram.max)],
    ] as const
    histogram.reset()
    return told
  })
  return () => histogram.disable()
}
