/**
 * R6: a network that loses 5 % each way. TCP repairs it; nobody must be taken for dead, and nothing may come out wrong. And
 * R3 there: who is cut off is known as soon as anywhere.
 */
import { readFileSync } from 'node:fs'
import { counter, joined } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally, percentile } from '../support/cases.ts'
import type { Case, Tally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, elapsedOr, footprints, MODEL, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
/** Two users, since a line that loses packets holds up each by itself. */
const USERS = 2
const DETECT_MS = 2_500
const LOSSY = ['--rtt', '40', '--loss', '2.5'] as const
/** 19 % each way: here one beat in some 50 is later than a watched peer may be. */
const WORSE = ['--rtt', '40', '--loss', '10'] as const
const WORSE_MS = 240_000

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
      for (const host of [1, 2, 3]) field.netlab('link', String(host), ...LOSSY)
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
      await cutOff(report, field, peers, cases, isShort ? 1 : 5)
      await overSecond(report, field, peers, cases)
      for (const host of [1, 2, 3]) field.netlab('link', String(host), '--rtt', '40')
      await joined(peers)
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

/**
 * Beats came in time over the second way alone. On the line of the promise they are seldom, and may be none in a short run: then
 * on one that loses more, of which nothing else is promised.
 */
async function overSecond(
  report: Report,
  field: Field,
  peers: readonly [RealPeer, RealPeer, RealPeer],
  cases: readonly Case[],
): Promise<void> {
  const [a] = peers
  const came = (): Promise<number> => total(peers, 'heartbeats_second')
  const before = await came()
  report.measure(`${before} heart-beats came in time over the second way alone`)
  if (before > 0) return
  for (const host of [1, 2, 3]) field.netlab('link', String(host), ...WORSE)
  const tally = newTally()
  const end = clock.now() + WORSE_MS
  for (let turn = 0; clock.now() < end && (await came()) === 0; turn++)
    await askOne(a, cases[turn % cases.length]!, tally)
  report.inject('10 % of the frames lost at each crossing, until a heart-beat came over the second way alone')
  report.hold('a heart-beat came in time over the second way alone', (await came()) > 0)
  report.hold(`none of these answers differs: ${tally.different} do`, tally.different + tally.torn === 0)
}

/** The first of two hosts that compute is cut off in mid-answer, on the line as it is, and comes back. */
async function cutOff(
  report: Report,
  field: Field,
  peers: readonly [RealPeer, RealPeer, RealPeer],
  cases: readonly Case[],
  times: number,
): Promise<void> {
  const [a, b, c] = peers
  const tally = newTally()
  const found: number[] = []
  for (let time = 0; time < times; time++) {
    let known: Promise<number> | undefined
    const got = await askOne(a, cases[time % cases.length]!, tally, (count) => {
      if (count !== 4) return
      field.netlab('link', '2', '--rtt', '40', '--loss', '100')
      const isGone = async (): Promise<boolean> =>
        !(await a.access.status()).peers.some(({ id, state }) => id === b.id && state === 'connected')
      known = elapsedOr('the host that was cut off is known to be', isGone, 30_000)
    })
    found.push((await known) ?? Infinity)
    report.hold('the way of a failover was taken', got.reroutes.length > 0)
    field.netlab('link', '2', ...LOSSY)
    await spread(a, [b, c])
  }
  report.inject(`a host cut off without a reset in mid-answer, on the line that loses packets, ${times} times`)
  report.hold(`${times} answers exact`, tally.exact === times)
  report.atMost('until it was known, at most', Math.max(...found) / 1000, DETECT_MS / 1000, 's')
}

const losses = (peers: readonly RealPeer[]): Promise<number> => total(peers, 'peers_lost')

async function total(peers: readonly RealPeer[], name: string): Promise<number> {
  const counts = await Promise.all(peers.map((peer) => counter(peer, name)))
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
