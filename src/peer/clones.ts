/**
 * One identity in two places: a home was copied, or stolen. Whoever meets both says so in its record, so that both hear of it;
 * so does this peer when it meets itself. Nobody can tell which of the two is the right one: a person has to.
 */
import type { Refusal } from '../net/index.ts'
import { OwnIdentityError } from '../net/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { Site } from './site.ts'

/** Identities that one peer tells of. */
export const MAX_CLONES = 16
/** It is told for so long after it was seen last. */
const TOLD_MS = 15 * 60_000

export interface Clones {
  /** Something was seen and not joined. */
  refused(refusal: Pick<Refusal, 'id' | 'code' | 'why'>): void
  /** What another peer tells. */
  heard(by: string, clones: readonly string[]): void
  /** To tell others. */
  list(): readonly string[]
}

export function createClones(needs: {
  readonly self: string
  readonly clock: Clock
  readonly site: Site
  readonly telemetry: Pick<Telemetry, 'count'>
  readonly changed: () => void
}): Clones {
  const { self, clock, site, telemetry } = needs
  const seen = new Map<string, number>()
  const alarm = (peer: string, by: string): void => {
    telemetry.count('identities_cloned')
    site.tally({ who: `peer:${peer}`, what: 'peer.cloned', result: 'refused', target: by })
    if (peer === self) site.cloned = { at: new Date(clock.wall()).toISOString(), by }
  }
  return {
    refused({ id, code, why }) {
      if (code !== OwnIdentityError.info.code) return
      // The other side says it of this peer, or this side of the other.
      const peer = why.startsWith('this peer') ? self : (id ?? self)
      alarm(peer, peer === self ? (id ?? self) : self)
      if (peer === self) return
      const isNews = !seen.has(peer)
      if (seen.size < MAX_CLONES || !isNews) seen.set(peer, clock.now())
      if (isNews) needs.changed()
    },
    heard(by, clones) {
      if (by !== self && clones.includes(self)) alarm(self, by)
    },
    list() {
      for (const [peer, at] of seen) if (clock.now() - at > TOLD_MS) seen.delete(peer)
      return [...seen.keys()]
    },
  }
}
