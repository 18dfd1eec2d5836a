/** R6: a network that loses 5 % each way. TCP repairs it; nobody must be taken for dead, and nothing may come out wrong. */
import { readFileSync } from 'node:fs'
import { counter } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally, percentile } from '../support/cases.ts'
import type { Case, Tally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, footprints, MODEL, settled, spread, wholeAnswers } from './field.ts'
import type { Promised } from './report.ts'

const clock = systemClock()
/** Two users, since a line that loses packets holds up each by itself. */
const USERS = 2

export const loss: Promised = {
  id: 'R6',
  title: '5 % loss, 40 ms round trip',
  async run(report, isShort) {
    const requests = isShort ? 12 : 100
    const minutes = isShort ? 0.5 : 10
    const field = await createField(3, ['--rtt', '40'])
    try {
      const peers = await Promise.all([field.start('a', 1), field.start('b', 2), field.start('c', 3)])
      const [a, b, c] = peers
      await spread(a, [b, c])
      const random = seeded(6)
      const more = { speculate: 'off' } as const
      const cases = await casesOf(a, { model: MODEL, random, rows: [2, 64], tokens: [8, 24], more })
      const calm = newTally()
      await ask(a, cases, calm, Math.min(requests, 20), 0)
      const before = footprints(peers)
      const lost = await losses(peers)
      const again = resent(peers)
      for (const host of [1, 2, 3]) field.netlab('link', String(host), '--rtt', '40', '--loss', '2.5')
      const tally = newTally()
      await ask(a, cases, tally, requests, clock.now() + minutes * 60_000)
      const segments = resent(peers) - again
      report.inject(
        `2.5 % of the frames lost at each crossing of a host's link (5 % each way), 40 ms, for ${minutes} minutes`,
      )
      report.measure(`${segments} segments sent again by TCP`)
      report.hold('the loss was there: TCP sent segments again', segments > 0)
      wholeAnswers(report, tally)
      report.hold(`${requests} requests`, tally.exact >= requests)
      const limit = 3 * percentile(calm.pauses, 0.95) + 1000
      report.measure(`a token without loss: ${percentile(calm.pauses, 0.95).toFixed(0)} ms (95th percentile)`)
      report.atMost('a token, 95th percentile', Math.round(percentile(tally.pauses, 0.95)), Math.round(limit), 'ms')
      const taken = (await losses(peers)) - lost
      report.measure(`peers taken for lost: ${taken} times`)
      report.hold(`nobody is taken for lost: ${taken} times`, taken === 0)
      for (const host of [1, 2, 3]) field.netlab('link', String(host), '--rtt', '40')
      await settled(report, peers, before)
    } finally {
      await field.stop()
    }
  },
}

/** At least so many requests, and until then. */
async function ask(
  origin: RealPeer,
  cases: readonly Case[],
  tally: Tally,
  requests: number,
  end: number,
): Promise<void> {
  let left = requests
  const user = async (first: number): Promise<void> => {
    for (let turn = first; left-- > 0 || clock.now() < end; turn++)
      await askOne(origin, cases[turn % cases.length]!, tally)
  }
  await Promise.all(Array.from({ length: USERS }, (_, index) => user(index * 3)))
}

async function losses(peers: readonly RealPeer[]): Promise<number> {
  const counts = await Promise.all(peers.map((peer) => counter(peer, 'peers_lost')))
  return counts.reduce((sum, count) => sum + count, 0)
}

/** Segments that the hosts of these peers have sent again. */
export function resent(peers: readonly RealPeer[]): number {
  return peers.reduce((sum, { pid }) => {
    const [names = '', values = ''] = readFileSync(`/proc/${pid}/net/snmp`, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('Tcp:'))
    return sum + Number(values.split(' ')[names.split(' ').indexOf('RetransSegs')])
  }, 0)
}
