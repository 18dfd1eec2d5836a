/** What federated plans ask of a site: the site decides, and each decision is told. */
import { expect, test } from 'vitest'
import { createPlanGate, decide, newIdentity, readPolicy } from '../../../src/trust/index.ts'
import type { Decision, PlanQuestion, PolicyRequest } from '../../../src/trust/index.ts'

const [COORDINATOR, STRANGER] = [newIdentity().id, newIdentity().id]
const POLICY = readPolicy(
  JSON.stringify({
    schema: 'weft.policy/1',
    egress: { sums: [COORDINATOR], data: [COORDINATOR] },
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
  coordinator: COORDINATOR,
  role: 'site',
  plan: 'heart-1',
  data: 'heart',
  epsilon: 2,
  delta: 1e-6,
  sites: 5,
  records: 500,
} as const

function gate(): { told: [PolicyRequest, Decision][]; gate: ReturnType<typeof createPlanGate> } {
  const told: [PolicyRequest, Decision][] = []
  const site = { decide: (request: PolicyRequest) => decide(POLICY, request, 1e12) }
  return { told, gate: createPlanGate(site, (...each) => void told.push(each)) }
}

test('a plan within the budget and the cohort is admitted, and no other one, each told with its rule', () => {
  const { told, gate: it } = gate()
  expect(it.admitPlan(PLAN)).toMatchObject({ allow: true, rule: 'study' })
  const others: [Partial<PlanQuestion>, string][] = [
    [{ coordinator: STRANGER }, 'egress'],
    [{ role: 'guest' }, 'default'],
    [{ plan: 'lung-1' }, 'default'],
    [{ data: 'lung' }, 'default'],
    [{ epsilon: 3.5 }, 'default'],
    [{ sites: 2 }, 'default'],
    [{ records: 63 }, 'default'],
  ]
  for (const [change, rule] of others) {
    expect(() => it.admitPlan({ ...PLAN, ...change })).toThrow(expect.objectContaining({ code: 'WEFT-TRU-072' }))
    expect(told.at(-1)).toMatchObject([{ action: 'train' }, { allow: false, rule }])
  }
  expect(told).toHaveLength(1 + others.length)
})

test('labelled rows go to whom egress lists, of the data sets that a rule names, and to nobody else', () => {
  const { gate: it } = gate()
  expect(it.admitData(COORDINATOR, 'public-1')).toMatchObject({ allow: true, rule: 'rows' })
  expect(() => it.admitData(COORDINATOR, 'heart')).toThrow(expect.objectContaining({ code: 'WEFT-TRU-072' }))
  expect(() => it.admitData(STRANGER, 'public-1')).toThrow(expect.objectContaining({ code: 'WEFT-TRU-072' }))
})
