/** Whose clock weft doctor takes for the wrong one, by what connected peers said when they greeted. */
import { expect, it } from 'vitest'
import { checkClock } from '../../src/cli/doctor/clock.ts'

const HOUR = 3_600_000

async function said(...ahead: readonly number[]): Promise<string[]> {
  const peers = ahead.map((clock_ahead_ms, at) => ({ name: `p${at}`, state: 'connected', link: { clock_ahead_ms } }))
  const facts = { io: { clock: { wall: () => Date.UTC(2026, 0, 1) } }, status: { peers } }
  const found = await checkClock(facts as unknown as Parameters<typeof checkClock>[0])
  return found.map(({ level, message }) => `${level}: ${message}`)
}

it.each<[string, readonly number[], readonly RegExp[]]>([
  ['nobody', [1_000, -2_000], [/^ok: .* as those of 2 connected peers/]],
  ['this one, where most say the same', [2 * HOUR, 2 * HOUR + 900], [/^fail: .*2h00m behind most .*2 of 2/]],
  [
    'two others, of which one is ahead and one behind: most do not agree on anything',
    [2 * HOUR, -2 * HOUR],
    [/^warn: the clock of p0 is 2h00m ahead/, /^warn: the clock of p1 is 2h00m behind/],
  ],
  ['one of three', [0, -2 * HOUR, 0], [/^warn: the clock of p1 is 2h00m behind/]],
  ['one of two', [2 * HOUR], [/^warn: the clock of p0 is 2h00m ahead .*: one of them is wrong/]],
])('%s', async (_, ahead, expected) => {
  const found = await said(...ahead)
  expect(found).toHaveLength(expected.length)
  for (const [at, what] of expected.entries()) expect(found[at]).toMatch(what)
})
