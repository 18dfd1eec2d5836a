/** The membership log of one peer: opened from its store, extended by whoever may, and joined with what others have. */
import { foundState } from './apply.ts'
import { decodeEntry } from './entry.ts'
import { EntryChainError, LogDamagedError, LogMovedError } from './errors.ts'
import { decideFork, equivocatorsOf } from './fork.ts'
import { isSameFork } from './log-store.ts'
import type { LogStore, StoreChange, StoredFork } from './log-store.ts'
import { applyAll, presentState, stateAt, storedEntries, storedEntry } from './replay.ts'
import { copyState } from './state.ts'
import type { ClusterState } from './state.ts'
import { atOnce, listOf } from './steps.ts'
import type { Steps } from './steps.ts'
import type { Entry, LogHead } from './types.ts'

/** Heads that need not be looked at again; one that was forgotten costs a second look. */
const MAX_OUTDONE = 1_024
/** Entries of a history that does not stand which are kept as evidence: where it begins is what counts. */
const MAX_EVIDENCE = 256
/** How often a merge begins anew, because this peer has written meanwhile, before it is done at one go. */
const MAX_ANEW = 3

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
  /**
   * Entries of another member, in order, the first after one that both have. One merge at a time; what this peer appends
   * between the steps is minded. @throws as append; nothing changes then
   */
  merge(entries: readonly Entry[], now: number): Steps<Merged>
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
  return atOnce(openingLog(store, cluster, options))
}

/** The same in steps. */
export function* openingLog(
  store: LogStore,
  cluster: string,
  options: { readonly whole?: boolean } = {},
): Steps<MembershipLog> {
  if (store.hashAt(0) !== cluster) throw new LogDamagedError(store.path, 'its first entry is that of another cluster')
  return createLog(store, yield* presentState(store, cluster, options.whole))
}

/** A new log in an empty store. @throws as `openLog` */
export function foundLog(store: LogStore, genesis: Entry): MembershipLog {
  const state = foundState(genesis)
  store.change({ on: undefined, from: 0, entries: [storedEntry(genesis)] })
  return createLog(store, state)
}

/** All of another member's log, checked whole before anything is kept. @throws as `openLog` */
export function adoptLog(store: LogStore, cluster: string, entries: readonly Entry[]): MembershipLog {
  return atOnce(adoptingLog(store, cluster, entries))
}

/** The same in steps. */
export function* adoptingLog(store: LogStore, cluster: string, entries: readonly Entry[]): Steps<MembershipLog> {
  const [first, ...rest] = entries
  if (first === undefined || first.hash !== cluster)
    throw new EntryChainError('the first entry is that of another cluster')
  const state = foundState(first)
  const snapshot = yield* applyAll(state, rest)
  store.change({ on: undefined, from: 0, entries: entries.map(storedEntry), ...snapshot })
  return createLog(store, state)
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
  /** What is to be written, once all of it has been checked on a copy of the state. */
  function* extending(entries: readonly Entry[]): Steps<() => Merged> {
    const next = copyState(state)
    const snapshot = yield* applyAll(next, entries)
    return () => {
      change({ from: state.head.height + 1, entries: entries.map(storedEntry), ...snapshot })
      state = next
      return { added: entries, lost: [], fork: undefined }
    }
  }
  /** The root key has spoken here: what it alone could decide is decided, where it has said nothing on the other side. */
  function* settling(entries: readonly Entry[]): Steps<void> {
    if (!entries.some(({ signatures }) => signatures.some(({ by }) => by === state.root))) return
    for (const fork of store.forks().filter(({ decided }) => !decided)) {
      const branch = fork.branch.map(decodeEntry)
      const before = yield* stateAt(store, state.cluster, fork.height - 1)
      if (decideFork(before, yield* ourEntries(fork.height), branch) === 'ours')
        change({ from: store.size(), entries: [], fork: { ...fork, decided: true } })
    }
  }
  /** Durable before it is believed. What another process of this home has written meanwhile is read, and the change refused. */
  const change = (one: Omit<StoreChange, 'on'>): void => {
    try {
      store.change({ on: state.head, ...one })
    } catch (error) {
      if (error instanceof LogMovedError) {
        state = atOnce(presentState(store, state.cluster))
        outdone.clear()
        bar()
      }
      throw error
    }
  }
  const ourEntries = (from: number): Steps<Entry[]> => listOf(storedEntries(store, from, state.head.height))

  function* forking(theirs: readonly Entry[], now: number): Steps<() => Merged> {
    const from = theirs[0]!.body.height
    const ours = yield* ourEntries(from)
    const before = yield* stateAt(store, state.cluster, from - 1)
    const there = copyState(before)
    const snapshot = yield* applyAll(there, theirs)
    const decision = decideFork(before, ours, theirs)
    const switches = decision === 'theirs'
    return () => {
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
      if (switches) change({ from, entries: theirs.map(storedEntry), ...snapshot, fork })
      else if (isNews || fork.branch.length > known.branch.length || fork.barred.length > known.barred.length)
        change({ from: store.size(), entries: [], fork })
      if (switches) {
        state = there
        outdone.clear()
      } else outdo(theirs.at(-1)!.hash)
      bar()
      return { added: switches ? theirs : [], lost: switches ? ours : [], fork: isNews ? fork : undefined }
    }
  }
  function merging(entries: readonly Entry[], now: number): Steps<() => Merged> | undefined {
    const isOurs = ({ body, hash }: Entry): boolean => store.hashAt(body.height) === hash
    const fresh = entries.slice(entries.findIndex((entry) => !isOurs(entry)))
    if (entries.every(isOurs)) return undefined
    const [first] = fresh
    if (first === undefined || first.body.height === 0)
      throw new EntryChainError('the first entry is that of another cluster')
    if (first.body.height > state.head.height + 1)
      throw new EntryChainError(`entry ${first.body.height} came where ${state.head.height + 1} is next`)
    if (store.hashAt(first.body.height - 1) !== first.body.previous)
      throw new EntryChainError('it follows an entry that is not known here')
    return first.body.height <= state.head.height ? forking(fresh, now) : extending(fresh)
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
    append(entry) {
      atOnce(extending([entry]))()
      atOnce(settling([entry]))
    },
    *merge(entries, now) {
      for (let anew = 0; ; anew++) {
        const on = state.head
        const work = merging(entries, now)
        if (work === undefined) return { added: [], lost: [], fork: undefined }
        const write = anew < MAX_ANEW ? yield* work : atOnce(work)
        if (state.head.hash !== on.hash) continue
        const merged = write()
        if (merged.lost.length === 0) yield* settling(merged.added)
        return merged
      }
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
