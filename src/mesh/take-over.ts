/**
 * Placements whose author was removed from the cluster. They stand until another takes their place, so that answers under
 * way are not lost; but who comes later believes no record of a removed one, and would place beside it, or see an older
 * one. So one of those that stay says it again, as its own: who has the smallest id of all that are here and may place.
 */
import type { Membership } from '../net/index.ts'
import type { MeshLogger } from './needs.ts'
import type { OwnRecords } from './own-records.ts'
import { standingPlacement, standingPlacements } from './placements.ts'
import type { RecordBook } from './record-book.ts'
import type { StoredRecord } from './stored-record.ts'

export interface TakeOverNeeds {
  readonly self: string
  readonly book: RecordBook
  readonly own: Pick<OwnRecords, 'publish'>
  readonly membership: Membership
  readonly logger: MeshLogger
  /** Ids of peers that are connected. */
  connected(): Iterable<string>
}

/** Looks now; called when the membership changes, and at each round of anti-entropy: whose turn it is may have gone. */
export function createTakeOver(needs: TakeOverNeeds): () => void {
  const { self, book, membership } = needs
  const under = new Set<string>()
  const isOurs = (): boolean => {
    if (!membership.admits(self, 'place')) return false
    return [...needs.connected()].every((peer) => peer > self || !membership.admits(peer, 'place'))
  }
  const say = async ({ key, author }: StoredRecord<'placement'>): Promise<void> => {
    under.add(key)
    try {
      await needs.own.publish('placement', key, () => {
        const { body } = standingPlacement(book, key)!
        return { ...body, epoch: body.epoch + 1 }
      })
    } catch (error) {
      needs.logger.warn({ err: error, model: key, author }, 'a placement of a removed member could not be taken over')
    } finally {
      under.delete(key)
    }
  }
  return () => {
    const standing = [...standingPlacements(book).values()]
    for (const author of book.authors().filter((one) => one !== self && membership.isRemoved(one))) {
      const stands = standing.filter((record) => record.author === author)
      const kept = new Set(stands.map(({ id }) => id))
      for (const { id, kind } of book.recordsOf(author)) if (kind === 'placement' && !kept.has(id)) book.drop(id)
      if (stands.length > 0 && isOurs()) for (const one of stands) if (!under.has(one.key)) void say(one)
    }
  }
}
