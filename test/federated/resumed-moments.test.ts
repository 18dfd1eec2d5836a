/** Whoever aggregates goes for good at each moment at which somebody has signed: in one sum, in buckets and in clusters, and twice in a row. */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { areOver, createFleet } from './support/fleet.ts'
import type { Fleet, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'
import { expectSame, leftOf, PLAN, resumedBy, ROWS, thrownOut, TIMES, undisturbed } from './support/thrown-out.ts'

let folder: string
beforeEach(() => void (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('a site that aggregates is thrown out', () => {
  for (const moment of ['ballots', 'result']) {
    test(`at the first "${moment}": the others open the sum that it began, with its own update in it`, async () => {
      const init = { plan: plan(PLAN) }
      const thrown = await thrownOut(folder, [moment], init)
      const left = leftOf(thrown)
      try {
        expect(left).toHaveLength(4)
        expectSame(left[0]!.standing.current.state, await undisturbed(folder, init))
        expect([...thrown.sent.values()]).toEqual(ROWS.map(() => 1))
        // By whoever aggregates then, and by each of the four.
        expect(resumedBy(left)).toBe(5)
        for (const { ledger, site } of left) expect([site, ledger.budgets()]).toEqual([site, []])
      } finally {
        await thrown.fleet.stop()
      }
    }, 60_000)
  }

  for (const moment of ['consistency']) {
    test(`at the first "${moment}", before a share has left: all have signed, so the others open it`, async () => {
      const thrown = await thrownOut(folder, [moment], { plan: plan(PLAN) })
      const left = leftOf(thrown)
      try {
        expect(left.map(({ standing }) => standing.current.state.done)).toEqual([2, 2, 2, 2])
        for (const { log } of left) {
          const last = log.filter(({ event }) => event === 'applied').at(-1)
          expect(last?.facts['members']).toBe(5)
        }
      } finally {
        await thrown.fleet.stop()
      }
    }, 60_000)
  }

  test('and the next one at the same moment: the third opens it', async () => {
    const rows = [1, 2, 3, 4, 5, 6, 7].map((seed) => hospitalRows(seed, 30, seed))
    const init = { plan: plan(PLAN), rows }
    const thrown = await thrownOut(folder, ['reveal', 'reveal'], init)
    const left = leftOf(thrown)
    try {
      expect(left).toHaveLength(5)
      expectSame(left[0]!.standing.current.state, await undisturbed(folder, init))
      expect([...thrown.sent.values()]).toEqual(rows.map(() => 1))
      expect(resumedBy(left)).toBeGreaterThan(6)
    } finally {
      await thrown.fleet.stop()
    }
  }, 60_000)

  test('while the statistics are summed', async () => {
    const init = { plan: plan({ ...PLAN, rounds: 1 }) }
    const thrown = await thrownOut(folder, ['result'], init, ({ pooled }) => pooled === null)
    const [first] = leftOf(thrown)
    try {
      expect(first!.standing.current.state.pooled).toEqual((await undisturbed(folder, init)).pooled)
      expect(resumedBy(leftOf(thrown))).toBe(5)
    } finally {
      await thrown.fleet.stop()
    }
  }, 60_000)

  for (const moment of ['survivors', 'ballots', 'reveal', 'result']) {
    test(`of a round of clusters, at the first "${moment}"`, async () => {
      const rows = Array.from({ length: 12 }, (_, seed) => hospitalRows(seed + 1, 30, seed))
      const clusters = ['north', 'south', 'west'].map((name, at) => ({
        name,
        sites: [0, 1, 2, 3].map((place) => `site-${4 * at + place}`),
      }))
      const init = { plan: plan({ ...PLAN, clusters }), rows }
      const thrown = await thrownOut(folder, [moment], init)
      try {
        const left = leftOf(thrown)
        expect(left.map(({ standing }) => standing.current.state.done)).toEqual(left.map(() => 2))
        if (moment === 'survivors') return
        expectSame(left[0]!.standing.current.state, await undisturbed(folder, init))
        expect([...thrown.sent.values()]).toEqual(rows.map(() => 1))
        // Three clusters, and the eleven who are left.
        expect(resumedBy(left)).toBeGreaterThanOrEqual(14)
      } finally {
        await thrown.fleet.stop()
      }
    }, 60_000)
  }

  test('and was the delegate of its cluster: another takes its place, however few clusters there are', async () => {
    const clusters = ['north', 'south', 'west'].map((name, at) => ({
      name,
      sites: [0, 1, 2, 3].map((place) => `site-${4 * at + place}`),
    }))
    const rows = Array.from({ length: 12 }, (_, seed) => hospitalRows(seed + 1, 30, seed))
    let gone: Member | undefined
    const fleet: Fleet = await createFleet({
      rows,
      times: TIMES,
      folder,
      plan: plan({ ...PLAN, clusters }),
      admits: (peer) => peer !== gone?.identity.id,
      onMessage: (from, _, kind) => {
        const { state } = from.standing.current
        if (gone !== undefined || kind !== 'masked' || state.pooled === null) return
        if (fleet.job.groupOf(from.identity.id, state).delegate !== from.identity.id) return
        gone = from
        from.end()
      },
    })
    try {
      await Promise.race(fleet.members.map(({ over }) => over))
      const left = fleet.members.filter((member) => member !== gone)
      await areOver(left)
      expect(left.map(({ standing }) => standing.current.state.done)).toEqual(left.map(() => 2))
    } finally {
      await fleet.stop()
    }
  }, 60_000)

  test('with a delegate of another cluster: too few of three are left to open it, and it is tried seldom until they are back', async () => {
    const clusters = ['north', 'south', 'west'].map((name, at) => ({
      name,
      sites: [0, 1, 2, 3].map((place) => `site-${4 * at + place}`),
    }))
    const rows = Array.from({ length: 12 }, (_, seed) => hospitalRows(seed + 1, 30, seed))
    const gone: Member[] = []
    const fleet: Fleet = await createFleet({
      rows,
      times: TIMES,
      folder,
      plan: plan({ ...PLAN, clusters }),
      onMessage: (from, _, kind) => {
        const { state } = from.standing.current
        if (gone.length > 0 || kind !== 'ballots' || state.pooled === null) return
        const ofOwn = fleet.job.groupOf(from.identity.id, state)
        const other = fleet.job.groups(state).find(({ name }) => name !== ofOwn.name)
        const delegate = fleet.members.find(({ identity }) => identity.id === other?.delegate)
        for (const member of [from, delegate!]) {
          gone.push(member)
          member.end()
        }
      },
    })
    try {
      while (gone.length === 0) await sleep(20)
      await sleep(6000)
      const aborted = fleet.members.flatMap(({ log }) => log.filter(({ event }) => event === 'round.aborted'))
      // Once by each that some of them came to; without a rest there were five a second.
      expect(aborted.length).toBeLessThanOrEqual(10)
      for (const member of gone) await fleet.start(fleet.members.indexOf(member))
      await areOver(fleet.members)
    } finally {
      await fleet.stop()
    }
  }, 60_000)

  test('of a round of buckets: each is opened as it was signed', async () => {
    const rows = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => hospitalRows(seed, 30, seed))
    const strategy = { name: 'bucketed', group: 4, clip: 20, rule: 'median' }
    const init = { plan: plan({ ...PLAN, strategy }), rows }
    const thrown = await thrownOut(folder, ['result'], init)
    try {
      expectSame(leftOf(thrown)[0]!.standing.current.state, await undisturbed(folder, init))
      expect([...thrown.sent.values()]).toEqual(rows.map(() => 1))
      // Both buckets, and the seven who are left.
      expect(resumedBy(leftOf(thrown))).toBe(9)
    } finally {
      await thrown.fleet.stop()
    }
  }, 60_000)
})
