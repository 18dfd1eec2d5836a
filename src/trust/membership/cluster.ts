/**
 * A cluster as one member has it: the log, the keys that follow from it, who is admitted to what, and what this peer may
 * change. No sockets: whoever spreads the log calls `merge` and listens to `on`.
 */
import type { Membership } from '../../net/index.ts'
import type { RandomSource } from '../../util/index.ts'
import type { Identity } from '../identity.ts'
import { makeBeat, readBeat } from './beat.ts'
import { createCertificates } from './certificates.ts'
import type { Certificates } from './certificates.ts'
import { composeAdmit, composeCheckpoint, composeRevoke } from './compose.ts'
import type { NewMember } from './compose.ts'
import { decodeEntry, makeEntry, signBody } from './entry.ts'
import { CertificateExpiredError, EntryRefusedError, EntrySignatureError, LogMovedError } from './errors.ts'
import { MembershipStaleError, RoleError } from './errors.ts'
import { createGroupKeys, doorKey } from './keys.ts'
import { LOG_LIMITS } from './limits.ts'
import type { MembershipLog, Merged } from './log.ts'
import type { LogStore } from './log-store.ts'
import { mayRole } from './roles.ts'
import { gently, listOf } from './steps.ts'
import type { Steps } from './steps.ts'
import type { ClocksApart, ClusterView, Entry, EntryBody, HeartBeat, LogHead, Member, Purpose, Role } from './types.ts'

/** A checkpoint each so many entries: opening reads as many at most. */
export const CHECKPOINT_EVERY = 512
/** Heart-beats come every few seconds; the disk is spared most of them. */
const KEEP_BEAT_MS = 60_000
/** What is allowed to a member that has heard nothing for too long, or whose certificate is over: to hear something. */
const WHEN_STALE: ReadonlySet<string> = new Set<Purpose>(['connect', 'membership', 'enrol', 'knock', 'invite', 'relay'])

export interface ClusterNeeds {
  readonly identity: Identity
  readonly random: RandomSource
  /** Milliseconds since 1970. */
  wall(): number
  /** Milliseconds by a clock that nobody sets. @default wall */
  now?(): number
}

export interface ClusterInit {
  readonly store: LogStore
  readonly log: MembershipLog
  /** Milliseconds, asked each time: an older word of an admin is not believed. @default none is too old */
  readonly maxAge?: (() => number | undefined) | undefined
}

export interface ClusterChange {
  readonly added: readonly Entry[]
  readonly fork: Merged['fork']
  /** They came from others. @default false: this home has made or read them itself */
  readonly isHeard?: boolean
}

export interface Cluster {
  readonly id: string
  readonly name: string
  readonly self: string
  readonly doorKey: Uint8Array
  readonly head: LogHead
  readonly epoch: number
  readonly membership: Membership
  /** The group key of the present epoch, then those before it. */
  groupKeys(): readonly Uint8Array[]
  view(): ClusterView
  member(peer: string): Member | undefined
  readonly isAdmin: boolean
  readonly log: MembershipLog
  readonly certificates: Certificates
  readonly needs: ClusterNeeds

  /** Signs and keeps an entry of this peer's alone. @throws EntryRefusedError, EntrySignatureError */
  commit(body: EntryBody): Entry
  /** Keeps an entry that others have signed with. @throws as `commit`, EntryChainError */
  take(entry: Entry): void
  admit(member: NewMember): Entry
  revoke(peer: string, reason: string, left?: boolean): Entry
  /**
   * What another member has; one after the other, each in steps, so that a long history keeps nobody waiting. Nothing
   * changes after `close`. @throws EntryFormError, EntryChainError, EntrySignatureError, EntryRefusedError
   */
  merge(entries: readonly Uint8Array[]): Promise<ClusterChange>

  /** The newest heart-beat that is known; admins make a new one. */
  beat(): HeartBeat | undefined
  renewBeat(): HeartBeat | undefined
  /** True where it is news. `from`: who has passed it on. */
  hearBeat(value: unknown, from?: string): boolean
  /** Of the last word that told so, until one comes that is believed. */
  clocksApart(): ClocksApart | undefined
  /** Milliseconds since an admin's last word; null: none was heard. */
  age(): number | null
  isStale(): boolean
  /** Why a peer is not admitted to a purpose, as things stand. */
  refusal(peer: string, purpose: Purpose): MembershipStaleError | RoleError | CertificateExpiredError

  on(listener: (change: ClusterChange) => void): () => void
  close(): void
}

/** @throws EntryFormError */
function decoding(bytes: readonly Uint8Array[]): Steps<Entry[]> {
  return listOf(Iterator.from(bytes).map(decodeEntry))
}

function byPeer(a: { readonly peer: string }, b: { readonly peer: string }): number {
  return a.peer < b.peer ? -1 : 1
}

export function createCluster(needs: ClusterNeeds, { store, log, maxAge = () => undefined }: ClusterInit): Cluster {
  const { identity } = needs
  const self = identity.id
  const id = log.state.cluster
  const keys = createGroupKeys(self, identity.privateKey.raw.subarray(0, 32))
  const listeners = new Set<(change: ClusterChange) => void>()
  const wall = (): number => needs.wall()
  const certificates = createCertificates({ identity, log, store, wall, now: () => needs.now?.() ?? wall() })
  let beat = readBeat(id, store.beat())
  keys.update(log.state)

  const tell = (change: ClusterChange): void => {
    keys.update(log.state)
    for (const listener of listeners) listener(change)
  }
  const roleOf = (peer: string): Role | undefined =>
    log.barred.has(peer) ? undefined : log.state.members.get(peer)?.role
  const age = (): number | null => {
    const now = needs.wall()
    const heard = isCurrent(beat) ? [beat.at] : []
    const times = [log.state.at, ...heard].filter((at) => at <= now + LOG_LIMITS.skewMs)
    return times.length === 0 ? null : Math.max(0, now - Math.max(...times))
  }
  /** Of a head that is ours: what an admin says of others' entries does not make ours fresher. */
  const isCurrent = (one: HeartBeat | undefined): one is HeartBeat =>
    one !== undefined && log.state.admins.has(one.by) && log.common([one.head]) !== undefined
  const isStale = (): boolean => {
    const most = maxAge()
    return most !== undefined && (age() ?? Infinity) > most
  }

  const membership: Membership = {
    get epoch() {
      return log.state.epoch
    },
    admits(peer, purpose) {
      if (roleOf(self) === undefined) return false
      if (isStale() && !WHEN_STALE.has(purpose)) return false
      if (purpose === 'knock') return !membership.isRemoved(peer)
      if (purpose === 'enrol') return log.state.admins.has(self) && !membership.isRemoved(peer)
      const role = roleOf(peer)
      if (role === undefined || !mayRole(role, purpose)) return false
      return WHEN_STALE.has(purpose) || !certificates.isExpired(peer)
    },
    // who is out itself has nobody to speak to any more
    isRemoved: (peer) =>
      roleOf(self) === undefined || log.barred.has(peer) || log.state.removed.get(peer)?.left === false,
  }

  let apart: ClocksApart | undefined
  /** Of a word from the future, and of an admin's own, which it has just said: what others pass on may be old by itself. */
  const compareClocks = ({ by, at }: HeartBeat, from: string | undefined): boolean => {
    const ahead = at - needs.wall()
    const isApart = ahead > LOG_LIMITS.skewMs || (from === by && ahead < -LOG_LIMITS.skewMs)
    if (isApart) apart = { admin: by, ahead_ms: ahead }
    else if (apart?.admin === by && Math.abs(ahead) <= LOG_LIMITS.skewMs) apart = undefined
    return ahead <= LOG_LIMITS.skewMs
  }
  let beatKept = beat?.at ?? 0
  /** Now and then: a restart may find an older one. A disk that is full costs no more than that. */
  const keepBeat = (one: HeartBeat): void => {
    if (Math.abs(one.at - beatKept) < KEEP_BEAT_MS) return
    try {
      store.keepBeat(one)
      beatKept = one.at
    } catch {
      // the next one is kept when there is room again
    }
  }
  const keep = (entry: Entry): Entry => {
    log.append(entry)
    tell({ added: [entry], fork: undefined })
    return entry
  }
  const commit = (body: EntryBody): Entry => {
    const entry = keep(makeEntry(body, [signBody(body, identity)]))
    const { state } = log
    if (body.kind !== 'checkpoint' && state.head.height - state.checkpoint >= CHECKPOINT_EVERY)
      commit(composeCheckpoint(needs, state))
    return entry
  }
  /** Composed anew, once, where another process of this home was faster: the log has read what that one wrote. */
  const composed = (compose: () => EntryBody): Entry => {
    try {
      return commit(compose())
    } catch (error) {
      if (!(error instanceof LogMovedError)) throw error
      tell({ added: [], fork: undefined })
      return commit(compose())
    }
  }
  const admit = (member: NewMember): Entry =>
    composed(() => {
      const [groupKey] = keys.list()
      if (groupKey === undefined || !log.state.admins.has(self))
        throw new EntryRefusedError('this peer is no admin, and lets in nobody')
      return composeAdmit(needs, log.state, member, { inviter: self, groupKey })
    })
  const revoke = (peer: string, reason: string, left = false): Entry =>
    composed(() => composeRevoke(needs, log.state, peer, { reason, left }))

  /** What this peer alone had signed in a history that does not stand is said again, on top of the one that does. */
  const sayAgain = (lost: readonly Entry[]): void => {
    for (const { body, signatures } of lost) {
      if (signatures.length !== 1 || signatures[0]!.by !== self || !log.state.admins.has(self)) continue
      try {
        if (body.kind === 'admit') admit({ peer: body.peer, name: body.name, role: body.role, site: body.site })
        else if (body.kind === 'revoke') revoke(body.peer, body.reason, body.left)
      } catch (error) {
        // the other side has done the same, or has forbidden it, or several must sign it by now: there is nothing to say
        if (!(error instanceof EntryRefusedError || error instanceof EntrySignatureError)) throw error
      }
    }
  }

  let merges: Promise<unknown> = Promise.resolve()
  let isClosed = false
  const mergeNow = async (bytes: readonly Uint8Array[]): Promise<ClusterChange> => {
    const closed = (): boolean => isClosed
    const entries = await gently(decoding(bytes), closed)
    const merged = entries === undefined ? undefined : await gently(log.merge(entries, needs.wall()), closed)
    if (merged === undefined) return { added: [], fork: undefined }
    const { added, lost, fork } = merged
    if (added.length > 0 || fork !== undefined) tell({ added, fork, isHeard: true })
    if (lost.length > 0) sayAgain(lost)
    return { added, fork }
  }

  return {
    id,
    self,
    name: log.state.name,
    doorKey: doorKey(id),
    needs,
    log,
    certificates,
    membership,
    get head() {
      return log.head
    },
    get epoch() {
      return log.state.epoch
    },
    get isAdmin() {
      return log.state.admins.has(self)
    },
    groupKeys: () => keys.list(),
    member: (peer) => (roleOf(peer) === undefined ? undefined : log.state.members.get(peer)),
    view: () => {
      const { state, forks } = log
      return {
        id,
        name: state.name,
        root: state.root,
        head: state.head,
        epoch: state.epoch,
        threshold: state.threshold,
        admins: [...state.admins].sort(),
        members: [...state.members.values()].filter(({ peer }) => !log.barred.has(peer)).sort(byPeer),
        removed: [...state.removed.values()].sort(byPeer),
        forks: forks.map(({ branch: _branch, barred: _barred, ...rest }) => rest),
        freshest: age() === null ? null : needs.wall() - age()!,
      }
    },
    commit,
    take: (entry) => void keep(entry),
    admit,
    revoke,
    merge(bytes) {
      const turn = merges.then(() => (isClosed ? { added: [], fork: undefined } : mergeNow(bytes)))
      merges = turn.catch(() => undefined)
      return turn
    },
    beat: () => (isCurrent(beat) ? beat : undefined),
    renewBeat() {
      if (!log.state.admins.has(self) || log.barred.has(self)) return undefined
      beat = makeBeat(id, log.head, needs.wall(), identity)
      keepBeat(beat)
      return beat
    },
    clocksApart: () => apart,
    hearBeat(value, from) {
      const heard = readBeat(id, value)
      if (isCurrent(heard) && from === heard.by) certificates.heardFrom(from, heard.at)
      if (!isCurrent(heard) || !compareClocks(heard, from)) return false
      if (isCurrent(beat) && beat.at >= heard.at) return false
      beat = heard
      keepBeat(heard)
      return true
    },
    age,
    isStale,
    refusal(peer, purpose) {
      if (isStale() && !WHEN_STALE.has(purpose)) return new MembershipStaleError(age(), maxAge())
      const role = roleOf(peer)
      const isOver = role !== undefined && mayRole(role, purpose) && certificates.isExpired(peer)
      return isOver
        ? new CertificateExpiredError(peer, certificates.standing(peer)?.until ?? 0)
        : new RoleError(peer, purpose)
    },
    on(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close() {
      isClosed = true
      certificates.keep()
      store.close()
    },
  }
}
