/**
 * R22: the direct way between two members goes in the middle of an answer, and comes back; a third carries them meanwhile, and
 * carries nobody who was removed.
 */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { counter, endProcess, until } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally } from '../support/cases.ts'
import type { Case, Tally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { at, createField, elapsedOr, footprints, MODEL, seconds, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import { foundCluster } from './members.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
/** By the place of its host: who asks, who computes, who carries, who is removed. */
const NAMES = ['a', 'b', 'r', 'x'] as const
const [ASKS, COMPUTES, CARRIES, REMOVED] = [1, 2, 3, 4] as const
const TIMES = 5
const FEW = 2
const RELAYED_MS = 10_000
/** Nothing is promised of the way back but that it is taken. */
const BACK_MS = 60_000
const REFUSED_MS = 5_000
/** In which somebody who is refused would have got in. */
const TRIES_MS = 4_000
/** What a home knows of its cluster and of the others. */
const STATE = ['cluster', 'keys', 'peers', 'state'] as const

export const relayed: Promised = {
  id: 'R22',
  title: 'a direct way that goes in mid-answer, and comes back',
  async run(report, isShort) {
    const field = await createField(NAMES.length, ['--rtt', '4'])
    try {
      const peers = await foundCluster(field, NAMES)
      const [a, b, r, x] = peers as [RealPeer, RealPeer, RealPeer, RealPeer]
      await spread(a, [b])
      const more = { speculate: 'off' } as const
      const cases = await casesOf(a, { model: MODEL, random: seeded(22), count: 2, tokens: [120, 160], more })
      const tally = newTally()
      await askOne(a, cases[0]!, tally)
      const before = footprints([a, b, r])
      const times = isShort ? FEW : TIMES
      for (let time = 0; time < times; time++) await goneAndBack(report, field, [a, b, r], cases, tally)
      report.inject(
        `the direct way between who asks and who computes was cut without a sign in mid-answer, ${times} times`,
      )
      report.measure(`${tally.failovers} stages replaced, ${tally.replayed} rows fed again`)
      await removedOne(report, field, [a, r, x])
      await askOne(a, cases[1]!, tally)
      wholeAnswers(report, tally)
      await settled(report, [a, b, r], before)
    } finally {
      await field.stop()
    }
  },
}

async function goneAndBack(
  report: Report,
  field: Field,
  [a, b, r]: readonly [RealPeer, RealPeer, RealPeer],
  cases: readonly Case[],
  tally: Tally,
): Promise<void> {
  const carried = await counter(r, 'relay_bytes')
  const both = async (path: 'direct' | 'relayed'): Promise<boolean> =>
    (await pathTo(a, b)) === path && (await pathTo(b, a)) === path
  let onRelay: Promise<number> | undefined
  let cutAt = Infinity
  await askOne(a, cases[0]!, tally, (count) => {
    if (count !== 20) return
    field.deafen(ASKS, COMPUTES)
    field.deafen(COMPUTES, ASKS)
    cutAt = clock.now()
    onRelay = elapsedOr('both are reached through the third', () => both('relayed'), 60_000)
  })
  report.hold('the answer was under way when the way went', cutAt < Infinity)
  const fell = (await onRelay) ?? Infinity
  const silence = Math.max(0, ...tally.pauses.slice(1 - cases[0]!.ids.split(',').length))
  report.measure(`the longest silence of that answer: ${seconds(silence)} s`)
  report.atMost('until both are on the relay', fell / 1000, RELAYED_MS / 1000, 's')
  await askOne(a, cases[1]!, tally)
  report.hold('the relay carried it', (await counter(r, 'relay_bytes')) > carried)
  field.hear(ASKS, COMPUTES)
  field.hear(COMPUTES, ASKS)
  const back = await elapsedOr('both are on the direct way again', () => both('direct'), BACK_MS)
  report.measure(`on the direct way again after ${seconds(back)} s`)
  report.hold('it returns to the direct way', back < Infinity)
  await spread(a, [b])
}

/** One whose only way to the admin is the relay is removed, and comes again with what its home was before. */
async function removedOne(
  report: Report,
  field: Field,
  [a, r, x]: readonly [RealPeer, RealPeer, RealPeer],
): Promise<void> {
  for (const host of [ASKS, COMPUTES]) {
    field.deafen(host, REMOVED)
    field.deafen(REMOVED, host)
  }
  await until('it is reached through the relay', async () => (await pathTo(a, x)) === 'relayed', BACK_MS)
  const older = `${NAMES[REMOVED - 1]}-old`
  for (const folder of STATE)
    await cp(join(field.lab.home(NAMES[REMOVED - 1]!), folder), join(field.lab.home(older), folder), {
      recursive: true,
    })
  await a.access.cluster({ do: 'revoke', peer: x.id, reason: 'lost' })
  const isOut = async (): Promise<boolean> => (await pathTo(a, x)) === undefined && (await pathTo(r, x)) === undefined
  const cut = await elapsedOr('nobody is connected to it', isOut, 60_000)
  report.atMost('until who was removed is cut off, behind the relay too', cut / 1000, REFUSED_MS / 1000, 's')
  await endProcess(x.child)
  const refused = await counter(r, 'members_refused')
  const again = await field.start(older, REMOVED, ['--bootstrap', addressOn(CARRIES, r)])
  const turnedAway = async (): Promise<boolean> => (await counter(r, 'members_refused')) > refused
  report.hold(
    'the relay refuses who was removed and does not know it',
    (await elapsedOr('it is refused', turnedAway, 30_000)) < Infinity,
  )
  await clock.sleep(TRIES_MS)
  report.hold('nobody has let it in, nor was it carried', await isOut())
  report.inject('a member that only the relay reaches was removed, and came again with its home of before')
  await endProcess(again.child)
}

/** By which others on its network dial it. */
function addressOn(host: number, { addresses }: RealPeer): string {
  return addresses.find((each) => each.includes(`/${at(host)}/`)) ?? addresses[0]!
}

async function pathTo(one: RealPeer, other: RealPeer): Promise<'direct' | 'relayed' | undefined> {
  const { peers } = await one.access.status()
  const found = peers.find(({ id, state }) => id === other.id && state === 'connected')
  return found?.link?.path
}
