/** What a peer's process holds open: told by itself, since nobody sees timers and channels from outside. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { answer, until } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import type { Case } from '../support/cases.ts'
import { footprint } from '../support/footprint.ts'
import type { Report } from './report.ts'

const clock = systemClock()

/** The program of a peer that writes it to a file of its home when it gets SIGUSR2. */
export const WATCHED: string = fileURLToPath(new URL('watched-peer.ts', import.meta.url))
export const HELD = 'held.json'

export interface Held {
  /** TCP connections and listeners. */
  readonly sockets: number
  readonly timers: number
  /** Channels between peers that are open. */
  readonly streams: number
}

/** The least of a few looks: a heartbeat may be under way. */
export async function heldBy(peer: RealPeer): Promise<Held> {
  const looks = [await look(peer), await look(peer), await look(peer)]
  const least = (of: keyof Held): number => Math.min(...looks.map((one) => one[of]))
  return { sockets: least('sockets'), timers: least('timers'), streams: least('streams') }
}

async function look(peer: RealPeer): Promise<Held> {
  const path = join(peer.home, HELD)
  rmSync(path, { force: true })
  process.kill(peer.pid, 'SIGUSR2')
  let told: Held | undefined
  await until('it has told', () => {
    try {
      told = JSON.parse(readFileSync(path, 'utf8')) as Held
    } catch {
      return false
    }
    return true
  })
  return told!
}

export interface Rest extends Held {
  readonly rss: number
}

/** What the origin holds when nothing is under way, a while after the last answer. */
export async function rest(a: RealPeer, cases: readonly Case[]): Promise<Rest> {
  for (const { request } of cases) {
    const { error } = await answer(a, request)
    if (error !== undefined) throw error
  }
  await clock.sleep(6_000)
  return { ...(await heldBy(a)), rss: footprint(a.pid).rss }
}

/** @param moreMib that may be kept beyond a tenth and 64 MiB, for the time that has passed */
export async function noLeak(
  report: Report,
  a: RealPeer,
  cases: readonly Case[],
  before: Rest,
  moreMib: number,
): Promise<void> {
  let now = await rest(a, cases)
  const isMore = (): boolean =>
    now.sockets > before.sockets || now.timers > before.timers + 2 || now.streams > before.streams
  // A connection that a fault has left half open ends by itself.
  await until(
    'nothing is left over',
    async () => {
      if (isMore()) now = await rest(a, cases)
      return !isMore()
    },
    90_000,
  ).catch(() => undefined)
  report.measure(
    `the origin at rest, before and after: ${before.sockets} -> ${now.sockets} sockets, ${before.timers} -> ${now.timers} timers, ` +
      `${before.streams} -> ${now.streams} channels, ${before.rss} -> ${now.rss} MiB`,
  )
  report.hold('no socket, timer or channel is left over', !isMore())
  const limit = before.rss * 0.1 + 64 + moreMib
  report.hold(`memory: ${now.rss - before.rss} MiB more, ${limit.toFixed(0)} at most`, now.rss - before.rss <= limit)
}
