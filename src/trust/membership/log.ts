/** The membership log of one peer: opened from its store, extended by whoever may, and joined with what others have. */
import { apply, foundState } from './apply.ts'
import { areSigned, decodeEntry } from './entry.ts'
import { EntryChainError, LogDamagedError, LogMovedError } from './errors.ts'
import { decideFork, equivocatorsOf } from './fork.ts'
import { isSameFork } from './log-store.ts'
import type { LogStore, StoreChange, StoredEntry, StoredFork, StoredSnapshot } from './log-store.ts'
import { copyState, hashOfSnapshot, readSnapshot, snapshotOf } from './state.ts'
import type { ClusterState } from './state.ts'
import type { Entry, LogHead } from './types.ts'

/** Entries that are read at once while a whole log is checked. */
const PAGE = 1_000
/** Heads that need not be looked at again; one that was forgotten costs a second look. */
const MAX_OUTDONE = 1_024
/** Entries of a history that does not stand which are kept as evidence: where it begins is what counts. */
const MAX_EVIDENCE = 256

export interface Merged {
  /** Entries that stand now and did not before. */
  readonly added: readonly Entry[]
  /** Entries that stood here and do not any more. */
  readonly lost: readonly Entry[]
  /** A fork that was not known. */
  readonly fork: StoredFork | undefined
}

export interface MembershipLog {
  readonly state: ClusterState
  readonly head: LogHead
  /** Peers that stay out because a history that does not stand had removed them. */
  readonly barred: ReadonlySet<string>
  readonly forks: readonly StoredFork[]
  /** Whether a head is that of a history which has come and does not stand here. */
  isOutdone(hash: string): boolean
  /** The next entry, ours or another's. @throws EntryChainError, EntrySignatureError, EntryRefusedError, LogMovedError */
  append(entry: Entry): void
  /** Entries of another member, in order, the first after one that both have. @throws as append; nothing changes then */
  merge(entries: readonly Entry[], now: number): Merged
  entries(from: number, limit: number): readonly Uint8Array[]
  /** Some heads of ours, newest first, thinner the older: what another needs to find the last one that both have. */
  locator(): readonly LogHead[]
  /** The newest of these that is ours too; undefined: not even the first entry is. */
  common(locator: readonly LogHead[]): LogHead | undefined
}

/**
 * From its checkpoint, where there is one: the entries before are not read. `whole` reads and checks every one.
 * @throws LogDamagedError, and what its entries are refused with
 */
export function openLog(store: LogStore, cluster: string, options: { readonly whole?: boolean } = {}): MembershipLog {
  if (store.hashAt(0) !== cluster) throw new LogDamagedError(store.path, 'its first entry is that of another cluster')
  return createLog(store, stateOf(store, cluster, options.whole))
}

function stateOf(store: LogStore, cluster: string, whole = false): ClusterState {
  return (whole ? undefined : fromSnapshot(store, cluster)) ?? replay(store, store.size() - 1)
}

/** A new log in an empty store. @throws as `openLog` */
export function foundLog(store: LogStore, genesis: Entry): MembershipLog {
  const state = foundState(genesis)
  store.change({ on: undefined, from: 0, entries: [stored(genesis)] })
  return createLog(store, state)
}

/** All of another member's log, checked whole before anything is kept. @throws as `openLog` */
export function adoptLog(store: LogStore, cluster: string, entries: readonly Entry[]): MembershipLog {
  const [first, ...rest] = entries
  if (first === undefined || first.hash !== cluster)
    throw new EntryChainError('the first entry is that of another cluster')
  const state = foundState(first)
  const snapshot = applyAll(state, rest)
  store.change({ on: undefined, from: 0, entries: entries.map(stored), ...snapshot })
  return createLog(store, state)
}

/** All of them, and the state that the last checkpoint among them confirms. */
function applyAll(state: ClusterState, entries: readonly Entry[]): { readonly snapshot?: StoredSnapshot } {
  const last = entries.findLast(({ body }) => body.kind === 'checkpoint')
  let text: string | undefined
  for (const entry of entries) {
    if (entry === last) text = snapshotOf(state)
    apply(state, entry)
  }
  return last === undefined || text === undefined ? {} : { snapshot: { height: last.body.height, text } }
}

function stored({ body, hash, bytes }: Entry): StoredEntry {
  return { height: body.height, hash, bytes }
}

function read(store: LogStore, { height, hash, bytes }: StoredEntry): Entry {
  const entry = decodeEntry(bytes)
  if (entry.hash !== hash || entry.body.height !== height)
    throw new LogDamagedError(store.path, `entry ${height} is another than was written`)
  return entry
}

/** The state at `height`, from the first entry on, everything checked. */
function replay(store: LogStore, height: number): ClusterState {
  const [first] = store.read(0, 1)
  if (first === undefined) throw new LogDamagedError(store.path, 'it is empty')
  const state = foundState(read(store, first))
  for (let from = 1; from <= height; from += PAGE)
    for (const entry of store.read(from, Math.min(PAGE, height - from + 1))) apply(state, read(store, entry))
  return state
}

/** The state at `height`: from the saved one where that is not later, else from the first entry on. */
function stateAt(store: LogStore, cluster: string, height: number): ClusterState {
  const saved = store.snapshot()
  return (
    (saved !== undefined && saved.height <= height ? fromSnapshot(store, cluster, height) : undefined) ??
    replay(store, height)
  )
}

function fromSnapshot(store: LogStore, cluster: string, height = store.size() - 1): ClusterState | undefined {
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
  for (let from = state.head.height + 1; from <= height; from += PAGE)
    for (const one of store.read(from, Math.min(PAGE, height - from + 1))) apply(state, read(store, one))
  return state
}

function createLog(store: LogStore, opened: ClusterState): MembershipLog {
  let state = opened
  const barred = new Set<string>()
  /** Heads of histories that have come and do not stand: nobody has to send them again. */
  const outdone = new Set<string>()
  const outdo = (hash: string): void => {
    outdone.add(hash)
    const [oldest] = outdone
    if (outdone.size > MAX_OUTDONE && oldest !== undefined) outdone.delete(oldest)
  }
  const bar = (): void => {
    barred.clear()
    for (const peer of store.forks().flatMap((fork) => fork.barred)) barred.add(peer)
  }
  bar()
  const extend = (entries: readonly Entry[]): void => {
    const next = copyState(state)
    const snapshot = applyAll(next, entries)
    change({ from: state.head.height + 1, entries: entries.map(stored), ...snapshot })
    state = next
    if (entries.some(({ signatures }) => signatures.some(({ by }) => by === state.root))) settle()
  }
  /** The root key has spoken here: what it alone could decide is decided, where it has said nothing on the other side. */
  const settle = (): void => {
    for (const fork of store.forks().filter(({ decided }) => !decided)) {
      const branch = fork.branch.map(decodeEntry)
      const before = stateAt(store, state.cluster, fork.height - 1)
      if (decideFork(before, ourEntries(fork.height), branch) === 'ours')
        change({ from: store.size(), entries: [], fork: { ...fork, decided: true } })
    }
  }
  /** Durable before it is believed. What another process of this home has written meanwhile is read, and the change refused. */
  const change = (one: Omit<StoreChange, 'on'>): void => {
    try {
      store.change({ on: state.head, ...one })
    } catch (error) {
      if (error instanceof LogMovedError) {
        state = stateOf(store, state.cluster)
        outdone.clear()
        bar()
      }
      throw error
    }
  }
  const ourEntries = (from: number): Entry[] => store.read(from, store.size()).map((row) => read(store, row))

  const mergeFork = (theirs: readonly Entry[], now: number): Merged => {
    const from = theirs[0]!.body.height
    const ours = ourEntries(from)
    const before = stateAt(store, state.cluster, from - 1)
    const there = copyState(before)
    const snapshot = applyAll(there, theirs)
    const decision = decideFork(before, ours, theirs)
    const switches = decision === 'theirs'
    const [lost, standing] = switches ? [ours, there] : [theirs, state]
    const fork: StoredFork = {
      height: from,
      kept: (switches ? theirs : ours)[0]!.hash,
      other: (switches ? ours : theirs)[0]!.hash,
      equivocators: equivocatorsOf(ours[0]!, theirs[0]!),
      seen: now,
      decided: decision !== 'undecided',
      branch: lost.slice(0, MAX_EVIDENCE).map(({ bytes }) => bytes),
      barred: barredBy(lost, standing),
    }
    const known = store.forks().find((one) => isSameFork(one, fork))
    const isNews = known === undefined || known.kept !== fork.kept || known.decided !== fork.decided
    if (switches) change({ from, entries: theirs.map(stored), ...snapshot, fork })
    else if (isNews || fork.branch.length > known.branch.length || fork.barred.length > known.barred.length)
      change({ from: store.size(), entries: [], fork })
    if (switches) {
      state = there
      outdone.clear()
    } else outdo(theirs.at(-1)!.hash)
    bar()
    return { added: switches ? theirs : [], lost: switches ? ours : [], fork: isNews ? fork : undefined }
  }

  return {
    get state() {
      return state
    },
    get head() {
      return state.head
    },
    get forks() {
      return store.forks()
    },
    barred,
    isOutdone: (hash) => outdone.has(hash),
    append: (entry) => extend([entry]),
    merge(entries, now) {
      const fresh = entries.slice(entries.findIndex(({ body, hash }) => store.hashAt(body.height) !== hash))
      if (entries.every(({ body, hash }) => store.hashAt(body.height) === hash))
        return { added: [], lost: [], fork: undefined }
      const [first] = fresh
      if (first === undefined || first.body.height === 0)
        throw new EntryChainError('the first entry is that of another cluster')
      if (first.body.height > state.head.height + 1)
        throw new EntryChainError(`entry ${first.body.height} came where ${state.head.height + 1} is next`)
      if (store.hashAt(first.body.height - 1) !== first.body.previous)
        throw new EntryChainError('it follows an entry that is not known here')
      if (first.body.height <= state.head.height) return mergeFork(fresh, now)
      extend(fresh)
      return { added: fresh, lost: [], fork: undefined }
    },
    entries: (from, limit) => store.read(from, limit).map(({ bytes }) => bytes),
    locator() {
      const heads: LogHead[] = []
      let step = 1
      for (let height = state.head.height; height >= 0; height -= step) {
        const hash = store.hashAt(height)
        if (hash !== undefined) heads.push({ height, hash })
        if (heads.length >= 10) step *= 2
        if (height > 0 && height - step < 0) step = height
      }
      return heads
    },
    common: (locator) => locator.find(({ height, hash }) => store.hashAt(height) === hash),
  }
}

/** What an admin, who still is one, had removed stays removed; one who was thrown out cannot bar others by writing into the past. */
function barredBy(lost: readonly Entry[], standing: ClusterState): string[] {
  return lost.flatMap(({ body, signatures }) =>
    body.kind === 'revoke' && !body.left && signatures.some(({ by }) => standing.admins.has(by)) ? [body.peer] : [],
  )
}
