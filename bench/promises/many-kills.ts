/** Fifty kills in a row, each of whoever computes for an answer: the origin is afterwards what it was before. */
import { endProcess, joined } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { askOne, casesOf, newTally, percentile } from '../support/cases.ts'
import type { Case, Tally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, MODEL, seconds, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import { noLeak, rest, WATCHED } from './resources.ts'
import type { Promised } from './report.ts'

const KILLS = 50
const FEW = 6
const TOKEN = 15
const NAMES = ['b', 'c'] as const
/** Layers have no room there: each answer needs one of the others. */
const ORIGIN = '3MB'

export const manyKills: Promised = {
  id: 'KILLS',
  title: 'fifty kills in a row leave memory, sockets and timers where they were',
  async run(report, isShort) {
    const field = await createField(NAMES.length + 1, ['--rtt', '2'])
    try {
      const a = await field.startProgram('a', 1, WATCHED, ['--memory', ORIGIN])
      const peers = await Promise.all(NAMES.map((name, index) => field.start(name, index + 2)))
      await joined([a, ...peers])
      await spread(a, [peers[0]!], [peers[1]!])
      const more = { speculate: 'off' } as const
      const cases = await casesOf(peers[0]!, { model: MODEL, random: seeded(50), count: 3, tokens: [60, 90], more })
      const tally = newTally()
      const kill = (time: number): Promise<void> => killOne(field, a, peers, cases[time % cases.length]!, tally)
      // Ways to both, and what is kept of them.
      for (const time of [0, 1]) await kill(time)
      const held = await rest(a, cases)
      const kills = isShort ? FEW : KILLS
      for (let time = 0; time < kills; time++) await kill(time)
      report.inject(`${kills} kills after two, at token ${TOKEN} of an answer each`)
      wholeAnswers(report, tally)
      report.hold(`each was recovered from: ${tally.failovers} stages replaced`, tally.failovers >= kills + 2)
      report.measure(`the longest silence of a token ${seconds(percentile(tally.pauses, 1))} s`)
      await settled(report, [a, ...peers], new Map())
      await noLeak(report, a, cases, held, 0)
    } finally {
      await field.stop()
    }
  },
}

/** Whoever computes for this answer, in the middle of it; it is there again afterwards. */
async function killOne(field: Field, a: RealPeer, peers: RealPeer[], asked: Case, tally: Tally): Promise<void> {
  const route: string[] = []
  let killed: number | undefined
  const onToken = (count: number): void => {
    if (count !== TOKEN) return
    killed = peers.findIndex(({ id }) => route.includes(id))
    peers[killed]?.child.kill('SIGKILL')
  }
  await askOne(a, asked, tally, onToken, (event) => {
    if (event.type === 'start') route.push(...event.route.map(({ peer }) => peer))
  })
  const victim = killed === undefined ? undefined : peers[killed]
  if (killed === undefined || victim === undefined) throw new Error('no answer went over another peer')
  await endProcess(victim.child)
  peers[killed] = await field.start(NAMES[killed]!, killed + 2)
  await joined([a, ...peers])
}
