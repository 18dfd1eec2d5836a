/** An aggregator that is gone for good after its members have signed: another one opens that very sum, and nobody sends a second vector. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Message } from '../../src/federated/rounds/pipe.ts'
import { areOver, createFleet } from './support/fleet.ts'
import type { Fleet, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'
import { expectSame, leftOf, PLAN, resumedBy, ROWS, thrownOut, TIMES, undisturbed } from './support/thrown-out.ts'

let folder: string
beforeEach(() => void (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('a site that aggregates is thrown out', () => {
  for (const moment of ['reveal']) {
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

  for (const moment of ['survivors']) {
    test(`at the first "${moment}", before a share has left: the others begin anew without it`, async () => {
      const thrown = await thrownOut(folder, [moment], { plan: plan(PLAN) })
      const left = leftOf(thrown)
      try {
        expect(left.map(({ standing }) => standing.current.state.done)).toEqual([2, 2, 2, 2])
        for (const { log } of left) {
          const last = log.filter(({ event }) => event === 'applied').at(-1)
          expect(last?.facts['members']).toBe(4)
        }
      } finally {
        await thrown.fleet.stop()
      }
    }, 60_000)
  }

  test('under privacy: nobody pays a second time', async () => {
    const privacy = { unit: 'site', epsilon: 50, delta: 1e-3, clip: 1 }
    const thrown = await thrownOut(folder, ['reveal'], { plan: plan({ ...PLAN, privacy }), cap: 200 })
    try {
      expect(resumedBy(leftOf(thrown))).toBe(5)
      for (const { ledger, site } of leftOf(thrown)) {
        expect([site, ledger.budgets()[0]!.events.length]).toEqual([site, 2])
      }
    } finally {
      await thrown.fleet.stop()
    }
  }, 60_000)
})

test('a site that aggregates and dies stays a member: the others do without it all the same', async () => {
  const init = { plan: plan(PLAN) }
  const thrown = await thrownOut(folder, ['ballots'], init, undefined, true)
  try {
    expectSame(leftOf(thrown)[0]!.standing.current.state, await undisturbed(folder, init))
    expect([...thrown.sent.values()]).toEqual(ROWS.map(() => 1))
    expect(resumedBy(leftOf(thrown))).toBe(5)
  } finally {
    await thrown.fleet.stop()
  }
}, 60_000)

test('a signature binds where shares of neighbours open a sum, since they may be fewer than two thirds; else a share does', async () => {
  const rows = [1, 2, 3, 4, 5, 6, 7].map((seed) => hospitalRows(seed, 30, seed))
  const bound = new Map<boolean, Set<boolean>>()
  for (const isSparse of [true, false]) {
    const seen = new Set<boolean>()
    bound.set(isSparse, seen)
    const secagg = { bits: 32, f: 16, c: 100, ...(isSparse ? { neighbours: { degree: 4, threshold: 4 } } : {}) }
    const own = join(folder, String(isSparse))
    mkdirSync(own)
    const fleet: Fleet = await createFleet({
      rows,
      times: TIMES,
      folder: own,
      plan: plan({ ...PLAN, rounds: 1, secagg }),
      onMessage: (from, _, kind) => {
        if (kind === 'consistency') seen.add(from.standing.bound !== null)
      },
    })
    try {
      await areOver(fleet.members)
    } finally {
      await fleet.stop()
    }
  }
  expect([...bound.get(true)!]).toEqual([true])
  expect([...bound.get(false)!]).toEqual([false])
}, 60_000)

describe('who opens a sum that another one began', () => {
  /** The others after its aggregator went with the first ballot, where one message is changed from then on. */
  async function changed(
    kind: string,
    change: (body: Message['body']) => Message['body'],
    look: (left: readonly Member[], revealed: readonly string[]) => Promise<void>,
    isMember = false,
  ): Promise<void> {
    let gone: Member | undefined
    const revealed: string[] = []
    const refused = Promise.withResolvers<void>()
    const fleet: Fleet = await createFleet({
      rows: ROWS,
      times: TIMES,
      folder,
      plan: plan({ ...PLAN, rounds: 1 }),
      admits: (peer) => isMember || peer !== gone?.identity.id,
      rewrite: (_, message) =>
        gone !== undefined && message.kind === kind ? { ...message, body: change(message.body) } : message,
      onMessage: (from, _, sent) => {
        if (from.standing.current.state.pooled === null) return
        if (gone !== undefined && sent === 'reveal') revealed.push(from.site)
        if (gone !== undefined && sent === 'refuse') refused.resolve()
        if (gone !== undefined || sent !== 'ballots') return
        gone = from
        from.end()
      },
    })
    try {
      await refused.promise
      await look(
        fleet.members.filter((member) => member !== gone),
        revealed,
      )
    } finally {
      await fleet.stop()
    }
  }

  test('and asks for another set than was signed is given no share', async () => {
    const shorter = (body: Message['body']): Message['body'] => ({ ...body, list: (body['list'] as object[]).slice(1) })
    await changed('survivors', shorter, async (left, revealed) => {
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect(left.map(({ standing }) => standing.current.state.done)).toEqual([0, 0, 0, 0])
      expect(revealed).toEqual([])
    })
  }, 60_000)

  test('and has another sum than was masked is given no share', async () => {
    const other = (body: Message['body']): Message['body'] => ({ ...body, sum: new Uint8Array(32) })
    await changed('survivors', other, async (_, revealed) => {
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect(revealed).toEqual([])
    })
  }, 60_000)

  for (const isMember of [false, true]) {
    test(`and has it of another roster opens nothing: it is made anew, since no share has left${isMember ? ', also while the first is only away' : ''}`, async () => {
      const other = (body: Message['body']): Message['body'] => ({
        ...body,
        roster: (body['roster'] as object[]).slice(1),
      })
      const look = async (left: readonly Member[]): Promise<void> => {
        await areOver(left)
        const last = left[0]!.log.filter(({ event }) => event === 'applied').at(-1)
        expect(last?.facts['members']).toBe(4)
      }
      await changed('held', other, look, isMember)
    }, 60_000)
  }
})
