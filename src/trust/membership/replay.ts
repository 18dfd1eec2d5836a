/** What follows from the entries of a store, in steps: from the first one on, or from the state that a checkpoint confirms. */
import { apply, foundState } from './apply.ts'
import { decodeEntry } from './entry.ts'
import { LogDamagedError } from './errors.ts'
import type { LogStore, StoredEntry, StoredSnapshot } from './log-store.ts'
import { areSigned } from './signatures.ts'
import { hashOfSnapshot, readSnapshot, snapshotOf } from './state.ts'
import type { ClusterState } from './state.ts'
import { forEach } from './steps.ts'
import type { Steps } from './steps.ts'
import type { Entry } from './types.ts'

/** Rows that are read at once. */
const ROWS = 200

/** The present state; `whole` reads and checks every entry. @throws LogDamagedError, and what its entries are refused with */
export function* presentState(store: LogStore, cluster: string, whole = false): Steps<ClusterState> {
  const quick = whole ? undefined : yield* fromSnapshot(store, cluster, store.size() - 1)
  return quick ?? (yield* replay(store, store.size() - 1))
}

/** The state at `height`: from the saved one where that is not later, else from the first entry on. */
export function* stateAt(store: LogStore, cluster: string, height: number): Steps<ClusterState> {
  const saved = store.snapshot()
  const quick = saved !== undefined && saved.height <= height ? yield* fromSnapshot(store, cluster, height) : undefined
  return quick ?? (yield* replay(store, height))
}

/** All of them, and the state that the last checkpoint among them confirms. */
export function* applyAll(
  state: ClusterState,
  entries: readonly Entry[],
): Steps<{ readonly snapshot?: StoredSnapshot }> {
  const last = entries.findLast(({ body }) => body.kind === 'checkpoint')
  let text: string | undefined
  yield* forEach(entries, (entry) => {
    if (entry === last) text = snapshotOf(state)
    apply(state, entry)
  })
  return last === undefined || text === undefined ? {} : { snapshot: { height: last.body.height, text } }
}

export function storedEntry({ body, hash, bytes }: Entry): StoredEntry {
  return { height: body.height, hash, bytes }
}

/** From one height to another, both included. @throws LogDamagedError, EntryFormError */
export function* storedEntries(store: LogStore, from: number, to: number): Generator<Entry, void, void> {
  for (let at = from; at <= to; at += ROWS)
    for (const row of store.read(at, Math.min(ROWS, to - at + 1))) yield read(store, row)
}

function read(store: LogStore, { height, hash, bytes }: StoredEntry): Entry {
  const entry = decodeEntry(bytes)
  if (entry.hash !== hash || entry.body.height !== height)
    throw new LogDamagedError(store.path, `entry ${height} is another than was written`)
  return entry
}

function* replay(store: LogStore, height: number): Steps<ClusterState> {
  const [first] = store.read(0, 1)
  if (first === undefined) throw new LogDamagedError(store.path, 'it is empty')
  const state = foundState(read(store, first))
  yield* forEach(storedEntries(store, 1, height), (entry) => apply(state, entry))
  return state
}

function* fromSnapshot(store: LogStore, cluster: string, height: number): Steps<ClusterState | undefined> {
  const snapshot = store.snapshot()
  const [row] = snapshot === undefined ? [] : store.read(snapshot.height, 1)
  if (snapshot === undefined || row === undefined) return undefined
  const entry = read(store, row)
  const state = readSnapshot(snapshot.text)
  const fits = entry.body.kind === 'checkpoint' && entry.body.state === hashOfSnapshot(snapshot.text)
  const isSigned = areSigned(entry) && entry.signatures.some(({ by }) => state.admins.has(by))
  if (!fits || !isSigned || state.cluster !== cluster)
    throw new LogDamagedError(store.path, 'its saved state is not the one that the checkpoint confirms')
  apply(state, entry)
  yield* forEach(storedEntries(store, state.head.height + 1, height), (one) => apply(state, one))
  return state
}
