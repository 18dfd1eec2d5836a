/**
 * Bans for a time, each with its reason and its end: of hosts that connect without ever proving who they are, and of peers that
 * send what no program of ours sends, or ask for more than one can need. Counted in windows; what is forgiven is forgotten.
 *
 * An admin of the cluster is kept to its limits like everybody, and never out: whoever is banned by what a program counts must
 * find somebody who can put it right, and who is out for good stands in the membership log. Nor is the host where a member is or
 * was within a day, else its neighbours at the same address would shut it out: how many connections may begin from there and be
 * open without proof (arrivals.ts, door.ts) holds all the same.
 */
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'

/** What is counted, how often in a minute is too often, and why it would never happen honestly. */
export const OFFENCES = {
  /** Connections of one host that ended without proof: a mesh beside ours dials at most some dozen times a minute. */
  'dial-storm': { most: 120, why: 'it connected again and again without proving who it is' },
  /**
   * Frames and names of protocols that cannot be read: ours are checked before they are sent, and Noise keeps the line from
   * changing them. Of a host: connections that brought more than a handshake without proving anything.
   */
  malformed: { most: 8, why: 'it sent frames that are none' },
  /**
   * Streams of one that is not admitted at all, and of anybody for protocols that nobody here speaks: a refusal is the answer, and
   * asking again gives the same. Peers of ours leave more time each time (unspoken.ts). A member that its role or the policy
   * refuses something is no scanner: it is refused each time, and stays.
   */
  scan: { most: 60, why: 'it asked again and again for what nobody here speaks, or what it is not admitted to' },
  /** Plans and rows that the site refused: whoever asks for one budget after another looks for the limit. */
  probing: { most: 20, why: 'it asked for one plan after another that this site does not allow' },
  /**
   * Rows that are no numbers, or are far from what their boundary carries by the sender's own word of which it is: an honest stage
   * sends neither, whatever the text. A damaged machine does, all the time.
   */
  outlier: { most: 4, why: 'it sent rows that no stage of the model computes' },
  /** Streams over its quota of one purpose that were refused. */
  flood: { most: 120, why: 'it opened streams without end' },
} as const
export type Offence = keyof typeof OFFENCES

const WINDOW_MS = 60_000
/** The first ban; twice as long each time that it comes to one again. */
const FIRST_BAN_MS = 5 * 60_000
const LONGEST_BAN_MS = 24 * 3_600_000
/** Who behaved for so long begins anew. */
const FORGET_MS = 24 * 3_600_000
/** Subjects that are counted; a flood of new ones drives out the oldest. */
const MAX_SUBJECTS = 4_096
const MAX_BANS = 1_024
/** A host where a member was so lately is not shut out. */
const HOUSE_MS = 24 * 3_600_000
/** Hosts of members that are remembered; those of the longest ago go first. */
const MAX_HOUSES = 1_024
/** Streams of one purpose that one peer may open in a minute. Channels are kept open: honest peers need a few. */
export const STREAMS_A_MINUTE = 1_200

export interface Ban {
  /** `peer:ID` or `host:ADDRESS`. */
  readonly subject: string
  readonly offence: Offence
  readonly why: string
  /** Milliseconds since 1970. */
  readonly since: number
  readonly until: number
}

export interface Defence {
  /** Counts one; a ban when it was one too many. */
  offend(subject: string, offence: Offence): Ban | undefined
  banned(subject: string): Ban | undefined
  /** Whether one more stream of a purpose is within a peer's quota. */
  allows(peer: string, purpose: string): boolean
  bans(): readonly Ban[]
  /** False: there was none. */
  lift(subject: string): boolean
  /** Told of each ban as it begins, for as long as there is a defence. */
  on(listener: (ban: Ban) => void): void
  /** A peer has proven itself and is in, from this host. */
  proven(peer: string, host: string): void
}

export interface DefenceNeeds {
  readonly clock: Clock
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  /** A ban begins. */
  told(ban: Ban): void
  /** Whether a peer is an admin of the cluster, and never banned. @default nobody is */
  spares?(peer: string): boolean
  /** Whether the host where a peer is, is never shut out. @default where one is that is spared */
  houses?(peer: string): boolean
  /** One that is spared has done it once too often. */
  spared?(subject: string, offence: Offence): void
}

interface Count {
  from: number
  count: number
}

interface Banned {
  readonly ban: Ban
  /** On the clock that never goes back: a wrong date frees nobody, and locks nobody out for years. */
  readonly until: number
  readonly times: number
}

export function createDefence(needs: DefenceNeeds): Defence {
  const { clock } = needs
  const counts = new Map<string, Count>()
  const all = new Map<string, Banned>()
  const listeners = new Set<(ban: Ban) => void>()

  const countOf = (key: string): number => {
    const now = clock.now()
    const known = counts.get(key)
    const count = known !== undefined && now - known.from < WINDOW_MS ? known : { from: now, count: 0 }
    count.count++
    counts.delete(key)
    counts.set(key, count)
    while (counts.size > MAX_SUBJECTS) counts.delete(counts.keys().next().value!)
    return count.count
  }
  /** When a member was last seen at a host, and which one. */
  const houses = new Map<string, { readonly peer: string; readonly at: number }>()
  const isAdmin = (peer: string): boolean => needs.spares?.(peer) === true
  const isHoused = (peer: string): boolean => isAdmin(peer) || needs.houses?.(peer) === true
  const isSpared = (subject: string): boolean => {
    const [kind, name] = [subject.slice(0, subject.indexOf(':')), subject.slice(subject.indexOf(':') + 1)]
    if (kind === 'peer') return isAdmin(name)
    const seen = houses.get(name)
    return seen !== undefined && clock.now() - seen.at < HOUSE_MS && isHoused(seen.peer)
  }
  const current = (subject: string): Ban | undefined => {
    const found = all.get(subject)
    // it may have become one since
    return found !== undefined && found.until > clock.now() && !isSpared(subject) ? found.ban : undefined
  }
  const spare = (subject: string, offence: Offence): void => {
    counts.delete(`${offence} ${subject}`)
    needs.telemetry?.count('bans_spared', 1, { offence })
    needs.spared?.(subject, offence)
  }
  const ban = (subject: string, offence: Offence): Ban => {
    const before = all.get(subject)
    const times = before !== undefined && clock.now() - before.until < FORGET_MS ? before.times + 1 : 0
    const length = Math.min(LONGEST_BAN_MS, FIRST_BAN_MS * 2 ** times)
    const since = clock.wall()
    const made = { subject, offence, why: OFFENCES[offence].why, since, until: since + length }
    all.delete(subject)
    all.set(subject, { ban: made, until: clock.now() + length, times })
    while (all.size > MAX_BANS) all.delete(all.keys().next().value!)
    counts.delete(`${offence} ${subject}`)
    needs.telemetry?.count('bans', 1, { offence })
    needs.told(made)
    for (const listener of listeners) listener(made)
    return made
  }
  return {
    offend(subject, offence) {
      const standing = current(subject)
      if (standing !== undefined) return standing
      if (countOf(`${offence} ${subject}`) <= OFFENCES[offence].most) return undefined
      if (!isSpared(subject)) return ban(subject, offence)
      spare(subject, offence)
      return undefined
    },
    banned: current,
    allows: (peer, purpose) => countOf(`streams ${peer} ${purpose}`) <= STREAMS_A_MINUTE,
    bans: () => [...all.keys()].flatMap((subject) => current(subject) ?? []),
    lift: (subject) => current(subject) !== undefined && all.delete(subject),
    on: (listener) => void listeners.add(listener),
    proven(peer, host) {
      if (!isHoused(peer)) return
      houses.delete(host)
      houses.set(host, { peer, at: clock.now() })
      while (houses.size > MAX_HOUSES) houses.delete(houses.keys().next().value!)
    },
  }
}
