import { expect, test } from 'vitest'
import { createAdmission } from '../../src/api/admission.ts'
import { manualClock } from './support.ts'

const told = (action: () => unknown): unknown => {
  try {
    action()
  } catch (error) {
    return (error as { details: Record<string, unknown> }).details['retry_after_s']
  }
  return 'let in'
}

test('when to come again follows from how long places are held, for each address of its own', () => {
  const clock = manualClock()
  const admission = createAdmission(clock, { inFlight: 3, inFlightPerAddress: 2 })
  const held = [admission.enter('a'), admission.enter('a')]
  clock.advance(8_000)
  for (const leave of held.splice(0)) {
    leave()
    leave()
  }
  expect(admission.inFlight()).toBe(0)
  held.push(admission.enter('a'), admission.enter('a'))
  // 8 s each, two at once: one every 4 s. Each that is refused is told of the next.
  expect([1, 2, 3].map(() => told(() => admission.enter('a')))).toEqual([4, 8, 12])
  held.push(admission.enter('b'))
  expect(told(() => admission.enter('b'))).toBe(3)
  expect(told(() => admission.enter('a'))).toBe(16)
  // As many are told of places as there will be within a minute.
  for (let n = 0; n < 20; n++) told(() => admission.enter('a'))
  expect(told(() => admission.enter('a'))).toBe(60)
  clock.advance(60_000)
  expect(told(() => admission.enter('a'))).toBeLessThan(9)
  for (const leave of held) leave()
  expect(admission.inFlight()).toBe(0)
  expect(told(() => admission.enter('a'))).toBe('let in')
})

test('before anything is known it is a second', () => {
  const admission = createAdmission(manualClock(), { inFlight: 1, inFlightPerAddress: 2 })
  expect(admission.again()).toBe(1)
  admission.enter('a')
  expect(told(() => admission.enter('b'))).toBe(1)
})
