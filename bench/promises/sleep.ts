/** R23: a laptop that is shut, and opened again: all of its processes stand still, the network goes on. */
import { answer, greedy } from '../../test/integration/support.ts'
import type { Answer, RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, elapsedOr, footprints, MODEL, seconds, settled, spread, wholeAnswers } from './field.ts'
import { stopped } from './processes.ts'
import type { Promised } from './report.ts'

const clock = systemClock()
const REJOIN_MS = 15_000

export const sleep: Promised = {
  id: 'R23',
  title: 'a host that sleeps and wakes',
  async run(report, isShort) {
    // Longer than what counts as lost, and than sessions wait for an origin that has gone.
    const ms = isShort ? 12_000 : 600_000
    const field = await createField(3, ['--rtt', '4'])
    try {
      const [a, b, c] = await Promise.all([field.start('a', 1), field.start('b', 2), field.start('c', 3)])
      const peers = [a, b, c]
      await spread(a, [b, c])
      const more = { speculate: 'off', deadline: ms + 60_000 } as const
      const cases = await casesOf(a, { model: MODEL, random: seeded(23), count: 2, tokens: [120, 160], more })
      const tally = newTally()
      const before = footprints(peers)
      // One answer goes over the host that falls asleep, and one is its own.
      const own = answer(b, greedy(MODEL, 400, { speculate: 'off', deadline: 30_000 }))
      let asleep: readonly number[] = []
      const started = clock.now()
      const through = askOne(a, cases[0]!, tally, (count) => {
        if (count === 20) asleep = stopped(b)
      })
      const got = await through
      report.hold('the answer was under way when it fell asleep', asleep.length > 0)
      while (clock.now() - started < ms) {
        await askOne(a, cases[1]!, tally)
        await clock.sleep(1_000)
      }
      // Its own answer went over the others, which wait for it until it counts as lost, half a minute where nobody watches it.
      if (!isShort) report.hold('nobody holds sessions of it any more', (await isFree(a)) && (await isFree(c)))
      const [fenced, refused] = await late(a)
      report.inject(`all ${asleep.length} processes of a host stopped for ${seconds(ms)} s in mid-answer, then woken`)
      for (const pid of asleep) process.kill(pid, 'SIGCONT')
      const joinedAgain = await elapsedOr('it has joined again', () => seesAll(peers), 60_000)
      report.atMost('until all see each other again', joinedAgain / 1000, REJOIN_MS / 1000, 's')
      const freed = await elapsedOr('its old sessions are gone', () => isFree(b), 60_000)
      report.measure(`its old sessions are gone after ${seconds(freed)} s more`)
      report.hold('its old sessions are gone', freed < Infinity)
      const ended = await own
      report.hold('its own answer has ended, whole or with a code', isEnded(ended))
      await askOne(a, cases[0]!, tally)
      await askOne(b, cases[1]!, tally)
      wholeAnswers(report, tally)
      report.hold(
        'the way of a failover was taken',
        got.reroutes.some(({ lost }) => lost.includes(b.id)),
      )
      const [fencedNow, refusedNow] = await late(a)
      report.measure(
        `${tally.failovers} stages replaced; ${fencedNow - fenced + refusedNow - refused} late frames fenced or refused at the origin`,
      )
      await settled(report, peers, before)
    } finally {
      await field.stop()
    }
  },
}

async function seesAll(peers: readonly RealPeer[]): Promise<boolean> {
  const views = await Promise.all(peers.map((peer) => peer.access.status()))
  return views.every(
    ({ peers: known }) => known.filter(({ state }) => state === 'connected').length === peers.length - 1,
  )
}

async function isFree(peer: RealPeer): Promise<boolean> {
  const { counters } = await peer.access.status()
  return counters['sessions_opened'] === counters['sessions_freed']
}

async function late(origin: RealPeer): Promise<readonly [fenced: number, refused: number]> {
  const { counters } = await origin.access.status()
  return [counters['frames_fenced'] ?? 0, counters['frames_refused'] ?? 0]
}

function isEnded({ end, error }: Answer): boolean {
  return end !== undefined || (typeof error === 'object' && error !== null && 'code' in error)
}
