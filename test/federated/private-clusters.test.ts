/** Privacy over clusters: the noise is that of the fewest whose sum anybody can open, also where a whole cluster is left out. */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { checkFedPlan, FIRST_STATE, JobView } from '../../src/federated/index.ts'
import type { FedPlan, FedState } from '../../src/federated/index.ts'
import { makeJoin, makeOffer, makeStart } from '../../src/federated/fleet/documents.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { areOver, createFleet, PATIENT } from './support/fleet.ts'
import type { Fleet, FleetInit, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const PRIVACY = { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: 0.5, noise_multiplier: 4 }
const BEGUN: FedState = { ...FIRST_STATE, pooled: { records: 600, columns: [] }, global: new Float32Array(10) }

const clustersOf = (count: number, size: number): object[] =>
  Array.from({ length: count }, (_, at) => ({
    name: `cluster-${at}`,
    sites: Array.from({ length: size }, (__, place) => `site-${size * at + place}`),
  }))

/** Of the sites after two clusters of three. */
const FOUR = { name: 'four', sites: [6, 7, 8, 9].map((at) => `site-${at}`) }

const planned = (clusters: readonly object[] | undefined, privacy: object = {}): object =>
  plan({
    model: { kind: 'linear' },
    rounds: 1,
    clusters,
    deadline: '3s',
    local: { steps: 1, batch: 'full', lr: 0.5 },
    privacy: { ...PRIVACY, ...privacy },
  })

function viewOf(value: object, sites: number): JobView {
  const checked = checkFedPlan(value, 'plan')
  const members = Array.from({ length: sites }, (_, at) => ({
    peer: `peer-${at}`,
    key: new Uint8Array(32),
    site: `site-${at}`,
  }))
  return new JobView({ id: 'job', plan: checked, planHash: new Uint8Array(32), members })
}

const sharesIn = (view: JobView): number => {
  const { event } = view.math.noise(BEGUN)!
  return (event as { readonly noise: { readonly n: number } }).noise.n
}

describe('shares of noise that count', () => {
  test.each([
    ['one sum of all, of 12', undefined, 12, {}, 9],
    ['three clusters of four: three of each', clustersOf(3, 4), 12, {}, 9],
    ['four clusters of three: a whole one may be left out', clustersOf(4, 3), 12, {}, 9],
    ['two of three and one of four: three of each', [...clustersOf(2, 3), FOUR], 10, {}, 9],
    ['five of five: four of four clusters', clustersOf(5, 5), 25, {}, 16],
    ['with one who colludes, one less', clustersOf(5, 5), 25, { colluders: 1 }, 15],
    ['two who do may open the sum of a cluster', clustersOf(5, 5), 25, { colluders: 2 }, 2],
    ['who has not joined has no noise', clustersOf(5, 5), 24, {}, 15],
  ] as const)('%s', (_, clusters, sites, privacy, wanted) => {
    expect(sharesIn(viewOf(planned(clusters, privacy), sites))).toBe(wanted)
  })

  test('are more each, the fewer they are: the noise of the fewest is that of the plan', () => {
    const view = viewOf(planned(clustersOf(5, 5)), 25)
    const { shareSigma, clip, scale } = view.math.noise(BEGUN)!
    const { f } = view.math.encoding!
    expect(shareSigma * Math.sqrt(16)).toBeCloseTo(PRIVACY.noise_multiplier * clip * scale * 2 ** f, 6)
    expect(view.noiseSd(BEGUN)).toBeCloseTo(shareSigma * 5, 6)
  })

  test('are none where all of a cluster collude: such a plan has no noise', () => {
    expect(() => sharesIn(viewOf(planned(clustersOf(3, 3), { colluders: 3 }), 9))).toThrow('nobody whose noise counts')
  })
})

describe('a plan whose noise nobody can add', () => {
  const author = newIdentity()
  const offered = (value: object): ReturnType<typeof makeOffer> & { plan: FedPlan } => {
    const checked = checkFedPlan(value, 'plan')
    return { ...makeOffer(author, checked, '2026-12-01T00:00:00.000Z'), plan: checked }
  }

  test('is offered to nobody where all of a cluster may collude, nor where no noise keeps within epsilon', () => {
    expect(() => offered(planned(clustersOf(3, 3), { colluders: 3 }))).toThrow('nobody whose noise counts')
    const { noise_multiplier: _, ...least } = PRIVACY
    const value = planned(undefined)
    expect(() => offered({ ...value, rounds: 100_000, privacy: { ...least, epsilon: 1e-9 } })).toThrow('no noise keeps')
  })

  test('is told from one that few sites can carry out, in however few bits', () => {
    const { noise_multiplier: _, ...least } = PRIVACY
    const value = { ...planned(undefined), privacy: { ...least, epsilon: 8 }, secagg: { bits: 14, f: 2, c: 8 } }
    expect(() => offered(value)).not.toThrow()
  })

  test('is not started by as few as may collude', () => {
    const offer = offered(planned(undefined, { colluders: 3 }))
    const joins = [0, 1, 2, 3, 4].map((at) => makeJoin(newIdentity(), offer, `site-${at}`))
    expect(() => makeStart(author, offer, joins.slice(0, 3))).toThrow('nobody whose noise counts')
    makeStart(author, offer, joins)
  })
})

async function run(init: Partial<FleetInit>, act: (fleet: Fleet) => Promise<void>): Promise<void> {
  const folder = temporaryFolder()
  const rows = Array.from({ length: 12 }, (_, seed) => hospitalRows(seed + 1, 30 + seed))
  const fleet = await createFleet({ times: PATIENT, folder, plan: planned(clustersOf(4, 3)), rows, cap: 100, ...init })
  try {
    await act(fleet)
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

const stepsPaid = ({ ledger }: Member): number =>
  ledger.budgets().reduce((sum, { events }) => sum + events.reduce((all, { steps }) => all + steps, 0), 0)

describe('rounds of clusters with noise', () => {
  test('go on where a cluster is closed, and who paid is who sent', async () => {
    let lost: Member | undefined
    const sent = new Map<Member, number>()
    const onMessage: FleetInit['onMessage'] = (from, to, kind) => {
      if (from === to || from.standing.current.state.pooled === null) return
      // Of three none may be missing: what it would have sent first ends it, and closes its cluster.
      if (kind === 'piece' && lost === undefined) {
        lost = from
        from.end()
      } else if (kind === 'masked') sent.set(from, (sent.get(from) ?? 0) + 1)
    }
    await run({ onMessage }, async (fleet) => {
      const rest = (): Member[] => fleet.members.filter((member) => member !== lost)
      const isLost = (): boolean => lost !== undefined
      while (!isLost()) await new Promise((resolve) => setTimeout(resolve, 20))
      await areOver(rest())
      const models = new Set(rest().map(({ standing }) => Buffer.from(standing.current.hash).toString('hex')))
      expect(models.size).toBe(1)
      const applied = rest().map(({ log }) => log.findLast(({ event }) => event === 'applied')?.facts['members'])
      expect(applied).toContain(9)
      for (const member of rest()) expect(stepsPaid(member)).toBeGreaterThanOrEqual(sent.get(member) ?? 0)
      expect(rest().some((member) => stepsPaid(member) > 0)).toBe(true)
    })
  }, 60_000)
})
