/**
 * R4: five members, of which two and three do not see each other for half a minute, and two of them that hear each other one
 * way. A member that was removed meanwhile is known to be so by all soon after.
 */
import { answer, codeOf, joined } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally } from '../support/cases.ts'
import type { Case, Tally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, elapsedOr, footprints, MODEL, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import { foundCluster } from './members.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
const NAMES = ['a', 'b', 'c', 'd', 'e'] as const
/** Hosts, by number. */
const FULL = [1, 2, 3]
const OTHER = [4, 5]
const REFUSED_MS = 5_000
const HEALED_MS = 10_000
const DOWN_MS = 5_000

export const partition: Promised = {
  id: 'R4',
  title: 'partition 2|3, and one-way',
  async run(report, isShort) {
    const ms = isShort ? 12_000 : 30_000
    const field = await createField(NAMES.length, ['--rtt', '4'])
    try {
      const peers = await foundCluster(field, NAMES)
      await spread(peers[0]!, peers.slice(1, 3))
      const more = { speculate: 'off' } as const
      const cases = await casesOf(peers[0]!, { model: MODEL, random: seeded(4), count: 3, more })
      const tally = newTally()
      const before = footprints(peers)
      await split(report, field, peers, cases, tally, ms)
      const [a, b, c] = peers as [RealPeer, RealPeer, RealPeer]
      await oneWay(report, field, [a, b, c], cases, tally)
      wholeAnswers(report, tally)
      // The fifth was removed.
      await settled(report, peers.slice(0, 4), new Map([...before].filter(([pid]) => pid !== peers[4]!.pid)))
    } finally {
      await field.stop()
    }
  },
}

async function split(
  report: Report,
  field: Field,
  peers: readonly RealPeer[],
  cases: readonly Case[],
  tally: Tally,
  ms: number,
): Promise<void> {
  const [a, , , d, e] = peers as [RealPeer, RealPeer, RealPeer, RealPeer, RealPeer]
  const pairs = FULL.flatMap((one) => OTHER.flatMap((other) => [[one, other] as const, [other, one] as const]))
  for (const pair of pairs) field.deafen(...pair)
  report.inject(`hosts 1 to 3 and hosts 4 and 5 did not see each other for ${ms / 1000} s; no reset, no error`)
  const end = clock.now() + ms
  // The side that has no stage: an error with a code, soon.
  const told = refusal(d, cases[0]!)
  await a.access.cluster({ do: 'revoke', peer: e.id, reason: 'lost' })
  const full = newTally()
  while (clock.now() < end) await askOne(a, cases[full.exact % cases.length]!, full)
  report.measure(`${full.exact} answers on the side with all stages`)
  wholeAnswers(report, full)
  const { code, ms: toldMs } = await told
  report.hold(`the side without a stage is told so: ${code}`, code.startsWith('WEFT-'))
  report.atMost(`until the side without a stage is told (${code})`, toldMs / 1000, REFUSED_MS / 1000, 's')
  for (const pair of pairs) field.hear(...pair)
  const epochs = async (): Promise<boolean> => {
    const views = await Promise.all(peers.slice(0, 4).map((peer) => peer.access.status()))
    return new Set(views.map(({ cluster }) => cluster?.epoch)).size === 1
  }
  const roster = await elapsedOr('the removal is known to all', epochs, 60_000)
  report.atMost('after the heal, until all know who was removed', roster / 1000, HEALED_MS / 1000, 's')
  const cut = async (): Promise<boolean> => {
    const views = await Promise.all(peers.slice(0, 4).map((peer) => peer.access.status()))
    return views.every(({ peers: known }) => !known.some(({ id, state }) => id === e.id && state === 'connected'))
  }
  report.hold('nobody speaks to the removed one', (await elapsedOr('it is cut off', cut, HEALED_MS)) < Infinity)
  await joined(peers.slice(0, 4))
  const again = newTally()
  await askOne(d, cases[1]!, again)
  report.hold('the other side is served again', again.exact === 1)
  tally.exact += again.exact
}

async function refusal(origin: RealPeer, { request }: Case): Promise<{ readonly code: string; readonly ms: number }> {
  const started = clock.now()
  const { deadline: _, ...asked } = request
  const { error } = await answer(origin, asked)
  return { code: codeOf(error), ms: clock.now() - started }
}

/** What the second sends to the third is lost; the third is heard. Both are down for each other. */
async function oneWay(
  report: Report,
  field: Field,
  peers: readonly [RealPeer, RealPeer, RealPeer],
  cases: readonly Case[],
  tally: Tally,
): Promise<void> {
  const [a, b, c] = peers
  let cutAt = 0
  const sees = async (one: RealPeer, other: RealPeer): Promise<boolean> =>
    (await one.access.status()).peers.some(
      ({ id, state, link }) => id === other.id && state === 'connected' && link?.path === 'direct',
    )
  let down: Promise<number> | undefined
  const got = await askOne(a, cases[2]!, tally, (count) => {
    if (count !== 10) return
    field.deafen(2, 3)
    cutAt = clock.now()
    const areDown = async (): Promise<boolean> => !(await sees(b, c)) && !(await sees(c, b))
    down = elapsedOr('neither uses the direct way', areDown, 60_000)
  })
  report.inject('what host 2 sends to host 3 was lost, in mid-answer; host 3 was heard')
  report.hold('an answer was under way', cutAt > 0)
  report.hold('the way of a failover was taken', got.reroutes.length > 0)
  report.atMost('until both hold the direct way for down', ((await down) ?? Infinity) / 1000, DOWN_MS / 1000, 's')
  report.measure(`${tally.failovers} stages replaced, ${tally.replayed} rows fed again`)
  field.hear(2, 3)
  await joined(peers)
}
