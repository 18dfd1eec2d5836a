/** R15: peers come and go every three seconds, twenty answers at a time, for ten minutes. */
import { endProcess, joined } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { add, casesOf, listed, newTally, use } from '../support/cases.ts'
import { footprint } from '../support/footprint.ts'
import { seeded } from '../support/random.ts'
import { createField, MODEL, seconds, settled, spread } from './field.ts'
import type { Field } from './field.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
const NAMES = ['b', 'c', 'd', 'e', 'f'] as const
const USERS = 20
const EVERY_MS = 3_000
const COMPLETE = 0.995
/** Mebibytes a minute. */
const SLOPE_MIB = 1
/** Peers that stay at any time, so that somebody has the weights and a way. */
const LEAST = 3
/** The first minute fills what is bounded: caches, kept rows, compiled code. */
const WARM_MS = 60_000
/** Complete, not fast, is what is promised: twenty share what the machine has. */
const DEADLINE_MS = 300_000
/** Not all layers have room there. */
const ORIGIN = '6MB'

export const churn: Promised = {
  id: 'R15',
  title: 'churn: a peer joins or leaves every three seconds under twenty users',
  async run(report, isShort, minutes) {
    const ms = (minutes ?? (isShort ? 1 : 10)) * 60_000
    const field = await createField(NAMES.length + 1, ['--rtt', '4'])
    try {
      const a = await field.start('a', 1, ['--memory', ORIGIN])
      const peers = new Map<string, RealPeer>()
      for (const [index, name] of NAMES.entries()) peers.set(name, await field.start(name, index + 2))
      await joined([a, ...peers.values()])
      await spread(a, [...peers.values()].slice(0, 3))
      const random = seeded(15)
      const cases = await casesOf(a, { model: MODEL, random, deadline: DEADLINE_MS })
      const tally = newTally()
      const end = clock.now() + ms
      const memory: (readonly [minute: number, mib: number])[] = []
      await Promise.all([
        ...Array.from({ length: USERS }, () => use(a, cases, tally, end, random)),
        comeAndGo(field, peers, tally.faults, end, random),
        watch(a, memory, end),
      ])
      report.inject(`${listed(tally.faults)} for ${seconds(ms)} s under ${USERS} users`)
      judge(report, tally, memory, isShort)
      await joined([a, ...peers.values()])
      await settled(report, [a, ...peers.values()], new Map())
    } finally {
      await field.stop()
    }
  },
}

function judge(
  report: Report,
  { exact, different, torn, failed, ends, longest, failovers, replayed }: ReturnType<typeof newTally>,
  memory: readonly (readonly [minute: number, mib: number])[],
  isShort: boolean,
): void {
  const all = exact + different + ends.length
  report.measure(`${exact} of ${all} answers exact, failed: ${listed(failed)}; the longest ${seconds(longest)} s`)
  for (const end of ends) report.measure(`one that failed: ${end}`)
  report.measure(`${failovers} stages replaced, ${replayed} rows fed again`)
  report.hold(
    `every answer that ends is exact and every token once: ${different} differ, ${torn} are torn`,
    different + torn === 0,
  )
  report.hold('an answer was given', exact > 0)
  report.hold('the way of a failover was taken', failovers > 0)
  report.hold(`each has ended: ${all}`, all > 0)
  report.atLeast('answers that are complete', all === 0 ? 0 : exact / all, COMPLETE, 'of all')
  if (!isShort) report.atMost('memory of the origin', slope(memory), SLOPE_MIB, 'MiB a minute more')
}

async function comeAndGo(
  field: Field,
  peers: Map<string, RealPeer>,
  faults: Map<string, number>,
  end: number,
  random: () => number,
): Promise<void> {
  const [away, moving] = [new Set<string>(), new Map<string, Promise<void>>()]
  const move = (name: string, task: Promise<void>): unknown =>
    moving.set(
      name,
      task.finally(() => moving.delete(name)),
    )
  while (clock.now() < end) {
    await clock.sleep(EVERY_MS)
    const still = NAMES.filter((name) => !moving.has(name))
    const [out, there] = [still.filter((name) => away.has(name)), still.filter((name) => !away.has(name))]
    const pool = there.length > LEAST && (out.length === 0 || random() < 0.5) ? there : out
    const name = pool[Math.floor(random() * pool.length)]
    if (name === undefined) continue
    if (pool === out) {
      add(faults, 'joins')
      away.delete(name)
      move(name, come(field, peers, name))
    } else {
      const signal = random() < 0.5 ? 'SIGKILL' : 'SIGTERM'
      add(faults, signal === 'SIGKILL' ? 'kills' : 'leaves')
      away.add(name)
      peers.get(name)!.child.kill(signal)
      move(name, endProcess(peers.get(name)!.child))
    }
  }
  await Promise.all(moving.values())
  for (const name of away) await come(field, peers, name)
}

async function come(field: Field, peers: Map<string, RealPeer>, name: string): Promise<void> {
  const host = NAMES.findIndex((one) => one === name) + 2
  peers.set(name, await field.start(name, host))
}

async function watch({ pid }: RealPeer, memory: (readonly [number, number])[], end: number): Promise<void> {
  const began = clock.now()
  while (clock.now() < end) {
    await clock.sleep(5_000)
    if (clock.now() - began > WARM_MS) memory.push([(clock.now() - began) / 60_000, footprint(pid).rss])
  }
}

/** Of the straight line nearest to all, a minute. */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (of: 0 | 1): number => points.reduce((sum, point) => sum + point[of], 0) / points.length
  const [minute, mib] = [mean(0), mean(1)]
  const rise = points.reduce((sum, [x, y]) => sum + (x - minute) * (y - mib), 0)
  return rise / points.reduce((sum, [x]) => sum + (x - minute) ** 2, 0)
}
