/** A site's policy is asked before it joins a plan, before a person says yes to it, and before each round. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { Federation } from '../../src/federated/index.ts'
import type { TakingPart } from '../../src/federated/index.ts'
import { makeJoin, makeOffer, makeStart } from '../../src/federated/fleet/documents.ts'
import { JobFolder } from '../../src/federated/fleet/job-folder.ts'
import { leastSites } from '../../src/federated/fleet/taking-part.ts'
import { checkFedPlan } from '../../src/federated/plan/read-plan.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { planPermit } from '../../src/peer/federated.ts'
import { createPlanGate, decide, newIdentity, readPolicy, verify } from '../../src/trust/index.ts'
import type { Policy } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'

const WAIT = { timeout: 30_000, interval: 20 }
const base = temporaryFolder()
afterAll(() => rmSync(base, { recursive: true, force: true }))

const [author, self, other] = [newIdentity(), newIdentity(), newIdentity()]
const PRIVACY = { unit: 'record', epsilon: 2, delta: 1e-6, clip: 1, sample_rate: 0.2 }
const STUDY = {
  name: 'study',
  allow: ['train'],
  plans: ['heart*'],
  data: ['here'],
  budget: { epsilon: 2, delta: 1e-5 },
  minimum: { sites: 3, records: 40 },
}

function policy(rule: object = {}, sums: readonly string[] = [author.id, other.id]): Policy {
  const text = JSON.stringify({ schema: 'weft.policy/1', egress: { sums }, rules: [{ ...STUDY, ...rule }] })
  return readPolicy(text, 'policy.json')
}

/** Every number has a range, so that epsilon covers its statistics too. */
const FEATURES = [
  { column: 'age', range: [0, 120] },
  { column: 'chol', missing: [0], range: [50, 700] },
  { column: 'cp', values: [1, 2, 3, 4] },
  { column: 'thalach', scale: { divide: 100 }, range: [40, 250] },
]

/** A peer of its own, with an offer of somebody else in its home, and a network in which it reaches nobody. */
async function site(name: string, changes: object = {}) {
  const home = join(base, name)
  mkdirSync(join(home, 'keys'), { recursive: true })
  const root = join(home, 'federated')
  mkdirSync(root)
  const offer = makeOffer(
    author,
    checkFedPlan(plan({ privacy: PRIVACY, features: FEATURES, ...changes }), 'plan'),
    new Date(0).toISOString(),
  )
  const folder = await JobFolder.create(root, offer)
  const asked: TakingPart[] = []
  const dialled: string[] = []
  const events: Record<string, unknown>[] = []
  const holder = { policy: policy() }
  const permit = planPermit(
    createPlanGate({ decide: (request) => decide(holder.policy, request, 0) }, () => undefined),
    self.id,
  )
  // Ten seconds between two looks pass at once.
  const clock = { ...systemClock(), sleep: (ms: number, signal?: AbortSignal) => systemClock().sleep(ms / 500, signal) }
  const open = () =>
    Federation.open({
      clock,
      random: systemRandom(),
      identity: self,
      verify: (bytes, signature) => verify(self.id, bytes, signature),
      network: {
        handle: () => undefined,
        open: (peer: string) => {
          dialled.push(peer)
          return Promise.reject(new Error('unreachable'))
        },
        connected: () => [],
      },
      engine: createOrtEngine(),
      threads: 1,
      paths: { state: home, keys: join(home, 'keys') },
      admits: () => true,
      permit: (part) => {
        asked.push(part)
        permit(part)
      },
      isPresent: () => true,
      watch: () => () => undefined,
      nameOf: (peer) => peer,
      emit: (event, facts) => void events.push({ event, ...facts }),
      log: () => undefined,
    })
  const data = writeSite(home, 'here', hospitalRows(1, 60))
  return { open, asked, dialled, events, holder, folder, job: offer.job, data, root }
}

const withoutRange = (feature: object): object => ({ ...feature, range: undefined })
const refused = expect.objectContaining({ code: 'WEFT-TRU-072' }) as Error

test('a plan that it does not allow is not joined, with nothing promised and no budget set, whoever approves', async () => {
  for (const [name, changes, rule, sums] of [
    ['budget', { privacy: { ...PRIVACY, epsilon: 2.1 } }, {}, undefined],
    // Noise that the plan sets may cost more than the epsilon that it names.
    ['noise', { privacy: { ...PRIVACY, noise_multiplier: 0.1 } }, {}, undefined],
    // Statistics that leave exactly are covered by no epsilon.
    ['exact', { features: FEATURES.map(withoutRange) }, {}, undefined],
    ['no-privacy', { privacy: 'off', features: FEATURES.map(withoutRange) }, {}, undefined],
    [
      'clear',
      { privacy: 'off', secagg: 'off', features: FEATURES.map(withoutRange) },
      { budget: undefined },
      undefined,
    ],
    ['name', { name: 'lung' }, {}, undefined],
    ['records', {}, { minimum: { records: 1_000 } }, undefined],
    ['sites', {}, { minimum: { sites: 4 } }, undefined],
    ['author', {}, {}, [other.id]],
  ] as const) {
    const { open, asked, holder, job, data } = await site(name, changes)
    holder.policy = policy(rule, sums)
    const federation = await open()
    for (const unapproved of [false, true])
      await expect(federation.joinJob({ job, data, unapproved }), name).rejects.toEqual(refused)
    expect(federation.status(job), name).toMatchObject({ state: 'offered', site: null, approved: false, joined: [] })
    expect(federation.ledger.budgets()).toEqual([])
    expect(asked).toHaveLength(2)
    await federation.stop()
  }
})

test('one that it allows is joined; a person who approves it later finds the policy of that time', async () => {
  const { open, asked, holder, job, data } = await site('later')
  const federation = await open()
  await federation.joinJob({ job, data, unapproved: true })
  expect(asked).toEqual([
    {
      when: 'join',
      peers: [author.id],
      plan: 'heart',
      data: 'here',
      epsilon: 2,
      delta: 1e-6,
      masked: true,
      sites: 3,
      records: 48,
    },
  ])
  holder.policy = policy({ budget: { epsilon: 1 } })
  await expect(federation.approve(job)).rejects.toEqual(refused)
  expect(federation.status(job).approved).toBe(false)
  holder.policy = policy()
  expect((await federation.approve(job)).approved).toBe(true)
  await federation.stop()
})

test('before a round everybody is asked about who may aggregate it; held back, the site goes to nobody until it may', async () => {
  const { open, asked, dialled, events, holder, folder, job, data } = await site('rounds')
  holder.policy = policy({}, [author.id])
  let federation = await open()
  await federation.joinJob({ job, data })
  await federation.stop()
  const offer = folder.offer
  const joins = [author, self, other].map((each, index) => makeJoin(each, offer, `s${index}`))
  await folder.saveStart(makeStart(author, offer, joins))
  asked.length = 0
  dialled.length = 0
  federation = await open()
  // The other member may aggregate as well, and nothing may leave to it.
  await vi.waitFor(() =>
    expect(federation.status(job)).toMatchObject({ stage: 'held by the policy', state: 'running' }),
  )
  expect(federation.status(job).error).toMatchObject({ code: 'WEFT-TRU-072' })
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(2), WAIT)
  expect(asked[0]).toMatchObject({ when: 'round', sites: 3 })
  expect(new Set(asked[0]!.peers)).toEqual(new Set([author.id, self.id, other.id]))
  expect(dialled).toEqual([])
  expect(events.filter(({ event }) => event === 'fed.site.held')).toHaveLength(1)
  holder.policy = policy()
  await vi.waitFor(() => expect(federation.status(job)).toMatchObject({ state: 'running', error: null }), WAIT)
  expect(federation.status(job).stage).not.toBe('held by the policy')
  await federation.stop()
})

test('members of one site are one site, and the smallest round is the one without the single ones', () => {
  expect(leastSites(['a', 'b', 'c'], 3)).toBe(3)
  expect(leastSites(['a', 'b', 'c', 'd'], 3)).toBe(3)
  expect(leastSites(['a', 'a', 'a', 'b', 'c'], 4)).toBe(2)
  expect(leastSites(['a', 'a', 'a'], 3)).toBe(1)
  expect(leastSites([], 3)).toBe(0)
})
