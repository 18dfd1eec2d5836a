/** A process of members: whole peers, on the loopback, whose links, lookups, round trips and memory are watched. */
import { createPeer } from '../../../src/peer/index.ts'
import type { LocalPeer } from '../../../src/peer/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { answer } from './child.ts'
import type { Held, Lookups, MembersJob, MembersState, Pings, Target } from './talk.ts'

const LOOK_MS = 200
/** A status costs milliseconds: links that come and go between two looks are told by events. */
const TURNS_A_LOOK = 8
/** Only to fail: the crowd goes on meanwhile. */
const PATIENCE_MS = 30_000
const LINKING_MS = 120_000
const PROBE_BYTES = 64

const clock = systemClock()
const peers: LocalPeer[] = []
let all: ReadonlySet<string> = new Set()
/** Since the last question: what was seen at every look and every event. */
let seen = { fewest: Infinity, strangers: 0, madeUp: 0 }
let pings: { readonly times: number[]; failed: number } = { times: [], failed: 0 }
let stopped = false
let watches = false

function look(): void {
  if (!watches || stopped) return
  for (const peer of peers) {
    const { peers: known } = peer.status()
    const links = known.filter(({ link }) => link !== null && link !== undefined)
    const members = links.filter(({ id }) => all.has(id)).length
    seen = {
      fewest: Math.min(seen.fewest, members),
      strangers: Math.max(seen.strangers, links.length - members),
      madeUp: Math.max(seen.madeUp, known.filter(({ id, models: held }) => !all.has(id) && held.length > 0).length),
    }
  }
}

async function ping(peer: LocalPeer, other: string): Promise<void> {
  try {
    for await (const { ms } of peer.ping(other, { count: 1, bytes: PROBE_BYTES })) pings.times.push(ms)
  } catch {
    pings.failed++
  }
}

async function watch(): Promise<void> {
  for (let turn = 0; ; turn++) {
    if (stopped) return
    if (turn % TURNS_A_LOOK === 0) look()
    const pairs = watches
      ? peers.flatMap((peer) => peers.filter((other) => other !== peer).map((other) => [peer, other] as const))
      : []
    await Promise.all(pairs.map(([peer, other]) => ping(peer, other.id)))
    await clock.sleep(LOOK_MS)
  }
}

function summary({ times, failed }: typeof pings): Pings {
  const sorted = times.toSorted((left, right) => left - right)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  return { count: sorted.length, failed, p50: at(0.5), p95: at(0.95) }
}

async function lookUp(peer: LocalPeer, { model, digest }: Held): Promise<{ why: string | undefined; took: number }> {
  const began = clock.now()
  const patience = AbortSignal.timeout(PATIENCE_MS)
  const found = async (): Promise<string | undefined> => {
    // its tokenizer's bytes come from who has them
    const { ids } = await peer.tokenize(model, { kind: 'text', text: 'ab' }, patience)
    const { digest: got } = await peer.manifest(model)
    if (got !== digest) return `${model} is ${got.slice(0, 8)}`
    return ids.length > 0 ? undefined : `${model} has no token`
  }
  const why = await found().catch((error: unknown) => `${model}: ${(error as Error).message}`)
  return { why, took: clock.now() - began }
}

answer(
  {
    async start({ homes, keyFile, bootstrap }: MembersJob) {
      for (const home of homes) {
        const peer = await createPeer({
          home,
          listen: ['/ip4/127.0.0.1/tcp/0'],
          lan: 'off',
          threads: 1,
          logLevel: 'error',
          bootstrap: [...bootstrap, ...peers.flatMap((one) => one.status().peer.addresses)],
          ...(keyFile === null ? {} : { networkKey: keyFile }),
        })
        peers.push(peer)
        peer.onEvent(({ event }) => {
          if (event === 'peer.left' || event === 'peer.joined') look()
        })
      }
      void watch()
    },
    addresses: () => peers.map((peer): Target => ({ id: peer.id, address: peer.status().peer.addresses[0]! })),
    /** Waits until each has so many links to these. */
    async linked({ ids, least }: { ids: readonly string[]; least: number }) {
      all = new Set(ids)
      const started = clock.now()
      const links = (peer: LocalPeer): number =>
        peer.status().peers.filter(({ id, link }) => all.has(id) && link !== null && link !== undefined).length
      while (clock.now() - started < LINKING_MS && peers.some((peer) => links(peer) < least)) await clock.sleep(50)
      return { links: Math.min(...peers.map(links)), after: clock.now() - started }
    },
    /** Waits until one of them takes so many made-up peers for holders. */
    async believed(least: number) {
      const started = clock.now()
      while (clock.now() - started < LINKING_MS && seen.madeUp < least) {
        look()
        await clock.sleep(LOOK_MS)
      }
    },
    watch() {
      watches = true
    },
    async state(): Promise<MembersState> {
      look()
      const told = { ...seen, pings: summary(pings) }
      seen = { fewest: Infinity, strangers: 0, madeUp: 0 }
      pings = { times: [], failed: 0 }
      const peak = process.memoryUsage.rss()
      // what it keeps: the engine gives back the pages that it holds for later
      await globalThis.gc?.({ type: 'major', execution: 'async', flavor: 'last-resort' })
      return {
        ...told,
        peak,
        rss: process.memoryUsage.rss(),
        bans: peers.reduce((sum, peer) => sum + (peer.status().site?.bans.length ?? 0), 0),
      }
    },
    /** Each of these, by each that does not hold it, one begun after another. */
    async look({ models, over }: { models: readonly Held[]; over: number }): Promise<Lookups> {
      const outcomes: Promise<{ readonly why: string | undefined; readonly took: number }>[] = []
      for (const held of models) {
        for (const [n, peer] of peers.entries())
          if (peers.length === 1 || n !== held.holder) outcomes.push(lookUp(peer, held))
        await clock.sleep(over / models.length)
      }
      const all = await Promise.all(outcomes)
      const wrong = all.flatMap(({ why }) => why ?? [])
      return {
        asked: all.length,
        right: all.length - wrong.length,
        slowest: Math.max(...all.map(({ took }) => took)),
        wrong,
      }
    },
    async stop() {
      stopped = true
      await Promise.all(peers.splice(0).map((peer) => peer.stop({ drain: 0 })))
    },
  },
  async () => {
    stopped = true
    await Promise.all(peers.map((peer) => peer.stop({ drain: 0 })))
  },
)
