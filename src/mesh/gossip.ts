/**
 * Spreads records: pushed to all at once when they change here, passed on once when they come from elsewhere, and made
 * good by comparing hashes with each peer every few seconds (anti-entropy), whatever was lost on the way.
 */
import type { Channel, Network } from '../net/index.ts'
import type { CancelTimer, Clock, RandomSource } from '../util/index.ts'
import { createGossipLink } from './gossip-link.ts'
import type { GossipLink } from './gossip-link.ts'
import { MESH_PROTOCOL } from './gossip-wire.ts'
import type { Judged } from './intake.ts'
import {
  ANTI_ENTROPY_MS,
  ASK_AGAIN_MS,
  FAREWELL_MS,
  FORWARD_FANOUT,
  REOPEN_FIRST_MS,
  REOPEN_LAST_MS,
} from './limits.ts'
import type { RecordBook } from './record-book.ts'
import { recordId } from './records.ts'
import { shuffled } from './shuffle.ts'

export interface GossipNeeds {
  readonly network: Network
  readonly clock: Clock
  readonly random: RandomSource
  readonly book: RecordBook
  readonly isConnected: (peer: string) => boolean
  /** Judges and keeps. */
  readonly offer: (bytes: Uint8Array, age: number, from: string) => Judged
  readonly farewell: (peer: string) => void
  /** Called at each round of anti-entropy. */
  readonly round: () => void
}

export interface Gossip {
  start(): void
  /** Says goodbye, then ends all channels. */
  stop(): Promise<void>
  /** A record of ours changed. */
  push(id: string): void
  /** The peer is connected: a channel to it is opened, if that is ours to do. */
  meet(peer: string): void
}

export function createGossip(needs: GossipNeeds): Gossip {
  const { network, clock, book } = needs
  const links = new Map<string, GossipLink>()
  const opening = new Set<string>()
  const asking = new Set<string>()
  /** Milliseconds to the next try, a peer; grows while channels do not last, anew with each connection. */
  const patience = new Map<string, number>()
  const ending = new AbortController()
  let cancelRound: CancelTimer | undefined
  let running = false

  /** The last of a burst must not wait for the next round. */
  const askAgain = (link: GossipLink): void => {
    if (asking.has(link.peer)) return
    asking.add(link.peer)
    clock.after(ASK_AGAIN_MS, () => {
      asking.delete(link.peer)
      if (links.get(link.peer) === link) link.sendDigest(true)
    })
  }

  const received = (bytes: Uint8Array, age: number, from: GossipLink): void => {
    const { verdict, why, record } = needs.offer(bytes, age, from.peer)
    if (verdict === 'forged') from.abort(why)
    if (verdict === 'limited') askAgain(from)
    if (verdict !== 'accepted' || record === undefined) return
    const others = [...links.keys()].filter((peer) => peer !== from.peer && peer !== record.author)
    for (const peer of shuffled(others, needs.random).slice(0, FORWARD_FANOUT)) links.get(peer)?.push(recordId(record))
  }

  const adopt = (channel: Channel): void => {
    const peer = channel.remote
    void links.get(peer)?.close()
    const ageOf = (author: string): number =>
      author === network.id || needs.isConnected(author) ? 0 : Math.max(0, book.silence(author))
    const link = createGossipLink({ channel, clock, book, ageOf, received, farewell: needs.farewell })
    const since = clock.now()
    links.set(peer, link)
    link.compare()
    void link.closed.then(() => {
      if (clock.now() - since > REOPEN_LAST_MS) patience.delete(peer)
      if (links.get(peer) !== link) return
      links.delete(peer)
      if (running && needs.isConnected(peer)) openTo(peer)
    })
  }

  const open = async (peer: string): Promise<void> => {
    opening.add(peer)
    try {
      while (!ending.signal.aborted && needs.isConnected(peer) && !links.has(peer)) {
        const wait = patience.get(peer) ?? 0
        patience.set(peer, Math.min(REOPEN_LAST_MS, Math.max(REOPEN_FIRST_MS, 2 * wait)))
        try {
          if (wait > 0) await clock.sleep(wait, ending.signal)
          const channel = await network.open(peer, MESH_PROTOCOL, ending.signal)
          if (running) adopt(channel)
          else channel.abort(new Error('the mesh is ending'))
          return
        } catch {
          // Not there yet, or gone: tried again while the network says that it is connected.
        }
      }
    } finally {
      opening.delete(peer)
    }
  }

  const openTo = (peer: string): void => {
    if (network.id < peer && !opening.has(peer) && !links.has(peer)) void open(peer)
  }

  const round = (): void => {
    const [draw = 0] = needs.random.bytes(1)
    // Plus or minus a quarter, so that a hundred peers that started together do not speak together.
    const wait = ANTI_ENTROPY_MS * (0.75 + (0.5 * draw) / 255)
    cancelRound = clock.after(wait, () => {
      needs.round()
      for (const link of links.values()) link.compare()
      round()
    })
  }

  return {
    start() {
      running = true
      network.handle(MESH_PROTOCOL, 'connect', (channel) => {
        if (running && channel.remote < network.id) adopt(channel)
        else void channel.close()
      })
      round()
    },
    async stop() {
      running = false
      cancelRound?.()
      ending.abort(new Error('the mesh is ending'))
      const all = [...links.values()]
      links.clear()
      const farewells = all.map(async (link) => {
        await link.goodbye()
        await link.close()
      })
      const late = new AbortController()
      const patienceIsOver = clock.sleep(FAREWELL_MS, late.signal).catch(() => undefined)
      await Promise.race([Promise.allSettled(farewells), patienceIsOver])
      late.abort()
      for (const link of all) link.abort('the mesh is ending')
    },
    push(id) {
      for (const link of links.values()) link.push(id)
    },
    meet(peer) {
      patience.delete(peer)
      openTo(peer)
    },
  }
}
