/** What keeps a mesh of a thousand from drowning in its own records: copies are known unread, and digests have their turn. */
import { expect, it } from 'vitest'
import { createIntake } from '../../src/mesh/intake.ts'
import { RecordBook } from '../../src/mesh/record-book.ts'
import { sealRecord } from '../../src/mesh/records.ts'
import { createTurns } from '../../src/mesh/turns.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { profile } from './support/make-mesh.ts'
import { virtualClock } from './support/virtual-clock.ts'

const author = newIdentity()

it('a copy is known by its bytes, and only the very same bytes are; what was replaced or dropped is not', async () => {
  const clock = virtualClock()
  const book = new RecordBook({ clock, isNear: () => false, changed: () => undefined })
  const intake = createIntake({
    self: 'self',
    clock,
    book,
    membership: { epoch: 0, admits: () => true, isRemoved: () => false },
  })
  const body = { ...profile('a'), addresses: [] }
  const seal = async (version: number): Promise<Uint8Array> =>
    (await sealRecord(author, { kind: 'profile', key: '', version, body })).bytes
  const [first, second] = [await seal(clock.wall()), await seal(clock.wall() + 1)]
  expect(intake.offer(first, 0, author.id)).toMatchObject({ verdict: 'accepted' })
  // Nothing of it was read: there is no record in the answer.
  expect(intake.offer(first.slice(), 0, 'somebody')).toEqual({ verdict: 'known', why: '' })
  const forged = first.slice()
  forged[forged.length - 3]! ^= 1
  expect(book.has(forged)).toBe(false)
  expect(intake.offer(forged, 0, 'somebody').verdict).not.toBe('accepted')
  expect(intake.offer(second, 0, author.id).verdict).toBe('accepted')
  expect([book.has(first), book.has(second)]).toEqual([false, true])
  for (const { id } of book.recordsOf(author.id)) book.drop(id)
  expect(book.has(second)).toBe(false)
})

it('so many turns are given at once, then as many in a while', async () => {
  const clock = virtualClock()
  const turn = createTurns(clock, 4, 1_000)
  const taken = (): number => Array.from({ length: 10 }, turn).filter(Boolean).length
  expect(taken()).toBe(4)
  await clock.advance(500)
  expect(taken()).toBe(2)
  await clock.advance(60_000)
  expect(taken()).toBe(4)
})
