/** What a member hears of whom a round waits for: of members of the job alone, until anything else is said. */
import { expect, test } from 'vitest'
import { pipePair } from '../../src/federated/index.ts'
import { ToldWait } from '../../src/federated/rounds/told-wait.ts'
import { systemClock } from '../../src/util/index.ts'

test('those who are missing are told with since when and why, others than members never, and none once it goes on', async () => {
  let at = 0
  const clock = { ...systemClock(), now: () => at }
  const [aggregator, member] = pipePair(clock, 'aggregator', 'member')
  const told = new ToldWait(clock, ['a', 'b', 'c'])
  const pipe = told.heardOn(member)
  const hear = async (kind: string, body: object): Promise<unknown> => {
    await aggregator.send(kind, body)
    expect((await pipe.next(1000)).kind).toBe(kind)
    return told.waiting
  }
  expect(told.waiting).toBeUndefined()
  expect(await hear('wait', { why: 'slow', peers: ['b', 'stranger'] })).toEqual({ since: 0, peers: ['b'], why: 'slow' })
  at = 500
  // The same one goes on to be missing, for another reason; then another is.
  expect(await hear('wait', { why: 'gone', peers: ['b'] })).toEqual({ since: 0, peers: ['b'], why: 'gone' })
  expect(await hear('wait', { why: 'gone', peers: ['c'] })).toEqual({ since: 500, peers: ['c'], why: 'gone' })
  expect(await hear('wait', { why: 'gone', peers: 7 })).toBeUndefined()
  expect(await hear('wait', { why: 'slow', peers: ['a'] })).toEqual({ since: 500, peers: ['a'], why: 'slow' })
  expect(await hear('roster', { entries: [] })).toBeUndefined()
  expect(await hear('wait', { why: 'others are on their way', peers: [] })).toBeUndefined()
})
