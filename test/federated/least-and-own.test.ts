/** What a member looks at itself before it signs, and what it keeps to itself when it refuses. */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TrainerError } from '../../src/federated/index.ts'
import { createFleet, PATIENT } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const ROWS = [1, 2, 3, 4].map((seed) => hospitalRows(seed, 40))

let folder: string
beforeEach(() => void (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('with fewer sites than the plan wants nothing is signed, however many a threshold takes', async () => {
  let lost: string | undefined
  let kept = 0
  const fleet = await createFleet({
    folder,
    plan: plan({ rounds: 1, minimum: { sites: 4, records: 10 } }),
    rows: ROWS,
    times: PATIENT,
    keep: () => Promise.resolve(void kept++),
    onMessage: (from, to, kind) => {
      if (kind !== 'piece' || lost !== undefined || from.identity.id === to.identity.id) return
      lost = from.identity.id
      from.isGone = true
      from.end()
    },
  })
  try {
    const facts = (event: string): Record<string, unknown>[] =>
      fleet.members.flatMap(({ log }) => log.filter((line) => line.event === event).map((line) => line.facts))
    while (facts('round.aborted').length === 0 && facts('round.ended').length === 0) await sleep(20)
    // Three of four would do for the shares; the plan wants all four in the sum.
    expect(fleet.job.math.t).toBe(3)
    expect([kept, facts('applied').length, facts('round.ended').length]).toEqual([0, 0, 0])
    expect(facts('member.lost').filter(({ code }) => code === 'WEFT-FED-020')).toHaveLength(3)
    for (const { identity, ledger } of fleet.members) if (identity.id !== lost) expect(ledger.head().seq).toBe(0)
  } finally {
    await fleet.stop()
  }
}, 60_000)

test('whoever refuses for a reason of its own tells its code, and not what its data or its files are', async () => {
  const secret = 'row 17 of heart.csv is "canary-4711"'
  const refusals: object[] = []
  const fleet = await createFleet({
    folder,
    plan: plan({ rounds: 1 }),
    rows: ROWS.slice(1),
    changed: {
      site: {
        records: 40,
        begin: () => Promise.resolve({ global: new Float32Array(), strategy: {} }),
        prepare: () => Promise.reject(new TrainerError('s', secret)),
      },
    },
    onMessage: (_, __, kind, body) => void (kind === 'refuse' && refusals.push(body)),
  })
  try {
    await Promise.all(fleet.members.map(({ over }) => over))
    expect(refusals).toContainEqual(expect.objectContaining({ code: 'WEFT-FED-067', later: false }))
    expect(JSON.stringify([refusals, fleet.members.map(({ log }) => log)])).not.toContain('canary')
  } finally {
    await fleet.stop()
  }
}, 60_000)
