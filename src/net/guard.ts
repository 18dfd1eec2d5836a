/** Keeps the connections in step with the membership: who was removed is cut off, and does not come in again. */
import type { MultiaddrConnection } from '@libp2p/interface'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { hostOf, parseAddress } from './addresses.ts'
import { createArrivals } from './arrivals.ts'
import type { Arrivals } from './arrivals.ts'
import type { Defence } from './defence.ts'
import type { Dialler } from './dialler.ts'
import { NotAdmittedError, PeerBannedError, PolicyKeepsOutError, removedError } from './discovery-errors.ts'
import { isRelayed, remoteAddress } from './link-view.ts'
import type { Link, Links } from './links.ts'
import type { Refuser } from './refuser.ts'
import type { Serving } from './serving.ts'
import type { Membership } from './types.ts'

interface GuardNeeds {
  readonly self: string
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly membership: Membership
  readonly defence?: Defence | undefined
  readonly refuser: Refuser
  parts(): GuardParts
}

/** Made after the guard. */
export interface GuardParts {
  readonly links: Links
  readonly serving: Serving
  readonly dialler: Dialler
}

export interface Guard {
  /** Asked for each connection that begins. */
  readonly arrivals: Arrivals
  /** A person has let a peer in, or wants it out. */
  decided(peer: string, admit: boolean): void
  review(): void
  /** Asked when a peer has proven its id, whatever the transport, circuits included. */
  keepsOut(peer: string, connection: MultiaddrConnection): boolean
  /** The peer at the other end of this connection is in. */
  joined(link: Link): void
  /** A peer that is in is, or was, at the other end of this connection. */
  saw(link: Link): void
}

/** Before the id, in the subject of a ban. */
const PEER = 'peer:'

export function createGuard(needs: GuardNeeds): Guard {
  const { membership, telemetry, refuser } = needs
  // all that a banned peer has open ends at once; of a banned host nothing does: what stands has proven who it is
  needs.defence?.on(({ subject, why }) => {
    const peer = subject.startsWith(PEER) ? subject.slice(PEER.length) : undefined
    if (peer !== undefined) needs.parts().links.cut(peer, new PeerBannedError(peer, why))
  })
  const arrivals = createArrivals(needs)
  const isRemoved = (peer: string): boolean => membership.isRemoved(peer)
  const whyNot = (peer: string): Error => {
    if (isRemoved(peer)) return removedError(membership, needs.self, peer)
    const rule = membership.keptOutBy?.(peer)
    return rule === undefined ? new NotAdmittedError(peer, 'not any more') : new PolicyKeepsOutError(peer, rule)
  }
  const saw = (link: Link): void => {
    // a circuit comes from the host of its relay
    const host = isRelayed(link) ? undefined : hostOf(`${remoteAddress(link)}/`)
    if (host === undefined) return
    arrivals.knows(host)
    needs.defence?.proven(link.peer, host)
  }
  return {
    arrivals,
    saw,
    joined(link) {
      // who was dialled has not arrived; a circuit has, from where its relay is
      const from = link.connection.direction === 'inbound' ? hostOf(`${remoteAddress(link)}/`) : undefined
      if (from !== undefined) arrivals.letIn(from)
      saw(link)
    },
    decided(peer, admit) {
      const { links, dialler } = needs.parts()
      if (admit) refuser.book.forget(peer, [])
      else dialler.forget(peer)
      if (admit || links.primary(peer) === undefined) return
      const error = new NotAdmittedError(peer, 'a person here said no')
      refuser.refuse(peer, null, error)
      links.drop(peer, error)
    },
    review() {
      const { links, dialler, serving } = needs.parts()
      for (const peer of links.peers()) {
        if (membership.admits(peer, 'connect') || links.primary(peer) === undefined) continue
        if (isRemoved(peer)) dialler.forget(peer)
        telemetry?.count('members_cut')
        needs.logger.warn({ peer }, 'is not admitted any more, and was cut off')
        links.cut(peer, whyNot(peer))
      }
      serving.review()
    },
    keepsOut(peer, { remoteAddr }) {
      if (!isRemoved(peer)) return false
      const address = remoteAddr.toString()
      if (!isRemoved(needs.self)) telemetry?.count('members_refused')
      refuser.refuse(peer, parseAddress(address)?.plain ?? address, removedError(membership, needs.self, peer))
      return true
    },
  }
}
