/** Gossip on a virtual clock: many members, each with a model of its own, mixed in groups that are dealt anew each round. */
import { afterEach, describe, expect, test } from 'vitest'
import { checkFedPlan } from '../../src/federated/index.ts'
import type { Message } from '../../src/federated/index.ts'
import { checkGossipSites } from '../../src/federated/plan/gossip.ts'
import { createGossip, PARAMETERS } from './support/gossip.ts'
import type { Gossip, GossipInit, GossipMember } from './support/gossip.ts'
import { plan } from './support/hospitals.ts'

let made: Gossip | undefined
afterEach(() => made?.stop())
const gossip = async (init: GossipInit): Promise<Gossip> => (made = await createGossip(init))

/** Each site's own number, in the first round alone: what follows is mixing and nothing else. */
const ownNumber = (site: number, start: Float32Array, round: number): Float32Array =>
  start.map((value, at) => (round === 0 ? value + (site + at) / 4 : value))

const models = (members: readonly GossipMember[]): number[] => members.map(({ state }) => state.model![0]!)
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const spread = (values: readonly number[]): number =>
  Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)))

/** Integers of 2^-16, rounded by chance, and means of them: so far from the exact mean at most, over all rounds. */
const ROUNDING = 1e-3

test('twenty-four sites come to one model without any that all share, and the mean of all stays what it was', async () => {
  const { members, run } = await gossip({ sites: 24, train: ownNumber, changes: { rounds: 6 } })
  await run(600_000)
  expect(await Promise.all(members.map(({ over }) => over))).toEqual(members.map(() => 'over'))
  const before = Array.from({ length: 24 }, (_, site) => site / 4)
  expect(mean(models(members))).toBeCloseTo(mean(before), -Math.log10(ROUNDING) - 0.3)
  // Groups of four leave a quarter of the variance each round.
  expect(spread(models(members))).toBeLessThan(spread(before) / 16)
  for (const { notes } of members) {
    expect(notes.map(({ round }) => round)).toEqual([1, 2, 3, 4, 5, 6])
    expect(notes.every(({ mixed, members: of }) => mixed && of === 4)).toBe(true)
    expect(notes[0]!.distance).toBeGreaterThan(0)
  }
  // Everybody was with others.
  const groups = members[0]!.log.concat(...members.slice(1).map(({ log }) => log))
  const began = groups.flatMap(({ event, facts }) => (event === 'round.began' ? [facts['members'] as string[]] : []))
  expect(began).toHaveLength(6 * 6)
  expect(new Set(began.map((one) => one.toSorted().join())).size).toBeGreaterThan(6)
}, 120_000)

test('a group goes on with the mean of its members’ models', async () => {
  const { members, run } = await gossip({ sites: 4, train: ownNumber, changes: { rounds: 1 } })
  await run(60_000)
  for (const { state } of members)
    for (let at = 0; at < PARAMETERS; at++) expect(state.model![at]).toBeCloseTo((1.5 + at) / 4, 3)
}, 60_000)

describe('a group of which', () => {
  test('one is gone mixes the others, and two are gone mixes nobody: nothing of it leaves a site', async () => {
    for (const gone of [[0], [0, 1]]) {
      const sent: string[] = []
      const { members, run, stop } = await gossip({
        sites: 4,
        gone,
        train: ownNumber,
        changes: { rounds: 1 },
        rewrite(_, message) {
          sent.push(message.kind)
          return message
        },
      })
      await run(120_000)
      stop()
      const here = members.filter(({ isGone }) => !isGone)
      expect(here.map(({ notes }) => notes.map(({ mixed, members: of, code }) => [mixed, of, code]))).toEqual(
        here.map(() => [gone.length === 1 ? [true, 3, undefined] : [false, 1, 'WEFT-FED-088']]),
      )
      if (gone.length === 1) continue
      expect(sent).not.toContain('shares')
      expect(sent).not.toContain('piece')
      expect(models(here)).toEqual([2 / 4, 3 / 4])
    }
  }, 60_000)

  test('an aggregator tells one member another sum leaves that one, or all, with their own models', async () => {
    let isSpoilt = false
    const { members, run } = await gossip({
      sites: 4,
      train: ownNumber,
      changes: { rounds: 1 },
      rewrite(_, message): Message {
        if (message.kind !== 'result' || isSpoilt) return message
        isSpoilt = true
        return { ...message, payload: message.payload.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) }
      },
    })
    await run(120_000)
    expect(isSpoilt).toBe(true)
    const mixed = members.filter(({ notes }) => notes[0]!.mixed)
    expect(mixed.length).toBeLessThan(4)
    expect(new Set(models(mixed)).size).toBeLessThanOrEqual(1)
  }, 60_000)
})

test('who has signed a set signs no other in that round, and goes on from its own model, trained further', async () => {
  let lost: string | undefined
  const { members, run } = await gossip({
    sites: 4,
    train: (site, start) => start.map((value) => value + (site + 1) / 4),
    changes: { rounds: 2 },
    rewrite(from, message) {
      // The first aggregator is gone with the result of the first round.
      if (message.kind === 'ballots' && lost === undefined) {
        lost = from.identity.id
        from.isGone = true
      }
      return message
    },
  })
  await run(300_000)
  const here = members.filter(({ isGone }) => !isGone)
  expect(here).toHaveLength(3)
  for (const { notes } of here) {
    expect(notes[0]).toMatchObject({ mixed: false, why: 'the result of its sum is not known here' })
    expect(notes[1]).toMatchObject({ mixed: true, members: 3 })
  }
  const own = members.flatMap((member, site) => (member.isGone ? [] : [(2 * (site + 1)) / 4]))
  for (const model of models(here)) expect(model).toBeCloseTo(mean(own), 3)
}, 60_000)

test('a slow site holds nobody: it mixes where the others are when it comes, and its group goes on without it', async () => {
  const [SLOWER, SLOWEST, ROUNDS] = [2, 3, 8]
  const times = new Map([
    [SLOWER, 9_000],
    [SLOWEST, 1_000_000],
  ])
  const { members, run } = await gossip({
    sites: 16,
    takes: (site) => times.get(site) ?? 1_000,
    train: ownNumber,
    changes: { rounds: ROUNDS, deadline: '10m' },
  })
  const fast = members.filter((_, site) => !times.has(site))
  await run(2_000_000)
  expect(await Promise.all(members.map(({ over }) => over))).toEqual(members.map(() => 'over'))
  // Rounds were of those who were there, and a deadline of ten minutes was waited for by nobody.
  for (const { notes } of fast) {
    expect(notes.map(({ round }) => round)).toEqual(Array.from({ length: ROUNDS }, (_, at) => at + 1))
    expect(notes.every(({ mixed, members: of }) => mixed && of >= 3)).toBe(true)
  }
  const slower = members[SLOWER]!.notes
  expect(slower.some(({ mixed }) => mixed)).toBe(true)
  expect(slower.length).toBeLessThan(ROUNDS)
  expect(members[SLOWEST]!.notes).toEqual([
    expect.objectContaining({ round: ROUNDS, mixed: false, why: 'its group is over' }),
  ])
  expect(members[SLOWEST]!.state.step).toBe(ROUNDS)
}, 120_000)

test('who has said that it left is not waited for, and who is merely gone is, in each round', async () => {
  const ROUNDS = 4
  const took = async (left: readonly number[]): Promise<number> => {
    const { members, run, stop } = await gossip({
      sites: 4,
      train: ownNumber,
      gone: [3],
      left,
      changes: { rounds: ROUNDS },
    })
    const ms = await run(1_000_000)
    const here = members.slice(0, 3)
    expect(here.map(({ notes }) => notes.filter(({ mixed }) => mixed).length)).toEqual([ROUNDS, ROUNDS, ROUNDS])
    stop()
    return ms
  }
  // Five seconds a round, of the virtual clock.
  expect(await took([3])).toBeLessThan((await took([])) - ROUNDS * 4000)
}, 60_000)

describe('a plan of gossip', () => {
  const GOSSIP = { gossip: { group: 4 } }
  test.each([
    [{ secagg: 'off' }, /summed securely or not at all/],
    [{ strategy: { name: 'fedadam' } }, /is of one common model/],
    [{ strategy: { name: 'fedavg', server_lr: 0.5 } }, /is 1 where models are mixed/],
    [{ privacy: { unit: 'site', epsilon: 8, delta: 1e-3, clip: 1 } }, /does not go with "gossip"/],
    [{ compression: { kind: 'random-k', share: 0.5 } }, /does not go with "gossip"/],
    [{ personal: ['bias'] }, /does not go with "gossip"/],
    [{ gossip: { group: 2 } }, /gossip/],
    [{ minimum: { sites: 5 } }, /"minimum.sites" asks for 5/],
  ])('%j is refused', (changes, why) => {
    expect(() => checkFedPlan(plan({ ...GOSSIP, ...changes }), 'plan')).toThrow(why)
  })

  test('does not start with fewer sites than a group', () => {
    const checked = checkFedPlan(plan(GOSSIP), 'plan')
    expect(() => checkGossipSites(checked, 3)).toThrow(/3 sites have joined/)
    checkGossipSites(checked, 4)
  })
})
