/** What federated plans ask of a site: the site decides, and each decision is told. */
import { expect, test } from 'vitest'
import { createPlanGate, decide, newIdentity, readPolicy } from '../../../src/trust/index.ts'
import type { Decision, PlanQuestion, PolicyRequest, Role } from '../../../src/trust/index.ts'

const [COORDINATOR, MEMBER, GUEST, STRANGER] = Array.from({ length: 4 }, () => newIdentity().id) as [
  string,
  string,
  string,
  string,
]
const POLICY = readPolicy(
  JSON.stringify({
    schema: 'weft.policy/1',
    egress: { sums: [COORDINATOR, MEMBER], data: [COORDINATOR] },
    rules: [
      {
        name: 'study',
        allow: ['train'],
        roles: ['site', 'admin'],
        plans: ['heart-*'],
        data: ['heart'],
        budget: { epsilon: 3, delta: 1e-5 },
        minimum: { sites: 3, records: 64 },
      },
      { name: 'rows', allow: ['data'], data: ['public-*'] },
    ],
  }),
  'policy.json',
)
const PLAN = {
  plan: 'heart-1',
  data: 'heart',
  epsilon: 2,
  delta: 1e-6,
  sites: 5,
  records: 500,
  masked: true,
} as const

function gate(): { told: [PolicyRequest, Decision][]; probed: string[]; gate: ReturnType<typeof createPlanGate> } {
  const told: [PolicyRequest, Decision][] = []
  const probed: string[] = []
  const roleOf = (peer: string): Role => (peer === GUEST ? 'guest' : 'site')
  const site = { decide: (request: PolicyRequest) => decide(POLICY, { ...request, role: roleOf(request.peer) }, 1e12) }
  const made = createPlanGate(
    site,
    (...each) => void told.push(each),
    (peer) => void probed.push(peer),
  )
  return { told, probed, gate: made }
}

test('a plan within the budget and the cohort is admitted, and no other one, each told with its rule', () => {
  const { told, probed, gate: it } = gate()
  expect(it.admitPlan(COORDINATOR, PLAN)).toMatchObject({ allow: true, rule: 'study' })
  const others: [Partial<PlanQuestion>, string][] = [
    // What leaves in clear is not what "sums" lets leave.
    [{ masked: false }, 'egress'],
    [{ plan: 'lung-1' }, 'default'],
    [{ data: 'lung' }, 'default'],
    [{ epsilon: 3.5 }, 'default'],
    [{ epsilon: undefined }, 'default'],
    [{ sites: 2 }, 'default'],
    [{ records: 63 }, 'default'],
  ]
  for (const [change, rule] of others) {
    const asked = (): unknown => it.admitPlan(COORDINATOR, { ...PLAN, ...change })
    expect(asked).toThrow(expect.objectContaining({ code: 'WEFT-TRU-072' }))
    expect(told.at(-1)).toMatchObject([{ action: 'train' }, { allow: false, rule }])
  }
  for (const peer of [GUEST, STRANGER])
    expect(() => it.admitPlan(peer, PLAN)).toThrow(expect.objectContaining({ code: 'WEFT-TRU-072' }))
  expect(told).toHaveLength(3 + others.length)
  expect(probed).toHaveLength(2 + others.length)
})

test('a round is admitted where all who may be sent sums of it are, and a refusal of one is no probing', () => {
  const { told, probed, gate: it } = gate()
  it.admitRound([COORDINATOR, MEMBER], PLAN)
  expect(() => it.admitRound([COORDINATOR, STRANGER, MEMBER], PLAN)).toThrow(
    expect.objectContaining({ code: 'WEFT-TRU-072', details: expect.objectContaining({ peer: STRANGER }) as unknown }),
  )
  expect(told.map(([{ peer }, { allow }]) => [peer, allow])).toEqual([
    [COORDINATOR, true],
    [MEMBER, true],
    [COORDINATOR, true],
    [STRANGER, false],
  ])
  expect(probed).toEqual([])
})

test('labelled rows go to whom egress lists, of the data sets that a rule names, and to nobody else', () => {
  const { gate: it } = gate()
  expect(it.admitData(COORDINATOR, 'public-1')).toMatchObject({ allow: true, rule: 'rows' })
  expect(() => it.admitData(COORDINATOR, 'heart')).toThrow(expect.objectContaining({ code: 'WEFT-TRU-072' }))
  expect(() => it.admitData(STRANGER, 'public-1')).toThrow(expect.objectContaining({ code: 'WEFT-TRU-072' }))
})
