/** A process of one member: a whole peer on the loopback, whose links, lookups, round trips and memory are watched. */
import { createPeer } from '../../../src/peer/index.ts'
import type { LocalPeer } from '../../../src/peer/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { answer } from './child.ts'
import type { Held, LinksJob, Lookups, MemberJob, MemberState, Target } from './talk.ts'

const LOOK_MS = 200
/** A status costs milliseconds: links that come and go between two looks are told by events. */
const TURNS_A_LOOK = 8
/** Only to fail: the crowd goes on meanwhile. */
const PATIENCE_MS = 30_000
const LINKING_MS = 120_000
const PROBE_BYTES = 64

const clock = systemClock()
let peer: LocalPeer | undefined
let all: ReadonlySet<string> = new Set()
/** Whose round trips are measured; undefined: nothing is watched. */
let partners: readonly string[] | undefined
/** Since the last question: what was seen at every look and every event. */
let seen = { fewest: Infinity, strangers: 0, madeUp: 0 }
let pings: { readonly times: number[]; failed: number } = { times: [], failed: 0 }
let stopped = false

function look(): void {
  if (partners === undefined || stopped || peer === undefined) return
  const { peers: known } = peer.status()
  const links = known.filter(({ link }) => link !== null && link !== undefined)
  const members = links.filter(({ id }) => all.has(id)).length
  seen = {
    fewest: Math.min(seen.fewest, members),
    strangers: Math.max(seen.strangers, links.length - members),
    madeUp: Math.max(seen.madeUp, known.filter(({ id, models: held }) => !all.has(id) && held.length > 0).length),
  }
}

async function ping(own: LocalPeer, other: string): Promise<void> {
  try {
    for await (const { ms } of own.ping(other, { count: 1, bytes: PROBE_BYTES })) pings.times.push(ms)
  } catch {
    pings.failed++
  }
}

async function watch(own: LocalPeer): Promise<void> {
  for (let turn = 0; ; turn++) {
    if (stopped) return
    if (turn % TURNS_A_LOOK === 0) look()
    const others = (partners ?? []).filter((id) => id !== own.id)
    await Promise.all(others.map((other) => ping(own, other)))
    await clock.sleep(LOOK_MS)
  }
}

async function lookUp(own: LocalPeer, { model, digest }: Held): Promise<{ why: string | undefined; took: number }> {
  const began = clock.now()
  const patience = AbortSignal.timeout(PATIENCE_MS)
  const found = async (): Promise<string | undefined> => {
    // its tokenizer's bytes come from who has them
    const { ids } = await own.tokenize(model, { kind: 'text', text: 'ab' }, patience)
    const { digest: got } = await own.manifest(model)
    if (got !== digest) return `${model} is ${got.slice(0, 8)}`
    return ids.length > 0 ? undefined : `${model} has no token`
  }
  const why = await found().catch((error: unknown) => `${model}: ${(error as Error).message}`)
  return { why, took: clock.now() - began }
}

async function stop(): Promise<void> {
  stopped = true
  await peer?.stop({ drain: 0 })
}

answer(
  {
    async start({ home, keyFile, bootstrap }: MemberJob): Promise<Target> {
      const own = await createPeer({
        home,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        lan: 'off',
        threads: 1,
        logLevel: 'error',
        bootstrap,
        ...(keyFile === null ? {} : { networkKey: keyFile }),
      })
      peer = own
      own.onEvent(({ event }) => {
        if (event === 'peer.left' || event === 'peer.joined') look()
      })
      void watch(own)
      return { id: own.id, address: own.status().peer.addresses[0]! }
    },
    /** Waits until it has so many links to these. */
    async linked({ ids, least }: LinksJob) {
      all = new Set(ids)
      const started = clock.now()
      const links = (): number =>
        peer!.status().peers.filter(({ id, link }) => all.has(id) && link !== null && link !== undefined).length
      while (clock.now() - started < LINKING_MS && links() < least) await clock.sleep(50)
      return { links: links(), after: clock.now() - started }
    },
    /** Waits until it takes so many made-up peers for holders. */
    async believed(least: number) {
      const started = clock.now()
      while (clock.now() - started < LINKING_MS && seen.madeUp < least) {
        look()
        await clock.sleep(LOOK_MS)
      }
    },
    watch(ids: readonly string[]) {
      partners = ids
    },
    async state(): Promise<MemberState> {
      look()
      const told = { ...seen, pings }
      seen = { fewest: Infinity, strangers: 0, madeUp: 0 }
      const peak = process.memoryUsage.rss()
      // what it keeps: the engine gives back the pages that it holds for later
      await globalThis.gc?.({ type: 'major', execution: 'async', flavor: 'last-resort' })
      // and what went round while it was asked is no round trip of a peer at work
      pings = { times: [], failed: 0 }
      return { ...told, peak, rss: process.memoryUsage.rss() }
    },
    /** Each of these, one begun after another. */
    async look({ models, over }: { models: readonly Held[]; over: number }): Promise<Lookups> {
      const outcomes: Promise<{ readonly why: string | undefined; readonly took: number }>[] = []
      for (const held of models) {
        outcomes.push(lookUp(peer!, held))
        await clock.sleep(over / models.length)
      }
      const ended = await Promise.all(outcomes)
      const wrong = ended.flatMap(({ why }) => why ?? [])
      return { asked: ended.length, right: ended.length - wrong.length, times: ended.map(({ took }) => took), wrong }
    },
    stop,
  },
  stop,
)
