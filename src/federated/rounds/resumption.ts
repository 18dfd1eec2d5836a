/** Sums that members have signed and nobody has told them: which of them whoever aggregates now can open, and who is kept for it. */
import type { Clock } from '../../util/index.ts'
import type { Group } from './job-view.ts'
import type { Guest } from './coordinator-types.ts'

/** A sum that another aggregator began, and who of its members is here. */
export interface Resumable<G = Guest> {
  readonly sid: Uint8Array
  readonly guests: readonly G[]
  /** The one that has it, masks and all. */
  readonly holder: G
}

interface Failed {
  readonly times: number
  /** Until then its members may begin another. */
  readonly until: number
  /** Who had it then: others are asked first. */
  readonly holders: ReadonlySet<string>
}

/** A round without those who are gone begins within so many times the grace, mostly; after each further failure twice as many. */
const REST = 4

type Signed = Pick<Guest, 'peer' | 'hello'>

export interface ResumptionNeeds {
  readonly clock: Pick<Clock, 'now'>
  /** Whether a peer is a member now and connected. */
  readonly isThere: (peer: string) => boolean
  /** Milliseconds that the others of a signed sum are waited for, before a member of it begins another one. */
  readonly graceMs: number
}

export class Resumption {
  readonly #needs: ResumptionNeeds
  /** Attempts that failed, by session. */
  readonly #failed = new Map<string, Failed>()
  /** When a member of it first came, by session: whoever goes and comes again is not waited for anew. */
  readonly #seen = new Map<string, number>()

  constructor(needs: ResumptionNeeds) {
    this.#needs = needs
  }

  /** Who begins no sum of its own yet. @param here all that came. @param least groups whose sums a round is made of, at least */
  kept(groups: readonly Group[], here: readonly Guest[], least: number): readonly Guest[] {
    const now = this.#needs.clock.now()
    const ready = groups.map((group) => this.of(group, here)?.guests ?? [])
    // What was signed of clusters is opened together or not at all.
    const isEnough = groups[0]?.delegate === undefined || ready.filter(({ length }) => length > 0).length >= least
    return groups.flatMap((group, at) =>
      here.filter((guest) => {
        const sid = sessionOf(guest)
        if (sid === undefined || this.#isTired(sid) || !isOf(guest, group)) return false
        const isYoung = guest.stage === 'waits' && now - this.#seenAt(sid) < this.#needs.graceMs
        return isYoung || (isEnough && ready[at]!.includes(guest))
      }),
    )
  }

  /** The one that can be opened: enough are here to sign for it and to reveal, and one of them has it. */
  of(group: Group, here: readonly Guest[]): Resumable | undefined {
    const sessions = new Map<string, Guest[]>()
    for (const guest of here) {
      const sid = sessionOf(guest)
      if (sid === undefined || this.#isTired(sid) || !isOf(guest, group)) continue
      sessions.set(sid, [...(sessions.get(sid) ?? []), guest])
    }
    for (const [sid, guests] of sessions) {
      const holders = guests.filter(({ hello }) => hello.holds === true)
      const holder = holders.find(({ peer }) => this.#failed.get(sid)?.holders.has(peer) !== true) ?? holders[0]
      if (holder === undefined || guests.length < group.quorum || this.#isWaitedFor(sid, guests)) continue
      return { sid: holder.hello.signed!, guests, holder }
    }
    return undefined
  }

  /** Without them it could be opened too, and they would not see what came of their own update. */
  #isWaitedFor(sid: string, guests: readonly Guest[]): boolean {
    const { clock, graceMs, isThere } = this.#needs
    // Who has revealed says of whom the sum is.
    const bound = guests.map(({ hello }) => hello.bound ?? []).find(({ length }) => length > 0) ?? []
    const others = bound.filter((peer) => !guests.some((guest) => guest.peer === peer))
    return others.some(isThere) && clock.now() - this.#seenAt(sid) < graceMs
  }

  #seenAt(sid: string): number {
    const at = this.#seen.get(sid) ?? this.#needs.clock.now()
    this.#seen.set(sid, at)
    return at
  }

  /** It came to nothing: its members may begin another, and this one is tried again later. */
  failed({ sid, holder }: Pick<Resumable, 'sid' | 'holder'>): void {
    const { clock, graceMs } = this.#needs
    const before = this.#failed.get(hexOf(sid))
    const times = (before?.times ?? 0) + 1
    const until = clock.now() + graceMs * REST * 2 ** (times - 1)
    this.#failed.set(hexOf(sid), { times, until, holders: new Set([...(before?.holders ?? []), holder.peer]) })
  }

  #isTired(sid: string): boolean {
    return this.#needs.clock.now() < (this.#failed.get(sid)?.until ?? 0)
  }
}

function sessionOf({ hello }: Signed): string | undefined {
  const { signed = null } = hello
  return signed === null ? undefined : hexOf(signed)
}

function isOf({ peer }: Signed, { members }: Group): boolean {
  return members.some((member) => member.peer === peer)
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
