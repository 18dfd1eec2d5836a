/** What a process holds: to see that it comes back to where it was. Linux only. */
import { readdirSync, readFileSync } from 'node:fs'

export interface Footprint {
  /** MiB. */
  readonly rss: number
  readonly descriptors: number
}

export function footprint(pid: number): Footprint {
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1])
  return { rss: Math.round(rss / 1024), descriptors: readdirSync(`/proc/${pid}/fd`).length }
}
