import { expect, test } from 'vitest'
import { standingRounds } from '../../src/federated/index.ts'

test('a round that was given up and made again is one round: the one that stands', () => {
  const events = [
    { event: 'created' },
    { event: 'statistics', model: 'a' },
    { event: 'round', round: 1, step: 1, model: 'b' },
    { event: 'round', round: 1, step: 2, model: 'c' },
    { event: 'round', round: 2, step: 3, model: 'given up' },
    { event: 'member.lost' },
    { event: 'round', round: 2, step: 3, model: 'd' },
    { event: 'round', round: 2, step: 4, model: 'e' },
  ]
  expect(standingRounds(events).map(({ model }) => model)).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(standingRounds([])).toEqual([])
})
