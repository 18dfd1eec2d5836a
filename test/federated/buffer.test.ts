/**
 * Asynchronous rounds over members with their own loops and aggregators: cohorts complete while one member still trains, and its update counts by its
 * age. Updates are whole numbers of 2^-8, and ages are 0 and 3, whose weights are 1 and 1/2: so what comes out is the paper's number to the bit.
 */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { checkCohort } from '../../src/federated/plan/buffer.ts'
import { checkFedPlan, createStrategy } from '../../src/federated/index.ts'
import { areOver, createFleet, PATIENT } from './support/fleet.ts'
import type { Fleet, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const SITES = 5
/** All that five members need to stand for a model. */
const COHORT = 4
const SLOW = 4
/** Rounds that are made while the slow one trains. */
const BEHIND = 3
const ROWS = Array.from({ length: SITES }, (_, index) => hospitalRows(index + 1, 30))

const PLAN = {
  model: { kind: 'linear' },
  init: 'zeros',
  rounds: BEHIND + 1,
  strategy: { name: 'fedbuff', server_lr: 0.5 },
  buffer: { cohort: COHORT },
}

/** D of a site in its own n-th training. */
const updateOf = (site: number, turn: number): number => ((site + 1) * (turn + 1)) / 256

interface Trained {
  readonly site: number
  readonly turn: number
  /** Models that there were when it began. */
  readonly from: number
}

interface Scene {
  readonly fleet: Fleet
  readonly trained: readonly Trained[]
  /** Lets the slow one end its training. */
  readonly release: () => void
  readonly stop: () => Promise<void>
}

/** The slow one trains from the first model until it is released, and the others train from the fourth until it is back. */
async function scene(changes: object): Promise<Scene> {
  const folder = temporaryFolder()
  const trained: Trained[] = []
  const turns = Array.from({ length: SITES }, () => 0)
  const released = Promise.withResolvers<void>()
  const isBack = Promise.withResolvers<void>()
  const fleet = await createFleet({
    folder,
    plan: plan({ ...PLAN, ...changes }),
    rows: ROWS,
    times: PATIENT,
    onMessage(from, _, kind) {
      const isSlow = from.site === `site-${SLOW}` && from.standing.current.state.done === BEHIND
      if (isSlow && (kind === 'advertise' || kind === 'plain')) isBack.resolve()
    },
    siteOf(index, site) {
      site.trainer.train = async ({ start, round }) => {
        const turn = turns[index]!++
        trained.push({ site: index, turn, from: round })
        if (index === SLOW && turn === 0) await released.promise
        if (index !== SLOW && round === BEHIND) await isBack.promise
        return { weights: start.map((value) => value + updateOf(index, turn)), steps: 1 }
      }
      return site
    },
  })
  return {
    fleet,
    trained,
    release: released.resolve,
    stop: async () => {
      released.resolve()
      isBack.resolve()
      await fleet.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const doneOf = ({ standing }: Member): number => standing.current.state.done

/** Sites of each sum of updates that was made, in order. */
function cohorts({ members }: Fleet): number[][] {
  const logs = members.flatMap(({ log }) => log)
  const ended = logs.flatMap(({ event, facts }) => (event === 'round.ended' ? [facts['session']] : []))
  const began = logs.filter(({ event, facts }) => event === 'round.began' && ended.includes(facts['session']))
  const bySession = began.toSorted((left, right) => Number(left.facts['session']) - Number(right.facts['session']))
  const places = new Map(members.map(({ identity }, place) => [identity.id, place]))
  // The first is of the statistics.
  return bySession.slice(1).map(({ facts }) => (facts['members'] as string[]).map((peer) => places.get(peer)!))
}

/** Ages of the updates of each round, as its members noted them. */
const noted = ({ log }: Member): unknown[] =>
  log.flatMap(({ event, facts }) => (event === 'applied' && 'staleness' in facts ? [facts['staleness']] : []))

const refusals = ({ log }: Member): unknown[] =>
  log.flatMap(({ event, facts: { code, age, oldest } }) => (event === 'update.refused' ? [[code, age, oldest]] : []))

test.each([{}, { secagg: 'off' }, { buffer: { cohort: COHORT, oldest: BEHIND - 1 } }])(
  'rounds go on without a slow site, whose update counts by the rule of the paper when it comes: %j',
  async (changes) => {
    const { fleet, trained, release, stop } = await scene(changes)
    try {
      const fast = fleet.members.filter((_, index) => index !== SLOW)
      await until(() => fast.every((member) => doneOf(member) === BEHIND))
      // It is connected all the while, still in its first training, and nobody has waited for it.
      expect(trained.filter(({ site }) => site === SLOW)).toHaveLength(1)
      release()
      await areOver(fleet.members)

      const rounds = cohorts(fleet)
      const early = rounds.slice(0, BEHIND).map((sites) => sites.toSorted((left, right) => left - right))
      expect(early).toEqual(Array.from({ length: BEHIND }, () => [0, 1, 2, 3]))
      expect(rounds[BEHIND]).toContain(SLOW)
      const of = rounds[BEHIND]!.length
      const { from: begun } = trained.findLast(({ site, from }) => site === SLOW && from <= BEHIND)!
      // In the clear it may have gone to an aggregator that was leaving; nobody can say then whether it counted, and it is made anew.
      const isTooOld = 'buffer' in changes
      if (!('secagg' in changes)) expect(begun).toBe(isTooOld ? BEHIND : 0)
      expect(refusals(fleet.members[SLOW]!)).toEqual(isTooOld ? [['WEFT-FED-089', BEHIND, BEHIND - 1]] : [])
      expect(fast.flatMap(refusals)).toEqual([])
      const own = fleet.members[SLOW]!.log.filter(({ event, facts }) => event === 'applied' && 'own_age' in facts)
      expect(own.at(-1)!.facts['own_age']).toBe(BEHIND - begun)
      expect(noted(fleet.members[rounds[BEHIND]!.find((site) => site !== SLOW)!]!).at(-1)).toBe((BEHIND - begun) / of)

      const strategy = createStrategy('fedbuff', { server_lr: 0.5 })
      let global = new Float64Array(fleet.members[0]!.standing.current.state.global.length)
      for (const [round, sites] of rounds.entries()) {
        const clients = sites.map((site) => {
          const { turn, from } = trained.findLast((one) => one.site === site && one.from <= round)!
          return { records: 1, update: global.map(() => updateOf(site, turn)), staleness: round - from }
        })
        global = Float64Array.from(strategy.aggregate({ global, state: {}, clients }).global)
      }
      expect([...fleet.members[0]!.standing.current.state.global]).toEqual([...global])
    } finally {
      await stop()
    }
  },
  120_000,
)

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10))
}

describe('a plan of asynchronous rounds', () => {
  test.each([
    [{ strategy: { name: 'fedavg' } }, /goes with the strategy "fedbuff" alone/],
    [{ privacy: { unit: 'site', epsilon: 8, delta: 1e-3, clip: 1 } }, /does not go with "buffer"/],
    [{ minimum: { sites: 5 } }, /"minimum.sites" asks for 5/],
  ])('%j is refused', (changes, why) => {
    expect(() => checkFedPlan(plan({ ...PLAN, ...changes }), 'plan')).toThrow(why)
  })

  test('does not start with a cohort that cannot stand for a model, or that is more than there are', () => {
    const checked = checkFedPlan(plan(PLAN), 'plan')
    expect(() => checkCohort(checked, 6)).toThrow(/with 6 sites a model takes the votes of 5/)
    expect(() => checkCohort(checked, 3)).toThrow(/3 sites have joined/)
    checkCohort(checked, SITES)
    checkCohort(checked, 4)
  })
})
