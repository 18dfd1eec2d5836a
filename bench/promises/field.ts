/** Real peers on hosts of their own (shared/netlab), what can be done to them, and what must hold of them afterwards. */
import { execFileSync } from 'node:child_process'
import { netlabFor } from '../../test/integration/netlab.ts'
import { counter, createLab, joined, placement, TINY, until } from '../../test/integration/support.ts'
import type { Lab, RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { footprint } from '../support/footprint.ts'
import type { Footprint } from '../support/footprint.ts'
import type { Tally } from '../support/cases.ts'
import { listed } from '../support/cases.ts'
import type { Report } from './report.ts'

const clock = systemClock()
/** All members agree again after so long. */
const CONVERGE_MS = 30_000
/** Sessions of answers that ended, and channels of peers that went, are freed meanwhile. */
const SETTLE_MS = 30_000

export const MODEL = 'tiny'

export interface Field {
  readonly lab: Lab
  readonly netlab: (...args: string[]) => void
  readonly on: (host: number) => string[]
  /** On its host, whose number is its place: the first is 1. */
  start(name: string, host: number, args?: readonly string[]): Promise<RealPeer>
  /** Another program in the place of bin/weft. */
  startProgram(name: string, host: number, program: string, args?: readonly string[]): Promise<RealPeer>
  /** What this host sends to the other goes to nobody and says nothing: no reset, no error. */
  deafen(host: number, other: number): void
  hear(host: number, other: number): void
  stop(): Promise<void>
}

let fields = 0

/** @param link as netlab takes it. @throws where there are no network namespaces */
export async function createField(hosts: number, link: readonly string[]): Promise<Field> {
  const { why, netlab, on } = netlabFor(`p${fields++}x`)
  if (why !== undefined) throw new Error(`there is no netlab: ${why}`)
  netlab('up', String(hosts), ...link)
  const lab = await createLab()
  const neighbour = (host: number, ...rest: string[]): void => {
    const [file = '', ...args] = [...on(host), 'ip', 'neigh', ...rest]
    execFileSync(file, args, { stdio: 'pipe' })
  }
  return {
    lab,
    netlab,
    on,
    start: (name, host, args = []) => lab.start(name, args, on(host)),
    startProgram: (name, host, program, args = []) => lab.startProgram(name, program, args, on(host)),
    deafen: (host, other) =>
      neighbour(host, 'replace', at(other), 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0', 'nud', 'permanent'),
    hear: (host, other) => neighbour(host, 'del', at(other), 'dev', 'eth0'),
    async stop() {
      await lab.stop()
      netlab('down')
    },
  }
}

export const at = (host: number): string => `10.77.0.${host}`

/**
 * The small model at one, its layers over others in runs of about equal length, embedding and head at the origin.
 * @param replicas each holds what the one at its place among the others does
 */
export async function spread(
  origin: RealPeer,
  over: readonly RealPeer[],
  replicas: readonly RealPeer[] = [],
): Promise<void> {
  await joined([origin, ...over])
  if (!(await origin.access.status()).models.some(({ model }) => model === MODEL))
    await origin.access.importModel({ source: TINY, name: MODEL }, () => undefined)
  await place(origin, over, replicas)
}

/** As `spread`, of a model that the mesh knows: each fetches its own part. */
export async function place(
  origin: RealPeer,
  over: readonly RealPeer[],
  replicas: readonly RealPeer[] = [],
): Promise<void> {
  const { blocks } = (await origin.access.manifest(MODEL)) as { readonly blocks: readonly unknown[] }
  const inner = blocks.length - 2
  const cut = (part: number): number => 1 + Math.round((inner * part) / over.length)
  const stages = over.map((peer, part) => [peer, cut(part), cut(part + 1)] as const)
  const whole = placement(MODEL, [[origin, 0, 1], ...stages, [origin, blocks.length - 1, blocks.length]])
  const spares = replicas.map((peer, part) => ({ peer: peer.id, from: cut(part), to: cut(part + 1) }))
  await origin.access.deploy(MODEL, { ...whole, ...(spares.length > 0 ? { replicas: spares } : {}) }, () => undefined)
}

/** Exact, once, and of those that were asked for all that are allowed to end. */
export function wholeAnswers(report: Report, tally: Tally): void {
  const { exact, different, torn, failed, ends } = tally
  report.measure(
    `${exact} answers exact, ${different} different, ${torn} torn, failed: ${listed(failed)}; the longest ${seconds(tally.longest)} s`,
  )
  for (const end of ends) report.measure(`one that failed: ${end}`)
  report.hold('an answer was given', exact > 0)
  report.hold(`every answer exact and every token once: ${different} differ, ${torn} are torn`, different + torn === 0)
  report.hold(`every answer ends with its text: ${listed(failed)}`, failed.size === 0)
}

export const seconds = (ms: number): string => (ms / 1000).toFixed(1)

/** @returns what it came to, milliseconds */
export async function elapsed(what: string, holds: () => Promise<boolean>, limit: number): Promise<number> {
  const started = clock.now()
  await until(what, holds, limit)
  return clock.now() - started
}

/** Milliseconds, or infinity where it did not come to it. */
export function elapsedOr(what: string, holds: () => Promise<boolean>, limit: number): Promise<number> {
  return elapsed(what, holds, limit).catch(() => Infinity)
}

/** Taken before anything was done to them, and held against afterwards. */
export function footprints(peers: readonly RealPeer[]): ReadonlyMap<number, Footprint> {
  return new Map(peers.map(({ pid }) => [pid, footprint(pid)]))
}

/**
 * What must hold of all peers after whatever was done: sessions freed, descriptors and memory as before, all agree on who is
 * there and on the placement, and nobody is blamed.
 * @param before of those processes that are still the same
 */
export async function settled(
  report: Report,
  peers: readonly RealPeer[],
  before: ReadonlyMap<number, Footprint>,
): Promise<void> {
  const agreed = await elapsedOr('all agree', () => agree(peers), CONVERGE_MS)
  report.measure(`all agree after ${seconds(agreed)} s`)
  report.hold(`all members agree on the placement and see each other within 30 s`, agreed < Infinity)
  const freed = await elapsedOr('the sessions are freed', () => allFreed(peers), SETTLE_MS)
  report.hold('the sessions of all peers are freed', freed < Infinity)
  const returned = (): Promise<string[]> => Promise.resolve(grown(before))
  const bounded = await elapsedOr('descriptors come back', async () => (await returned()).length === 0, SETTLE_MS)
  report.hold(`memory and descriptors come back: ${grown(before).join(', ')}`, bounded < Infinity)
  const blamed = (await Promise.all(peers.map((peer) => peer.access.status()))).flatMap(
    ({ quarantine }) => quarantine ?? [],
  )
  const bans = await Promise.all(peers.map((peer) => counter(peer, 'bans')))
  report.hold('nobody is blamed: no quarantine, no ban', blamed.length === 0 && bans.every((count) => count === 0))
}

function grown(before: ReadonlyMap<number, Footprint>): string[] {
  return [...before].flatMap(([pid, then]) => {
    const now = footprint(pid)
    const isMore = now.descriptors > then.descriptors * 1.1 + 4 || now.rss > then.rss * 1.1 + 64
    return isMore ? [`${then.rss} -> ${now.rss} MiB, ${then.descriptors} -> ${now.descriptors} descriptors`] : []
  })
}

async function allFreed(peers: readonly RealPeer[]): Promise<boolean> {
  const counts = await Promise.all(peers.map((peer) => peer.access.status()))
  return counts.every(({ counters }) => counters['sessions_opened'] === counters['sessions_freed'])
}

/** All see all others, the membership at the same epoch, and the same placements. */
async function agree(peers: readonly RealPeer[]): Promise<boolean> {
  const views = await Promise.all(peers.map((peer) => peer.access.status()))
  const told = views.map(({ cluster, placements, peers: known }, index) => {
    const others = peers.filter((_, place) => place !== index)
    const all = others.every(({ id }) => known.some((one) => one.id === id && one.state === 'connected'))
    const standing = (placements ?? []).map(({ digest, epoch, stages }) => ({ digest, epoch, stages }))
    return all ? JSON.stringify([cluster?.epoch, standing]) : String(index)
  })
  return new Set(told).size === 1
}
