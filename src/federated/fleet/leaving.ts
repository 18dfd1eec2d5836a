/**
 * A site that takes no part any more says so: to the author before the start, who would start with it; from then on to the other
 * members, who would wait for it as for any that is connected.
 */
import type { Clock } from '../../util/index.ts'
import { sendLeave, startOf } from './asking.ts'
import type { Asking } from './asking.ts'
import type { JobFolder } from './job-folder.ts'

/** Between two times that members are told: some have begun anew since, or were away. */
const AGAIN_MS = 60_000
/** Whoever comes after that finds out by waiting for the deadline of the plan. */
const MOST_TIMES = 60

export class Leaving {
  readonly #clock: Clock
  readonly #self: string
  readonly #asking: () => Asking
  readonly #told = new Map<string, { readonly at: number; readonly times: number }>()

  constructor(clock: Clock, self: string, asking: () => Asking) {
    this.#clock = clock
    this.#self = self
    this.#asking = asking
  }

  /** The site has a part in the job again. */
  forget({ id }: JobFolder): void {
    this.#told.delete(id)
  }

  /** Asked again and again while the site is out. Members are told beside what goes on: one that is frozen holds nothing up. */
  async tell(folder: JobFolder): Promise<void> {
    if (folder.start === undefined) {
      await this.#withdraw(folder)
      return
    }
    await folder.removeJoin(this.#self)
    const { at = -Infinity, times = 0 } = this.#told.get(folder.id) ?? {}
    const now = this.#clock.now()
    if (now - at < AGAIN_MS || times >= MOST_TIMES) return
    this.#told.set(folder.id, { at: now, times: times + 1 })
    const asking = this.#asking()
    const members = new Set(folder.start.members.map(({ peer }) => peer))
    for (const peer of asking.peers()) if (members.has(peer)) void sendLeave(asking, folder.id, peer)
  }

  async #withdraw(folder: JobFolder): Promise<void> {
    const { offer, joins, id } = folder
    if (!joins.has(this.#self)) return
    const isTold = offer.author === this.#self || (await sendLeave(this.#asking(), id, offer.author))
    if (!isTold) return
    // Begun with its word before it was told: then the others have to know.
    const start = offer.author === this.#self ? undefined : await startOf(this.#asking(), offer)
    // It may have joined again while its author was asked.
    if (folder.site.stopped === null) return
    if (start?.members.some(({ peer }) => peer === this.#self) === true) await folder.saveStart(start)
    await folder.removeJoin(this.#self)
  }
}

/** Members that have said that they take no part any more: nobody waits for them, until they come again. */
export class GoneMembers {
  readonly #gone = new Set<string>()
  readonly #members: readonly string[]
  readonly #note: (peer: string) => void

  constructor(members: readonly string[], note: (peer: string) => void) {
    this.#members = members
    this.#note = note
  }

  has(peer: string): boolean {
    return this.#gone.has(peer)
  }

  /** What whoever aggregates asks of a member. */
  among(isConnected: (peer: string) => boolean): {
    readonly [Question in 'isPresent' | 'hasLeft']: (peer: string) => boolean
  } {
    return { isPresent: (peer) => isConnected(peer) && !this.has(peer), hasLeft: (peer) => this.has(peer) }
  }

  left(peer: string): void {
    if (!this.#members.includes(peer) || this.#gone.has(peer)) return
    this.#gone.add(peer)
    this.#note(peer)
  }

  heard(peer: string): void {
    this.#gone.delete(peer)
  }
}
