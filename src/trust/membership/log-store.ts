/** Where a log is kept. The file of a home is one, memory (for tests and simulations) is another; both pass one suite. */
import { LogMovedError } from './errors.ts'
import type { ForkEvidence, LogHead } from './types.ts'

export interface StoredEntry {
  readonly height: number
  readonly hash: string
  readonly bytes: Uint8Array
}

export interface StoredFork extends ForkEvidence {
  /** The entries that do not stand, as on the wire. */
  readonly branch: readonly Uint8Array[]
  /** Peers that the lost side had removed: they stay out. */
  readonly barred: readonly string[]
}

/** Forks beyond these are counted by nobody: whoever makes so many has been seen. */
export const MAX_FORKS = 64

/** Whether two are about the same two entries, whichever of them stands. */
export function isSameFork(a: StoredFork, b: StoredFork): boolean {
  return [a.kept, a.other].sort().join() === [b.kept, b.other].sort().join()
}

export interface StoredSnapshot {
  /** Of the checkpoint that confirms it; the state is that before it. */
  readonly height: number
  readonly text: string
}

/** One change, durable as a whole or not at all. */
export interface StoreChange {
  /** The newest entry that whoever makes the change knows of; undefined: none. */
  readonly on: LogHead | undefined
  /** Entries from this height on are dropped first. */
  readonly from: number
  readonly entries: readonly StoredEntry[]
  /** Takes the place of what was known of the same two; the oldest beyond `MAX_FORKS` goes. */
  readonly fork?: StoredFork
  readonly snapshot?: StoredSnapshot
}

export interface LogStore {
  readonly path: string
  /** In order; fewer than `limit` only at the end. */
  read(from: number, limit: number): readonly StoredEntry[]
  hashAt(height: number): string | undefined
  /** Number of entries. */
  size(): number
  snapshot(): StoredSnapshot | undefined
  forks(): readonly StoredFork[]
  /** @throws LogMovedError where `on` is not the newest entry any more, LogDamagedError where the disk fails */
  change(change: StoreChange): void
  /** The newest heart-beat as JSON. */
  beat(): unknown
  keepBeat(value: unknown): void
  /** The newest certificate of each member, in no order, as on the wire. */
  certificates(): readonly Uint8Array[]
  /** Takes the place of what was kept of the same members. */
  keepCertificates(kept: ReadonlyMap<string, Uint8Array>, gone: readonly string[]): void
  close(): void
}

export function memoryLogStore(): LogStore {
  let entries: StoredEntry[] = []
  let kept: StoredSnapshot | undefined
  let beat: unknown
  let forks: StoredFork[] = []
  const certificates = new Map<string, Uint8Array>()
  return {
    path: 'memory',
    read: (from, limit) => entries.slice(from, from + limit),
    hashAt: (height) => entries[height]?.hash,
    size: () => entries.length,
    snapshot: () => kept,
    forks: () => forks,
    change({ on, from, entries: added, fork, snapshot }) {
      if (entries.at(-1)?.hash !== on?.hash) throw new LogMovedError('memory')
      entries = [...entries.slice(0, from), ...added]
      if (kept !== undefined && kept.height >= from) kept = undefined
      if (fork !== undefined) forks = [...forks.filter((one) => !isSameFork(one, fork)), fork].slice(-MAX_FORKS)
      if (snapshot !== undefined) kept = snapshot
    },
    beat: () => beat,
    keepBeat: (value) => void (beat = value),
    certificates: () => [...certificates.values()],
    keepCertificates(kept, gone) {
      for (const [peer, bytes] of kept) certificates.set(peer, bytes)
      for (const peer of gone) certificates.delete(peer)
    },
    close: () => undefined,
  }
}
