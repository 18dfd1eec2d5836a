/**
 * Spreads the membership log: one channel to each member that is connected, heads told when they change and heart-beats
 * from time to time, entries fetched by whoever lacks them. What is learned from one is told to all others, so that it
 * reaches everybody in as many steps as the mesh is wide.
 */
import type { Channel, ClusterInit, Network } from '../../net/index.ts'
import type { CounterName } from '../../telemetry/index.ts'
import { ClocksApartError, LogForkError } from '../../trust/index.ts'
import type { Certificate, Cluster, Entry } from '../../trust/index.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import type { MeshLogger } from '../needs.ts'
import { NewsChannel } from './news-channel.ts'
import type { NewsNeeds } from './news-channel.ts'
import { MEMBERSHIP_PROTOCOL } from './wire.ts'

/** How often an admin says that the newest entry is the newest: many times within the shortest sensible max-age. */
export const BEAT_MS = 10_000
/** A greeting waits for what the other side knows; it has a deadline of its own. */
const ACQUAINT_MS = 4_000
const LEAVE_MS = 2_000
/** A removed peer that does not read is not waited for. */
const DISMISS_MS = 200
const FLUSH_MS = 20
/** Strangers whose news is looked at at a time: each may send some MiB. The others come again, or are heard of from a member. */
const MAX_ACQUAINTING = 4
/** Between the first channel that fails and the next try. */
const REOPEN_MS = 1_000

/** Of the life of certificates: how often it is looked which are due, where that is more often than a heart-beat. */
const LOOKS_A_LIFE = 20

export interface SpreadNeeds {
  readonly cluster: Cluster
  readonly clock: Clock
  readonly logger: MeshLogger
  readonly count: (name: CounterName, by?: number) => void
  /** The membership has changed, or what is believed of it. */
  readonly changed: () => void
}

export interface Spread {
  /** For the network, which is made after this. */
  readonly acquaint: ClusterInit['acquaint']
  /** For the network: a member has shown what it says is its certificate. */
  certified(peer: string, certificate: Uint8Array): void
  start(network: Network): void
  /** Asks a connected admin to take this peer out; false: none was there, or none did it in time. */
  leave(reason: string): Promise<boolean>
  stop(): void
}

export function createSpread(needs: SpreadNeeds): Spread {
  const { cluster, clock, logger } = needs
  const channels = new Map<string, NewsChannel>()
  let network: Network | undefined
  let stopped = false
  let acquainting = 0
  let wasStale = cluster.isStale()
  let wasExpired: readonly string[] = []
  const cancels: (() => void)[] = []
  let cancelBeat: CancelTimer = () => undefined

  const tellAll = (except?: string): void => {
    for (const [peer, channel] of channels) if (peer !== except) channel.tell()
  }
  const spreadCertificates = (all: readonly Certificate[], except?: string): void => {
    for (const [peer, channel] of channels) if (peer !== except) channel.certify(all)
  }
  /** What is due is signed here, if this peer may. */
  const renew = (): void => {
    const made = cluster.certificates.renew()
    if (made.length > 0) needs.count('certificates_renewed', made.length)
    spreadCertificates(made)
  }
  const news: NewsNeeds = {
    cluster,
    clock,
    merged(from, entries) {
      if (entries > 0) needs.count('membership_entries', entries)
      if (entries > 0) logger.info({ peer: from, entries, height: cluster.head.height }, 'the membership has changed')
    },
    leaves(peer, reason) {
      if (!cluster.isAdmin || cluster.member(peer) === undefined) return
      try {
        cluster.revoke(peer, reason === '' ? 'left' : reason, true)
      } catch (error) {
        logger.warn({ err: error, peer }, 'a member that leaves could not be taken out')
      }
    },
    beat: (from) => {
      look()
      tellAll(from)
    },
    certified(from, all) {
      needs.count('certificates_taken', all.length)
      spreadCertificates(all, from)
      look()
    },
    uncertified: () => needs.count('certificates_refused'),
    failed: (peer, error) => logger.warn({ err: error, peer }, 'entries of the membership log were refused'),
  }
  let wasApart: string | undefined
  /** What is believed changes also when nothing comes. */
  const look = (): void => {
    const apart = cluster.clocksApart()
    if (apart !== undefined && apart.admin !== wasApart)
      logger.warn({ err: new ClocksApartError(apart.admin, apart.ahead_ms) }, 'the word of an admin is not believed')
    wasApart = apart?.admin
    const isStale = cluster.isStale()
    const expired = cluster.certificates.expired()
    const isNews = isStale !== wasStale || expired.join() !== wasExpired.join()
    if (isStale !== wasStale)
      logger.warn({ stale: isStale }, isStale ? 'no admin was heard for too long' : 'an admin was heard again')
    for (const peer of expired.filter((one) => !wasExpired.includes(one)))
      logger.warn({ err: cluster.refusal(peer, 'compute'), peer }, 'the certificate of a member is over')
    wasStale = isStale
    wasExpired = expired
    if (isNews) needs.changed()
  }
  const adopt = (channel: Channel): NewsChannel => {
    const { remote } = channel
    channels.get(remote)?.close()
    const one = new NewsChannel(news, channel)
    channels.set(remote, one)
    void one.closed.then(() => {
      if (channels.get(remote) !== one) return
      channels.delete(remote)
      if (!stopped && isConnected(remote)) clock.after(REOPEN_MS, () => meet(remote))
    })
    one.tell()
    one.exchange()
    return one
  }
  /** Who is taken out hears of it before it is cut off, if it listens; nothing is served to it meanwhile. */
  const dismiss = async (entries: readonly Entry[]): Promise<void> => {
    const words = entries.flatMap(({ body, bytes }) => {
      const channel = body.kind === 'revoke' ? channels.get(body.peer) : undefined
      return channel === undefined ? [] : [channel.dismiss(bytes).catch(() => undefined)]
    })
    if (words.length === 0) return
    const late = new AbortController()
    const wait = clock.sleep(DISMISS_MS, late.signal).catch(() => undefined)
    await Promise.race([Promise.all(words).then(() => clock.sleep(FLUSH_MS)), wait])
    late.abort()
  }
  const isConnected = (peer: string): boolean => network?.connected().some(({ id }) => id === peer) === true
  /** One channel a pair: whoever has the smaller id opens it. */
  const meet = (peer: string): void => {
    if (network === undefined || stopped || cluster.self > peer || channels.has(peer) || !isConnected(peer)) return
    network.open(peer, MEMBERSHIP_PROTOCOL).then(adopt, (error: unknown) => {
      logger.debug({ err: error, peer }, 'no channel for the membership')
      if (!stopped) clock.after(REOPEN_MS, () => meet(peer))
    })
  }
  const beat = (): void => {
    if (cluster.renewBeat() !== undefined) tellAll()
    renew()
    look()
    cluster.certificates.keep()
    const { lifetime } = cluster.certificates
    cancelBeat = clock.after(lifetime === 0 ? BEAT_MS : Math.min(BEAT_MS, lifetime / LOOKS_A_LIFE), beat)
  }

  return {
    async acquaint(_peer, _head, open) {
      if (acquainting >= MAX_ACQUAINTING) return
      acquainting++
      try {
        const channel = new NewsChannel(news, await open(MEMBERSHIP_PROTOCOL))
        channel.ask()
        const late = new AbortController()
        await Promise.race([channel.caughtUp, clock.sleep(ACQUAINT_MS, late.signal).catch(() => undefined)])
        late.abort()
        channel.close()
      } finally {
        acquainting--
      }
    },
    certified(peer, bytes) {
      const heard = cluster.certificates.hear(bytes)
      const one = cluster.certificates.of(peer)
      if (heard === 'news' && one !== undefined) news.certified(peer, [one])
      else if (heard !== 'known' && heard !== 'news') needs.count('certificates_refused')
    },
    start(running) {
      network = running
      // the greeting of a newcomer waits for it, so it is served before that is over
      running.handleEarly(MEMBERSHIP_PROTOCOL, 'membership', (channel) => {
        if (isConnected(channel.remote)) adopt(channel)
        else new NewsChannel(news, channel).tell()
      })
      cancels.push(
        running.on({
          connected: ({ id }) => meet(id),
          disconnected: (peer) => void channels.delete(peer),
        }),
      )
      cancels.push(
        cluster.on(({ added, fork }) => {
          if (fork !== undefined) {
            needs.count('membership_forks')
            const { branch: _branch, ...rest } = fork
            const { height, kept, other, decided } = fork
            const err = decided ? undefined : new LogForkError(height, kept, other)
            logger.warn({ ...rest, err }, 'the membership log has a fork; both heads are kept')
          }
          tellAll()
          // others do it in their turn: what this peer has changed it signs for at once
          if (added.some(({ signatures }) => signatures.some(({ by }) => by === cluster.self))) renew()
          spreadCertificates(cluster.certificates.again())
          void dismiss(added).then(() => needs.changed())
        }),
      )
      for (const { id } of running.connected()) meet(id)
      beat()
    },
    async leave(reason) {
      const admins = new Set(cluster.view().admins)
      const asked = [...channels.values()].find(({ peer }) => admins.has(peer))
      if (asked === undefined) return false
      await asked.leave(reason).catch(() => undefined)
      for (let waited = 0; waited < LEAVE_MS; waited += 50) {
        if (cluster.member(cluster.self) === undefined) return true
        await clock.sleep(50)
      }
      return false
    },
    stop() {
      stopped = true
      cancelBeat()
      for (const cancel of cancels.splice(0)) cancel()
      for (const channel of channels.values()) channel.close()
    },
  }
}
