/**
 * The certificates of all members, as one of them has them. An admin that is up signs those that are due for everybody,
 * asked or not, and each passes on what is news, so that a member gets its own from whomever it meets. A certificate never
 * gives what the log does not give: it makes what the log gives end, also where nobody is there who could say that it has.
 *
 * They are asked for where an entry of the log says so. The entry that let a member in is its first one, so that nobody is
 * refused for having just come. Nor is anybody by the clock of one that has an admin on the line: that one has the log itself,
 * which says more than any time could. For others, times of an admin that was met are reckoned by that one's own clock.
 */
import { isCertificateSigned, makeCertificate, readCertificate } from './certificate.ts'
import type { EntrySigner } from './entry.ts'
import { createAdminWords } from './admin-words.ts'
import { CERTIFICATE_LIFETIME } from './limits.ts'
import type { MembershipLog } from './log.ts'
import type { LogStore } from './log-store.ts'
import type { Certificate, CertificateStanding, Member } from './types.ts'

/** Certificates stand for so much longer, since clocks differ, and for no more than a quarter of what they are good for. */
const SKEW_MS = 20 * 60_000
/** The same of one that begins in the future: a clock that is behind. It ends the earlier there, measured by the right time. */
const EARLY = 1 / 4
/**
 * Half of its life is left when a certificate is renewed, so that a night without any admin ends nobody's, and a day is over at
 * most, so that admins leave behind them nearly all of a long one. The first admin in the order of ids does it; each other one
 * waits a little, and does it if the ones before have not.
 */
const RENEW_AT = { first: 30, of: 60, most: 2 * 86_400_000 } as const
/** Less of its life is left than is when it is renewed: no admin has been up. */
const LATE = 1 / 3
/** Signed at a time: each takes 0.1 ms. */
const MAX_AT_ONCE = 256

/**
 * `news`: it stands. `known`: this or a newer one does. `waits`: by the log as it is here it does not hold, and is looked at
 * again when that changes. `over`: by the clock here. `none`: no weft sends such a thing.
 */
export type Heard = 'news' | 'known' | 'waits' | 'over' | 'none'

export interface Certificates {
  /** Milliseconds that they are good for; 0: the cluster has none. */
  readonly lifetime: number
  /** Whether a member whose certificate is over is refused. */
  readonly isRequired: boolean
  hear(bytes: Uint8Array): Heard
  /** Those that this peer, as an admin, has just signed since they were due. */
  renew(): readonly Certificate[]
  /** Members of whom there is none here that lasts as long as it might. */
  lacking(): readonly string[]
  /** Once the log has changed: those that had waited and stand now. */
  again(): readonly Certificate[]
  of(peer: string): Certificate | undefined
  /** Undefined: it is no member, or there are none. */
  standing(peer: string): CertificateStanding | undefined
  /** Whether it is to be refused for it. */
  isExpired(peer: string): boolean
  /** Members that are. */
  expired(): readonly string[]
  /** An admin itself, over a connection of its own, says what its clock says. */
  heardFrom(admin: string, at: number): void
  /** Writes what has come since. A disk that is full costs no more than that they are told again after a restart. */
  keep(): void
}

interface CertificatesNeeds {
  readonly identity: EntrySigner
  readonly log: MembershipLog
  readonly store: Pick<LogStore, 'certificates' | 'keepCertificates'>
  /** Milliseconds since 1970. */
  readonly wall: () => number
  /** Milliseconds by a clock that nobody sets. */
  readonly now: () => number
}

export function createCertificates({ identity, log, store, wall, now }: CertificatesNeeds): Certificates {
  const self = identity.id
  const book = new Map<string, Certificate>()
  const waiting = new Map<string, Certificate>()
  const unkept = new Set<string>()
  const lifetime = (): number => log.state.certificates?.lifetime ?? CERTIFICATE_LIFETIME.usual
  const skew = (): number => Math.min(SKEW_MS, lifetime() / 4)
  const words = createAdminWords({ wall, now, lifetime })
  /** By the clock here. */
  const fromOf = ({ body: { by, from } }: Certificate): number => words.here(by, from)
  const isAhead = (at: number): boolean => at > wall() + lifetime() * EARLY
  const isRequired = (): boolean => (log.state.certificates?.lifetime ?? 0) > 0
  const isOut = (peer: string): boolean => log.barred.has(peer)

  /** Of a lifetime that was made shorter since, by the clock here. */
  const endOf = (one: Certificate): number =>
    Math.min(words.here(one.body.by, one.body.until), fromOf(one) + lifetime())
  /** Where several decide who the admins are, nobody vouches for itself. */
  const mayVouch = (by: string, peer: string): boolean =>
    log.state.admins.has(by) && !isOut(by) && (by !== peer || !log.state.complete || log.state.threshold.k === 1)
  const holds = ({ body }: Certificate): boolean => {
    const member = log.state.members.get(body.peer)
    const isOf = member?.role === body.role && member.site === body.site
    return isOf && mayVouch(body.by, body.peer) && body.until - body.from <= lifetime()
  }
  const isNewer = (one: Certificate, known: Certificate | undefined): boolean =>
    known === undefined || fromOf(one) > fromOf(known)
  const put = (one: Certificate): void => {
    book.set(one.body.peer, one)
    unkept.add(one.body.peer)
  }
  const untilOf = (member: Member): number => {
    const known = book.get(member.peer)
    const begun = Math.max(words.here(member.inviter, member.since), log.state.certificates?.since ?? 0)
    const first = isAhead(begun) ? 0 : begun + lifetime()
    return known === undefined || isAhead(fromOf(known)) ? first : Math.max(first, endOf(known))
  }
  const isOver = (until: number): boolean => until + skew() < wall()
  const take = (one: Certificate): Heard => {
    if (isAhead(fromOf(one)) || isOver(endOf(one))) return 'over'
    if (!isNewer(one, book.get(one.body.peer))) return 'known'
    if (!holds(one)) {
      if (log.state.members.has(one.body.peer) && isNewer(one, waiting.get(one.body.peer)))
        waiting.set(one.body.peer, one)
      return 'waits'
    }
    put(one)
    return 'news'
  }
  const dueAt = (rank: number, one: Certificate): number =>
    Math.min(
      endOf(one) - (lifetime() * (RENEW_AT.first - rank)) / RENEW_AT.of,
      fromOf(one) + (Math.min(lifetime(), RENEW_AT.most) * (RENEW_AT.first + rank)) / RENEW_AT.of,
    )
  const signFor = ({ peer, role, site }: Member, known: Certificate | undefined): Certificate => {
    const { cluster, epoch, head } = log.state
    // a later one than what stands, also where the clock has been set back by a little
    const before = known === undefined || isAhead(fromOf(known)) ? 0 : fromOf(known) + 1
    const from = Math.max(wall(), before)
    const body = { v: 1, cluster, peer, role, site, epoch, head, from, until: from + lifetime(), by: self } as const
    return makeCertificate(body, identity)
  }
  /** Whoever could renew it would do so, and has the log as it is. */
  const hasAdmin = (peer: string): boolean => mayVouch(self, peer) || words.live().some((by) => mayVouch(by, peer))
  const isEnded = (peer: string, until: number): boolean => isOver(until) && !hasAdmin(peer)
  const isExpired = (peer: string): boolean => {
    const member = isRequired() ? log.state.members.get(peer) : undefined
    return member !== undefined && isEnded(peer, untilOf(member))
  }

  for (const bytes of store.certificates()) {
    const one = readCertificate(bytes)
    // who had signed it may be no admin any more; it was one when this peer took it in
    if (one !== undefined && one.body.cluster === log.state.cluster && isCertificateSigned(one))
      book.set(one.body.peer, one)
  }

  return {
    get lifetime() {
      return lifetime()
    },
    get isRequired() {
      return isRequired()
    },
    hear(bytes) {
      const one = readCertificate(bytes)
      if (one === undefined || one.body.cluster !== log.state.cluster) return 'none'
      // before its signature is looked at: most of what comes is known
      if (!isNewer(one, book.get(one.body.peer))) return 'known'
      return isCertificateSigned(one) ? take(one) : 'none'
    },
    renew() {
      const rank = [...log.state.admins].sort().indexOf(self)
      if (rank < 0 || isOut(self) || lifetime() === 0) return []
      const made: Certificate[] = []
      for (const member of log.state.members.values()) {
        if (made.length >= MAX_AT_ONCE) break
        const known = book.get(member.peer)
        const isDue = known === undefined || !holds(known) || isAhead(fromOf(known)) || dueAt(rank, known) <= wall()
        if (!isDue || isOut(member.peer) || !mayVouch(self, member.peer)) continue
        const one = signFor(member, known)
        put(one)
        made.push(one)
      }
      return made
    },
    lacking() {
      if (lifetime() === 0) return []
      const lasts = (one: Certificate | undefined): boolean => one !== undefined && holds(one) && dueAt(0, one) > wall()
      return [...log.state.members.keys()].filter((peer) => !isOut(peer) && !lasts(book.get(peer)))
    },
    again() {
      const all = [...waiting.values()]
      waiting.clear()
      return all.filter((one) => take(one) === 'news')
    },
    of: (peer) => book.get(peer),
    standing(peer) {
      const member = lifetime() === 0 || isOut(peer) ? undefined : log.state.members.get(peer)
      if (member === undefined) return undefined
      const known = book.get(peer)
      const until = untilOf(member)
      const isFirst = known === undefined || endOf(known) < until
      const renews = isFirst ? wall() : dueAt(0, known)
      const expired = isEnded(peer, until)
      const late = expired || until - wall() < lifetime() * LATE
      return { by: isFirst ? null : known.body.by, until, renews, expired, late }
    },
    heardFrom: (admin, at) => words.heard(admin, at),
    isExpired,
    expired: () => [...log.state.members.keys()].filter(isExpired),
    keep() {
      if (unkept.size === 0) return
      const kept = new Map(
        [...unkept].flatMap((peer) => (book.has(peer) ? [[peer, book.get(peer)!.bytes] as const] : [])),
      )
      const gone = [...book.keys()].filter((peer) => !log.state.members.has(peer))
      try {
        store.keepCertificates(kept, gone)
        unkept.clear()
        for (const peer of gone) book.delete(peer)
      } catch {
        // they are told again
      }
    },
  }
}
