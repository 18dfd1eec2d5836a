/**
 * R21: for an hour (a minute in the sampled version) whatever comes, at random from a seed: kills, slow peers, a
 * network that loses packets, peers that join and leave. Afterwards everything is as it was.
 */
import { endProcess, joined } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { add, casesOf, listed, newTally, use } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, MODEL, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import type { Promised } from './report.ts'
import { noLeak, rest, WATCHED } from './resources.ts'

const clock = systemClock()
const USERS = 4
/** Not all layers have room there: the others stay in use. */
const ORIGIN = '6MB'
const NAMES = ['b', 'c', 'd', 'e'] as const
const FAULTS = ['kill', 'host', 'leave', 'loss', 'rate'] as const
type Fault = (typeof FAULTS)[number]
const LINK = ['--rtt', '10'] as const
/** Mebibytes an hour: what is kept of answers is bounded, and fills at first. */
const SLOPE_MIB = 60

export const soak: Promised = {
  id: 'R21',
  title: 'soak: kills, slow links, loss and churn at random',
  async run(report, isShort, minutes) {
    const ms = (minutes ?? (isShort ? 1 : 60)) * 60_000
    const field = await createField(NAMES.length + 1, LINK)
    try {
      const a = await field.startProgram('a', 1, WATCHED, ['--memory', ORIGIN])
      const peers = new Map<string, RealPeer>()
      for (const [index, name] of NAMES.entries()) peers.set(name, await field.start(name, index + 2))
      await joined([a, ...peers.values()])
      await spread(a, [...peers.values()].slice(0, 3))
      const random = seeded(21)
      const cases = await casesOf(a, { model: MODEL, random, deadline: 60_000 })
      const held = await rest(a, cases)
      const tally = newTally()
      const end = clock.now() + ms
      await Promise.all([
        ...Array.from({ length: USERS }, () => use(a, cases, tally, end, random)),
        disturb(field, peers, tally.faults, end, random),
      ])
      report.inject(`${listed(tally.faults)}, at random for ${ms / 1000} s under ${USERS} users`)
      report.hold(
        'every kind of fault fired',
        FAULTS.every((fault) => tally.faults.has(fault)),
      )
      wholeAnswers(report, tally)
      report.measure(`${tally.failovers} stages replaced, ${tally.replayed} rows fed again`)
      report.hold('the way of a failover was taken', tally.failovers > 0)
      await settled(report, [a, ...peers.values()], new Map())
      await noLeak(report, a, cases, held, (SLOPE_MIB * ms) / 3_600_000)
    } finally {
      await field.stop()
    }
  },
}

async function disturb(
  field: Field,
  peers: Map<string, RealPeer>,
  faults: Map<string, number>,
  end: number,
  random: () => number,
): Promise<void> {
  const busy = new Map<string, Promise<void>>()
  let next = 0
  while (clock.now() < end) {
    await clock.sleep(1_500 + random() * 3_000)
    const free = NAMES.filter((name) => !busy.has(name))
    const name = free[Math.floor(random() * free.length)]
    // Two stay as they are, so that somebody has the weights and a way.
    if (name === undefined || free.length < 3) continue
    const fault = next < FAULTS.length ? FAULTS[next++]! : FAULTS[Math.floor(random() * FAULTS.length)]!
    add(faults, fault)
    const task = inflict(field, peers, name, fault, 1_000 + random() * 6_000).finally(() => busy.delete(name))
    busy.set(name, task)
  }
  await Promise.all(busy.values())
}

async function inflict(
  field: Field,
  peers: Map<string, RealPeer>,
  name: string,
  fault: Fault,
  ms: number,
): Promise<void> {
  const host = NAMES.findIndex((one) => one === name) + 2
  const peer = peers.get(name)!
  if (fault === 'host') {
    const { stages } = await peer.access.status()
    const own = stages.find((stage) => stage.peer === peer.id && stage.state === 'ready')
    if (own !== undefined) process.kill(own.pid, 'SIGKILL')
    return
  }
  if (fault === 'loss' || fault === 'rate') {
    field.netlab('link', String(host), ...LINK, ...(fault === 'loss' ? ['--loss', '2.5'] : ['--rate', '1']))
    await clock.sleep(ms)
    field.netlab('link', String(host), ...LINK)
    return
  }
  if (fault === 'kill') peer.child.kill('SIGKILL')
  await endProcess(peer.child)
  await clock.sleep(ms)
  peers.set(name, await field.start(name, host))
}
