/**
 * Members and aggregators of a federation that are killed, frozen or cut off at each stage of a round, as processes of their own on
 * hosts of their own, twice in a row: the sum is exactly that of who stayed, or there is none; no key serves twice, nobody
 * gives both shares of one member, and each vector that left is in its site's ledger.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createField } from '../../bench/promises/field.ts'
import type { Field } from '../../bench/promises/field.ts'
import type { JobStatus } from '../../src/federated/index.ts'
import { hospitalRows, plan, writeSite } from '../federated/support/hospitals.ts'
import { isLong, sampled } from '../whole.ts'
import { faultsOf, saidBy } from './fed-recorded.ts'
import { netlabFor } from './netlab.ts'
import { joined, until } from './support.ts'
import type { RealPeer } from './support.ts'

const { why } = netlabFor('faults')
/** Of no two sets of sites the same sum: which are in it follows from the number. Four of five rows are for training. */
const ROWS = [50, 55, 65, 85, 125]
const RECORDS = ROWS.map((rows) => (rows * 4) / 5)
/** Before the message of the stage, of every member and in each round: the fault comes meanwhile. */
const HELD_MS = 6000
/** Who was killed is no longer held, and the others are longer than it takes to start it. */
const HELD_FOR_KILLS_MS = 12_000
const LIMIT_MS = 300_000

/** The message that is held, and what a site does until it leaves. */
const STAGES = {
  advertise: 'training',
  shares: 'advertised',
  masked: 'shared',
  consistency: 'masked',
  reveal: 'signed',
}
type Stage = keyof typeof STAGES
type Who = 'member' | 'aggregator'
type Fault = 'kill' | 'freeze' | 'cut'

const ALL = (Object.keys(STAGES) as Stage[]).flatMap((stage) =>
  (['member', 'aggregator'] as const).flatMap((who) =>
    (['kill', 'freeze', 'cut'] as const).map((fault) => [who, fault, stage] as const),
  ),
)
const FIRST = [
  ['member', 'cut', 'reveal'],
  ['aggregator', 'kill', 'consistency'],
] as const
const isFirst = (one: readonly [Who, Fault, Stage]): boolean => FIRST.some((first) => first.join() === one.join())
const CASES: readonly (readonly [Who, Fault, Stage])[] = sampled([...FIRST, ...ALL.filter((one) => !isFirst(one))], 2)

const peers: RealPeer[] = []
let field: Field
/** The job of a test that has not ended well: what it still says would be taken for what the next one says. */
let open: string | undefined

beforeAll(async () => {
  if (why !== undefined || !isLong) return
  field = await createField(ROWS.length, ['--rtt', '4'])
  for (const at of ROWS.keys()) peers.push(await field.start(`s${at}`, at + 1))
  await joined(peers)
}, 600_000)
/** What a test that failed has left is no matter of the next. */
beforeEach(async () => {
  for (const [at, { child }] of peers.entries()) {
    child.kill('SIGCONT')
    if (child.exitCode !== null || child.signalCode !== null) peers[at] = await field.start(`s${at}`, at + 1)
  }
  if (peers.length > 0) await joined(peers)
  const left = open
  open = undefined
  if (left !== undefined) {
    await Promise.all(peers.map(({ access }) => access.federated({ op: 'stop', job: left }).catch(() => undefined)))
  }
}, 600_000)
afterAll(async () => field?.stop())

const status = async ({ access }: RealPeer, job: string): Promise<JobStatus> =>
  (await access.federated({ op: 'status', job })) as JobStatus

/** From here on this site is gone for the others. @returns what brings it back */
async function strike(at: number, fault: Fault): Promise<() => Promise<void>> {
  const others = [...peers.keys()].filter((other) => other !== at)
  if (fault === 'freeze') {
    peers[at]!.child.kill('SIGSTOP')
    return () => Promise.resolve(void peers[at]!.child.kill('SIGCONT'))
  }
  if (fault === 'cut') {
    for (const other of others) {
      field.deafen(at + 1, other + 1)
      field.deafen(other + 1, at + 1)
    }
    return () => {
      for (const other of others) {
        field.hear(at + 1, other + 1)
        field.hear(other + 1, at + 1)
      }
      return Promise.resolve()
    }
  }
  peers[at]!.child.kill('SIGKILL')
  return async () => void (peers[at] = await field.start(`s${at}`, at + 1))
}

interface Struck {
  readonly at: number
  readonly round: number
}

/** When all are at the stage in that round, one of them is struck; it comes back when the others are further, or cannot be. */
async function disturb(job: string, [who, fault, stage]: readonly [Who, Fault, Stage], round: number): Promise<Struck> {
  let at = -1
  await until(
    `all are held before "${stage}" of round ${round}`,
    async () => {
      const all = await Promise.all(peers.map((peer) => status(peer, job)))
      const there = all.map(
        (one) => one.round === round && one.stage === STAGES[stage] && one.test_interface.length > 0,
      )
      const aggregators = new Set(all.flatMap(({ aggregator }, index) => (there[index]! ? [aggregator] : [])))
      if (there.filter(Boolean).length < peers.length - 1 || aggregators.size !== 1) return false
      const aggregator = peers.findIndex(({ id }) => aggregators.has(id))
      at = who === 'aggregator' ? aggregator : there.findIndex((isThere, index) => isThere && index !== aggregator)
      return at >= 0
    },
    LIMIT_MS,
  )
  const back = await strike(at, fault)
  const others = peers.filter((_, index) => index !== at)
  await until(
    'the others go on, or wait for this one alone',
    async () => {
      const all = await Promise.all(others.map((peer) => status(peer, job)))
      const isFurther = all.every((one) => one.round > round)
      return isFurther || all.some(({ waits }) => waits?.why.startsWith('their sum was signed') === true)
    },
    LIMIT_MS,
  )
  await back()
  return { at, round }
}

interface Round {
  readonly event: string
  readonly round: number
  readonly members: number
  readonly records: number | null
}

/** The sites of which the records are the sum. */
function sitesOf({ members, records }: Round): readonly number[] | undefined {
  for (let set = 0; set < 1 << RECORDS.length; set++) {
    const sites = [...RECORDS.keys()].filter((site) => (set >> site) % 2 === 1)
    if (sites.length === members && sites.reduce((sum, site) => sum + RECORDS[site]!, 0) === records) return sites
  }
  return undefined
}

const PRIVACY = { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: 0.2, noise_multiplier: 4 }

async function begun(name: string, [, fault, stage]: (typeof ALL)[number], isPrivate: boolean): Promise<string> {
  const [author] = peers as [RealPeer]
  const changes = { name, rounds: 4, local: { steps: 1, batch: 'full', lr: 0.5 }, deadline: '60s' }
  const made = plan({ ...changes, ...(isPrivate ? { privacy: PRIVACY } : {}) })
  const { job } = (await author.access.federated({ op: 'create', plan: made })) as { readonly job: string }
  open = job
  for (const [at, { access, home }] of peers.entries()) {
    const folder = join(home, name)
    mkdirSync(folder)
    const data = writeSite(folder, `${name}-${at}`, hospitalRows(at + 1, ROWS[at]!))
    const hold = { [stage]: fault === 'kill' ? HELD_FOR_KILLS_MS : HELD_MS }
    await access.federated({ op: 'join', job, data, cap: 100, hold, record: join(folder, 'kept') })
  }
  await until('all have joined', async () => (await status(author, job)).joined.length === peers.length)
  await author.access.federated({ op: 'start', job })
  return job
}

async function charges(peer: RealPeer, data: string): Promise<number> {
  const { entries } = (await peer.access.federated({ op: 'budget' })) as {
    readonly entries: readonly { readonly data: string; readonly events: readonly { readonly steps: number }[] }[]
  }
  const own = entries.find((entry) => entry.data === data)
  return own?.events.reduce((sum, { steps }) => sum + steps, 0) ?? 0
}

describe.runIf(isLong && why === undefined)('who is gone at a stage of a round', () => {
  test.each(CASES)(
    'a %s, by %s, before "%s", twice in a row',
    async (...one) => {
      const [who, fault, stage] = one
      // What is summed exactly is seen without noise, and what is charged for with it.
      const isPrivate = ALL.findIndex((each) => each.join() === one.join()) % 2 === 1
      const name = one.join('-')
      const job = await begun(name, one, isPrivate)
      const before = peers.map(({ pid }) => pid)
      const struck = [await disturb(job, one, 1), await disturb(job, one, 2)]
      const areOver = async (): Promise<boolean> =>
        (await Promise.all(peers.map((peer) => status(peer, job)))).every(({ state }) => state === 'finished')
      await until('all are finished', areOver, LIMIT_MS)
      open = undefined
      const all = await Promise.all(peers.map((peer) => status(peer, job)))
      expect(new Set(all.map(({ model }) => model)).size).toBe(1)

      const unharmed = [...peers.keys()].filter((at) => struck.every((each) => each.at !== at))
      const told = (await peers[unharmed[0]!]!.access.federated({ op: 'rounds', job })) as { readonly rounds: Round[] }
      const rounds = told.rounds.filter(({ event }) => event === 'round')
      expect(rounds.map(({ round }) => round)).toEqual([1, 2, 3, 4])
      if (!isPrivate) {
        const sums = rounds.map(sitesOf)
        expect(sums).not.toContain(undefined)
        // A vector that had left counts; one that had not does not.
        const counts = stage === 'consistency' || stage === 'reveal'
        for (const { at, round } of who === 'member' ? struck : [])
          expect([round, sums[round]!.includes(at)]).toEqual([round, counts])
      }

      const said = peers.map(({ home }) => saidBy(join(home, name, 'kept')))
      expect(said.filter(({ vectors }) => vectors.size > 0)).toHaveLength(peers.length)
      expect(faultsOf(said)).toEqual([])
      for (const [at, peer] of isPrivate ? peers.entries() : []) {
        const [paid, sent] = [await charges(peer, `${name}-${at}`), said[at]!.vectors.size]
        // The first sum is of the columns, and is not paid for. What a site that was killed sent later is not recorded.
        if (peer.pid === before[at]) expect([at, fault, paid]).toEqual([at, fault, sent - 1])
        else expect(paid).toBeGreaterThanOrEqual(sent - 1)
      }
    },
    900_000,
  )
})
