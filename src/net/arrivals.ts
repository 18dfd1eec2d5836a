/**
 * How many connections may begin here, by the host that they come from: a handshake costs milliseconds of this processor, and
 * identities cost nothing. Whoever is over the limit is turned away before a byte of it is read.
 *
 * Hosts where somebody is, or was within a day, that is in here have a budget each: a crowd elsewhere takes nothing of it. All
 * other hosts share two: one for those that have come a few times in a minute, one for those that come again and again. So a
 * newcomer is let in beside a crowd that knocks without end, as long as that has not thousands of hosts.
 *
 * Those that are let in at once shake hands one after another, with what is done for others in between: two hundred in a row
 * were a second in which nobody else was answered.
 *
 * While many are turned away it is a storm: who is in waits for no handshake of a stranger more often than once in a few tens of
 * requests, and a newcomer waits some seconds longer.
 */
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'

/** At once, from a host that is known: a site behind one address whose peers all start together. */
const KNOWN_BURST = 128
/** At once, from all others: newcomers to an open mesh. What is over it is tried again a second later. */
const BURST = 64
/** Steady, a host that is known, for who is not let in: each of its peers that is gives back what it took. */
const KNOWN_A_SECOND = 8
/** Steady, all hosts that have come less often than `FEW` in a minute: newcomers. */
const FEW_A_SECOND = 8
/** Steady, all that have come more often: honest ones wait longer each time. */
const MANY_A_SECOND = 2
/** A newcomer tries at once, and after 1, 2, 4 and 8 seconds; there may be two at one address. */
const FEW = 10
const MINUTE_MS = 60_000
/** In a storm all of these are so much less. */
const STORM_SHARE = 1 / 4
/** So many that were turned away of late are a storm; a second forgets `FORGOTTEN` of them. */
const STORM = 40
const FORGOTTEN = 10
/** What is counted at most: a storm is over some seconds after its last. */
const MOST_COUNTED = 2 * STORM
/** From one handshake to the next while there are several: one costs 3 ms, so that they take less than half of a processor. */
const TURN_MS = 8
/** The same in a storm, of hosts that are not known: less than a tenth. */
const STORM_TURN_MS = 32
const KNOWN_MS = 24 * 3_600_000
/** Hosts that are remembered, of each kind; those of the longest ago go first. */
const MAX_HOSTS = 4_096

export interface Arrivals {
  /** A connection from this host has come: whether it may go on. */
  arrives(host: string): boolean
  /** Somebody that is in is, or was within a day, at this host. */
  isKnown(host: string): boolean
  /** A peer that is in is, or was, at this host. */
  knows(host: string): void
  /** One that arrived from this host is in: it has taken nothing. */
  letIn(host: string): void
  /** When the next handshake of somebody from this host may begin: now, or after those before it. */
  turn(host: string): Promise<void>
}

export interface ArrivalsNeeds {
  readonly clock: Clock
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
}

interface Budget {
  readonly burst: number
  left: number
  at: number
}

export function createArrivals({ clock, telemetry }: ArrivalsNeeds): Arrivals {
  const known = new Map<string, Budget & { seen: number }>()
  const unknown = new Map<string, { from: number; count: number }>()
  const budget = (burst: number): Budget => ({ burst, left: burst, at: clock.now() })
  const [few, many] = [budget(BURST), budget(BURST)]
  const nextTurn = { known: -Infinity, unknown: -Infinity }
  const refused = { count: 0, at: clock.now() }
  /** Those that were turned away of late. */
  const late = (): number => {
    const now = clock.now()
    refused.count = Math.max(0, refused.count - ((now - refused.at) / 1000) * FORGOTTEN)
    refused.at = now
    return refused.count
  }
  const isStorm = (): boolean => late() > STORM
  const take = (of: Budget, perSecond: number): boolean => {
    const now = clock.now()
    const rate = isStorm() ? perSecond * STORM_SHARE : perSecond
    of.left = Math.min(of.burst, of.left + ((now - of.at) / 1000) * rate)
    of.at = now
    if (of.left < 1) {
      telemetry?.count('arrivals_refused')
      refused.count = Math.min(MOST_COUNTED, refused.count + 1)
      return false
    }
    of.left -= 1
    return true
  }
  /** How often it has come within the minute, with this time. */
  const countOf = (host: string): number => {
    const now = clock.now()
    const before = unknown.get(host)
    const one = before !== undefined && now - before.from < MINUTE_MS ? before : { from: now, count: 0 }
    one.count++
    remember(unknown, host, one)
    return one.count
  }
  const knownNow = (host: string): Budget | undefined => {
    const one = known.get(host)
    return one !== undefined && clock.now() - one.seen < KNOWN_MS ? one : undefined
  }
  return {
    isKnown: (host) => knownNow(host) !== undefined,
    arrives(host) {
      const own = knownNow(host)
      if (own !== undefined) return take(own, KNOWN_A_SECOND)
      return countOf(host) <= FEW ? take(few, FEW_A_SECOND) : take(many, MANY_A_SECOND)
    },
    knows(host) {
      remember(known, host, { ...(known.get(host) ?? budget(KNOWN_BURST)), seen: clock.now() })
      unknown.delete(host)
    },
    letIn(host) {
      const own = knownNow(host)
      if (own !== undefined) own.left = Math.min(own.burst, own.left + 1)
    },
    async turn(host) {
      const now = clock.now()
      const kind = knownNow(host) === undefined ? 'unknown' : 'known'
      const at = Math.max(now, nextTurn[kind])
      nextTurn[kind] = at + (kind === 'unknown' && isStorm() ? STORM_TURN_MS : TURN_MS)
      if (at === now) return
      telemetry?.count('handshakes_queued')
      await clock.sleep(at - now)
    },
  }
}

function remember<Value>(all: Map<string, Value>, host: string, value: Value): void {
  all.delete(host)
  all.set(host, value)
  while (all.size > MAX_HOSTS) all.delete(all.keys().next().value!)
}
