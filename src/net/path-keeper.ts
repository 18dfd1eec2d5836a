/**
 * Keeps each peer on the best way there is: away from a direct connection that does not answer while a relay brings us
 * there, and back to a direct one as soon as one can be made.
 */
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { CancelTimer, Clock, RandomSource } from '../util/index.ts'
import { BESIDE_WAIT_MS, CROSSED_MS, LOOK_PER_LINK_MS, MOVED_WAIT_MS } from './constants.ts'
import type { PathTimes } from './constants.ts'
import { PeerFrozenError } from './errors.ts'
import { isRelayed } from './link-view.ts'
import type { Link, Links } from './links.ts'

interface PathKeeperNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly telemetry?: Pick<Telemetry, 'count'> | undefined
  readonly links: Links
  readonly times: PathTimes
  /** Whether a connection answers within `wait` milliseconds. */
  answers(link: Link, wait: number): Promise<boolean>
  /** Whether some relay could be asked for a way to this peer. */
  mayRelay(peer: string): boolean
  /** Another connection to a peer that has one, by a relay or by its own addresses. */
  relay(peer: string): Promise<boolean>
  dial(peer: string): Promise<boolean>
  /** Milliseconds since anything but upkeep went over a connection. */
  quietFor(link: Link): number
}

export interface PathKeeper {
  joined(link: Link): void
  left(link: Link): void
  /** Addresses of this machine have changed: connections may be dead. */
  moved(): void
  start(): void
  stop(): void
}

export function createPathKeeper(needs: PathKeeperNeeds): PathKeeper {
  const { clock, links, times } = needs
  /** Peers that are reached through a relay, with the timer of the next direct dial. */
  const returning = new Map<string, CancelTimer>()
  const saving = new Set<Link>()
  const draining = new WeakSet<Link>()
  let cancelLook: CancelTimer = () => undefined
  let stopped = false
  const jittered = (ms: number): number => ms * (0.75 + needs.random.bytes(1)[0]! / 512)
  const relayedLinks = (peer: string): Link[] =>
    links.of(peer).filter((link) => link.state === 'joined' && isRelayed(link))

  const tryDirect = (peer: string, attempt: number): void => {
    const wait = jittered(Math.min(times.lastReturn, times.firstReturn * 2 ** attempt))
    returning.get(peer)?.()
    returning.set(
      peer,
      clock.after(wait, () => {
        if (!wantsDirect(peer)) return
        void needs.dial(peer).then(() => {
          if (wantsDirect(peer)) tryDirect(peer, attempt + 1)
        })
      }),
    )
  }
  const wantsDirect = (peer: string): boolean => {
    const wants = !stopped && links.direct(peer) === undefined && relayedLinks(peer).length > 0
    if (!wants) {
      returning.get(peer)?.()
      returning.delete(peer)
    }
    return wants
  }

  /** A relayed connection that another has replaced ends when nobody uses it: new channels go over the other. */
  const drain = (link: Link, since: number): void => {
    clock.after(Math.min(1_000, times.quiet / 2), () => {
      const better = links.primary(link.peer)
      if (stopped || link.state !== 'joined' || better === undefined || better === link)
        return void draining.delete(link)
      // the direct one is in doubt
      if (saving.has(better)) return drain(link, since)
      const over = needs.quietFor(link) >= times.quiet || clock.now() - since >= times.drain
      if (over) link.connection.close().catch((error: Error) => link.connection.abort(error))
      else drain(link, since)
    })
  }
  const drainReplaced = (peer: string): void => {
    const best = links.primary(peer)
    for (const link of relayedLinks(peer)) {
      if (link === best || draining.has(link)) continue
      draining.add(link)
      drain(link, clock.now())
    }
  }

  /** A peer that is busy answers late over each of its connections; one that says nothing while another answers is dead. */
  const isOutdone = async (old: Link): Promise<boolean> => {
    const by = links.of(old.peer).findLast((link) => link !== old && link.state === 'joined' && !isRelayed(link))
    if (by === undefined) return !(await needs.answers(old, MOVED_WAIT_MS))
    const late = needs.answers(by, MOVED_WAIT_MS).then(() => clock.sleep(BESIDE_WAIT_MS))
    return !(await Promise.race([needs.answers(old, MOVED_WAIT_MS), late.then(() => false)]))
  }

  /**
   * A connection that does not answer: another way is sought, and only if there is one is this one given up.
   * @param isLost asked once more then
   */
  const save = async (
    link: Link,
    another: () => Promise<boolean>,
    isLost: (link: Link) => Promise<boolean>,
  ): Promise<void> => {
    saving.add(link)
    const silentSince = clock.now()
    try {
      const found = await another()
      // that peer may only have been busy: then the direct connection answers as well
      if (!found || link.state !== 'joined' || !(await isLost(link))) return
      needs.logger.info({ peer: link.peer }, 'a direct connection is lost; the peer is reached another way')
      link.connection.abort(new PeerFrozenError(link.peer, clock.now() - silentSince))
    } finally {
      saving.delete(link)
    }
  }

  /** A peer that comes again has perhaps moved: what goes over its dead connection is not to wait for a heart-beat. */
  const doubtOlder = (link: Link): void => {
    for (const old of links.of(link.peer)) {
      const isOlder = old.state === 'joined' && !isRelayed(old) && link.openedAt - old.openedAt >= CROSSED_MS
      if (!isOlder || saving.has(old)) continue
      void isOutdone(old).then((isDead) => {
        if (isDead && old.state === 'joined') old.connection.abort(new PeerFrozenError(old.peer, MOVED_WAIT_MS))
      })
    }
  }

  const directLinks = (): Link[] => links.joined().filter((link) => !isRelayed(link) && !saving.has(link))

  const look = (): void => {
    const all = directLinks()
    for (const link of all) {
      if (!needs.mayRelay(link.peer)) continue
      void needs.answers(link, times.patience).then((answers) => {
        if (!answers && !stopped && link.state === 'joined' && !saving.has(link))
          void save(
            link,
            () => needs.relay(link.peer),
            async (lost) => !(await needs.answers(lost, times.patience)),
          )
      })
    }
    cancelLook = clock.after(Math.max(times.look, all.length * LOOK_PER_LINK_MS), look)
  }

  return {
    joined(link) {
      drainReplaced(link.peer)
      if (isRelayed(link)) {
        needs.telemetry?.count('relayed_connections')
        if (wantsDirect(link.peer) && !returning.has(link.peer)) tryDirect(link.peer, 0)
        return
      }
      returning.get(link.peer)?.()
      returning.delete(link.peer)
      doubtOlder(link)
      if (relayedLinks(link.peer).length > 0) needs.telemetry?.count('direct_returns')
    },
    left(link) {
      if (!isRelayed(link) && wantsDirect(link.peer)) tryDirect(link.peer, 0)
    },
    moved() {
      for (const link of directLinks()) {
        void needs.answers(link, MOVED_WAIT_MS).then((answers) => {
          if (answers || stopped || link.state !== 'joined' || saving.has(link)) return
          void save(link, async () => (await needs.dial(link.peer)) || needs.relay(link.peer), isOutdone)
        })
      }
    },
    start: () => void (cancelLook = clock.after(times.look, look)),
    stop() {
      stopped = true
      cancelLook()
      for (const cancel of returning.values()) cancel()
      returning.clear()
    },
  }
}
