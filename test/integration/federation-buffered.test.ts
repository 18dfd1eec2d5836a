/**
 * Asynchronous rounds (FedBuff) over real processes, of which one site is really slow: its program is still training while the
 * others make rounds. Its update counts once, in a later cohort, by its age; nobody waits for it; and whoever is killed meanwhile,
 * the site itself or whoever aggregates, twice in a row, nothing counts twice.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditFolder } from '../../src/federated/index.ts'
import type { JobStatus } from '../../src/federated/index.ts'
import { readNpz } from '../../src/data/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from '../federated/support/hospitals.ts'
import { isLong, isWhole } from '../whole.ts'
import { begun, finished, jobStatus, roundsOf, siteFolder } from './fed-job.ts'
import type { NotedRound } from './fed-job.ts'
import { GatedTrainer, Replay } from './fed-buffered.ts'
import { faultsOf, saidBy } from './fed-recorded.ts'
import { createLab, joined, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

/** Seven sites: a model takes the votes of five, so one may be slow and another gone. */
const SITES = 7
const LIMIT_MS = 240_000

let lab: Lab
const peers: RealPeer[] = []

beforeAll(async () => {
  if (!isLong) return
  lab = await createLab()
  peers.push(...(await Promise.all(Array.from({ length: SITES }, (_, at) => lab.start(`s${at}`)))))
  await joined(peers)
}, 300_000)
afterAll(async () => lab?.stop())

interface Job {
  readonly id: string
  /** The sites that are in it; the last is the slow one. */
  readonly sites: readonly number[]
  readonly slow: number
  readonly programs: readonly GatedTrainer[]
  readonly replay: Replay
  readonly name: string
}

/** Of each coordinate: multiples of 2^-8, of no two sites the same. */
const updateOf = (site: number, turn = 0): number => ((site + 1) * (turn + 1)) / 256

function planOf(name: string, cohort: number, rounds: number, changes: object): object {
  return plan({
    name,
    model: { kind: 'linear' },
    init: 'zeros',
    rounds,
    strategy: { name: 'fedbuff', server_lr: 0.5 },
    buffer: { cohort },
    deadline: '120s',
    transcripts: 20,
    ...changes,
  })
}

/** @param turns how many trainings of a site have an update of their own */
async function jobOf(
  name: string,
  init: { sites: number; cohort: number; rounds: number; turns?: number; changes?: object; hold?: object },
): Promise<Job> {
  const { sites: count, cohort, rounds, turns = 0, changes = {}, hold } = init
  const here = peers.slice(0, count)
  const wanted = planOf(name, cohort, rounds, changes)
  const data = here.map((peer, at) => writeSite(siteFolder(peer, name), `${name}-${at}`, hospitalRows(at + 1, 60)))
  const replay = await Replay.open(join(temporaryFolder(), 'replay'), wanted, data)
  const programs = here.map((peer) => new GatedTrainer(siteFolder(peer, name)))
  for (const [at, program] of programs.entries()) {
    await program.give(replay.updateOf(updateOf(at)))
    for (let turn = 0; turn < turns; turn++) await program.give(replay.updateOf(updateOf(at, turn)), turn)
  }
  const slow = count - 1
  programs[slow]!.gate(0)
  const id = await begun(
    here,
    wanted,
    (_, at) => data[at]!,
    (at) => ({
      trainer: programs[at]!.command,
      record: join(siteFolder(here[at]!, name), 'kept'),
      ...(at === slow && hold !== undefined ? { hold } : {}),
    }),
  )
  return { id, sites: here.map((_, at) => at), slow, programs, replay, name }
}

const statusOf = (at: number, { id }: Job): Promise<JobStatus> => jobStatus(peers[at]!, id)

async function roundsAt(at: number, { id }: Job): Promise<ReadonlyMap<number, NotedRound>> {
  return new Map((await roundsOf(peers[at]!, id)).map((line) => [line.round, line]))
}

const fastOf = ({ sites, slow }: Job): number[] => sites.filter((at) => at !== slow)

/** Rounds that some of the others have made. */
async function madeIn(job: Job): Promise<number> {
  return Math.max(...(await Promise.all(fastOf(job).map(async (at) => (await statusOf(at, job)).round))))
}

/** The others train nothing meanwhile, so that a round or two are made at most. */
async function meanwhile(job: Job, action: () => Promise<void>): Promise<void> {
  for (const at of fastOf(job)) job.programs[at]!.pause()
  await action()
  for (const at of fastOf(job)) job.programs[at]!.resume()
}

/** Some of the others have made so many rounds. */
async function come(job: Job, round: number): Promise<void> {
  await until(`round ${round} is made`, async () => (await madeIn(job)) >= round, LIMIT_MS)
}

async function ended(job: Job): Promise<JobStatus[]> {
  return finished(
    job.sites.map((at) => peers[at]!),
    job.id,
    LIMIT_MS,
  )
}

/** Kills the process and starts another in its home. */
async function killed(at: number): Promise<() => Promise<void>> {
  peers[at]!.child.kill('SIGKILL')
  await until('it is gone', () => peers[at]!.child.signalCode !== null)
  return async () => {
    peers[at] = await lab.start(`s${at}`)
    await joined(peers)
  }
}

interface Counted {
  readonly round: number
  readonly members: readonly number[]
  /** Of each update that is in it, by the site's own word. */
  readonly ages: ReadonlyMap<number, number>
  /** Mean age, as all were told. */
  readonly staleness: number | undefined
}

/** Of each round who was in it, as its members signed it, and how old each update was, as its site noted it. */
async function countedIn(job: Job, rounds: number): Promise<Counted[]> {
  const exports = join(temporaryFolder(), 'exports')
  for (const at of job.sites)
    await peers[at]!.access.federated({ op: 'export', job: job.id, out: join(exports, `${at}`) })
  const report = await auditFolder(exports)
  // Each sum is made again of the masked vectors, and the model of each sum.
  expect(report.findings).toEqual([])
  expect([...report.rounds, ...report.results].flatMap(({ findings }) => findings)).toEqual([])
  const lines = new Map<number, ReadonlyMap<number, NotedRound>>()
  for (const at of job.sites) lines.set(at, await roundsAt(at, job))
  const counted: Counted[] = []
  for (let round = 1; round <= rounds; round++) {
    // The first sum is of the statistics.
    const { model, session } = report.results.find(({ step }) => step === round + 1)!
    const result = report.rounds.find((one) => one.session === session && one.state === model)!
    const members = result.members
      .map((id) => peers.findIndex((peer) => peer.id === id))
      .toSorted((one, other) => one - other)
    const own = members.map((at) => [at, lines.get(at)!.get(round)?.['own_age']] as const)
    const ages = new Map(own.filter((one): one is readonly [number, number] => typeof one[1] === 'number'))
    const told = members.map((at) => lines.get(at)!.get(round)?.['staleness']).find((one) => typeof one === 'number')
    counted.push({ round, members, ages, staleness: told })
  }
  return counted
}

/** No key of two sums, one signature a sum, never both shares of one member. */
function expectNoFaults(job: Job): void {
  const said = job.sites.map((at) => saidBy(join(siteFolder(peers[at]!, job.name), 'kept')))
  expect(said.some(({ vectors }) => vectors.size > 0)).toBe(true)
  expect(faultsOf(said)).toEqual([])
}

async function refusalsAt(at: number, { id }: Job): Promise<unknown[]> {
  const { events } = (await peers[at]!.access.federated({ op: 'log', job: id })) as {
    readonly events: readonly NotedRound[]
  }
  return events.flatMap(({ event, ...facts }) => (event === 'update.refused' ? [[facts['code'], facts['oldest']]] : []))
}

/**
 * Until the slow one has come to those who aggregate with what it has trained, and stands where the others do: its word may
 * first have gone to one that had given it up.
 */
async function isBack(job: Job): Promise<void> {
  await until(
    'the slow one offers its update',
    async () => {
      const [own, other] = await Promise.all([statusOf(job.slow, job), statusOf(fastOf(job)[0]!, job)])
      return own.stage === 'advertised' && own.model === other.model
    },
    LIMIT_MS,
  )
}

describe.runIf(isLong)('a slow site of asynchronous rounds', () => {
  test('counts in a later cohort by its age, the others do not wait, and the model is that of the same rounds in one process', async () => {
    const job = await jobOf('late', { sites: 5, cohort: 4, rounds: 4, turns: 6 })
    // From the fourth model on the others wait, so that the slow one is in that cohort, three rounds old: its weight is a half.
    for (const at of fastOf(job)) job.programs[at]!.gate(3)
    await come(job, 3)
    expect(job.programs[job.slow]!.turns).toBe(1)
    expect((await statusOf(job.slow, job)).stage).toBe('training')
    job.programs[job.slow]!.open(0)
    await isBack(job)
    for (const at of fastOf(job)) job.programs[at]!.open(3)
    const all = await ended(job)
    expect(new Set(all.map(({ model }) => model)).size).toBe(1)

    const counted = await countedIn(job, 4)
    expect(counted.slice(0, 3).map(({ members, staleness }) => [members, staleness])).toEqual(
      [1, 2, 3].map(() => [[0, 1, 2, 3], 0]),
    )
    const last = counted[3]!
    expect([last.members.length, last.ages.get(job.slow), last.staleness]).toEqual([4, 3, 3 / 4])
    for (const { members, round } of counted) {
      const partOf = (site: number): Parameters<Replay['round']>[0][number] =>
        site === job.slow
          ? { site, update: updateOf(site, 0), from: 0 }
          : { site, update: updateOf(site, round - 1), from: round - 1 }
      await job.replay.round(members.map(partOf))
    }
    expect(all[0]!.model).toBe(job.replay.model)
    expectNoFaults(job)
    await job.replay.close()
  }, 300_000)

  test('is refused by a code where its update is older than the plan lets it be, and trains anew', async () => {
    const job = await jobOf('bounded', {
      sites: 5,
      cohort: 4,
      rounds: 4,
      turns: 6,
      changes: { buffer: { cohort: 4, oldest: 2 } },
    })
    for (const at of fastOf(job)) job.programs[at]!.gate(3)
    await come(job, 3)
    job.programs[job.slow]!.open(0)
    await isBack(job)
    expect(await refusalsAt(job.slow, job)).toEqual([['WEFT-FED-089', 2]])
    expect(job.programs[job.slow]!.turns).toBe(2)
    for (const at of fastOf(job)) job.programs[at]!.open(3)
    const all = await ended(job)
    const counted = await countedIn(job, 4)
    expect([counted[3]!.ages.get(job.slow), counted[3]!.staleness]).toEqual([0, 0])
    for (const { members, round } of counted) {
      const turnOf = (site: number): number => (site === job.slow ? 1 : round - 1)
      await job.replay.round(members.map((site) => ({ site, update: updateOf(site, turnOf(site)), from: round - 1 })))
    }
    expect(all[0]!.model).toBe(job.replay.model)
    await job.replay.close()
  }, 300_000)

  test('may be killed while it trains, twice in a row: the others go on, and what it was training counts nowhere', async () => {
    const rounds = 12
    const job = await jobOf('killed', { sites: SITES, cohort: 5, rounds })
    const program = job.programs[job.slow]!
    for (const turn of [1, 2]) program.gate(turn)
    for (const time of [1, 2]) {
      await until('it is training', () => program.turns === time, LIMIT_MS)
      const made = await madeIn(job)
      const back = await killed(job.slow)
      await come(job, made + 1)
      await meanwhile(job, async () => {
        await back()
        await until('it has begun anew', () => program.turns === time + 1, LIMIT_MS)
      })
    }
    await come(job, (await madeIn(job)) + 1)
    await meanwhile(job, async () => {
      program.open(2)
      await isBack(job)
    })
    await expectedOf(job, rounds, (counted) => {
      expect(counted.slice(0, 2).every(({ members }) => !members.includes(job.slow))).toBe(true)
      expect(counted.flatMap(({ ages }) => ages.get(job.slow) ?? []).some((age) => age > 0)).toBe(true)
    })
  }, 400_000)

  test.runIf(isWhole)(
    'is in a sum whose aggregator is killed, twice in a row: its update, which has left, counts once',
    async () => {
      const rounds = 10
      // The slow one is held when its vector has left, before it signs: so long there is an aggregator to kill.
      const job = await jobOf('aggregator', { sites: SITES, cohort: 5, rounds, hold: { consistency: 3000 } })
      await come(job, 2)
      job.programs[job.slow]!.open(0)
      const struck = new Set<number>()
      while (struck.size < 2) {
        let [target, round] = [-1, 0]
        await until(
          'the vector of the slow one has left, and another site aggregates',
          async () => {
            const { stage, aggregator, round: made } = await statusOf(job.slow, job)
            target = peers.findIndex(({ id }) => id === aggregator)
            round = made
            return stage === 'masked' && target >= 0 && target !== job.slow && !struck.has(made)
          },
          LIMIT_MS,
        )
        struck.add(round)
        const back = await killed(target)
        await until('the others go on, or wait for it alone', async () => goesOn(job, target, round), LIMIT_MS)
        await meanwhile(job, back)
      }
      await expectedOf(job, rounds, (counted) => {
        expect(counted.flatMap(({ ages }) => ages.get(job.slow) ?? []).some((age) => age > 0)).toBe(true)
      })
    },
    400_000,
  )

  test.runIf(isWhole).each([1, 2])(
    'is killed when its late vector has left, before it signs, for time %i: it counts once, as late as it was',
    async (time) => {
      const rounds = 8
      const name = `vanished-${time}`
      const job = await jobOf(name, { sites: SITES, cohort: 5, rounds, hold: { consistency: 3000 } })
      await come(job, 2)
      job.programs[job.slow]!.open(0)
      let round = 0
      await until(
        'its vector has left',
        async () => {
          const { stage, round: made } = await statusOf(job.slow, job)
          round = made
          return stage === 'masked' && made > 0
        },
        LIMIT_MS,
      )
      const back = await killed(job.slow)
      // The others have signed a set with it: they wait for it alone, and what leaves of it again has to be the same.
      await until('the others wait for it, or go on', async () => goesOn(job, job.slow, round), LIMIT_MS)
      await meanwhile(job, back)
      await expectedOf(job, rounds, (counted) => {
        expect(counted.some(({ members, staleness = 0 }) => members.includes(job.slow) && staleness > 0)).toBe(true)
      })
    },
    400_000,
  )
})

/** A sum that was signed is made again of the same members: then they wait for the one that is gone. */
async function goesOn(job: Job, without: number, round: number): Promise<boolean> {
  const others = job.sites.filter((at) => at !== without)
  const all = await Promise.all(others.map((at) => statusOf(at, job)))
  return all.some(({ round: made, waits }) => made > round || waits?.why.startsWith('their sum was signed') === true)
}

/** All are over with one model, which is that of the rounds as they were signed; every update is in it once. */
async function expectedOf(job: Job, rounds: number, holds: (counted: readonly Counted[]) => void): Promise<void> {
  const all = await ended(job)
  expect(new Set(all.map(({ model }) => model)).size).toBe(1)
  const counted = await countedIn(job, rounds)
  holds(counted)
  for (const { round, members, ages, staleness } of counted) {
    // A site that was killed has no line of that round: what is left of the mean is its age.
    const unknown = members.filter((at) => !ages.has(at))
    expect(unknown.length).toBeLessThanOrEqual(1)
    const known = [...ages.values()].reduce((sum, age) => sum + age, 0)
    const rest = staleness === undefined ? 0 : Math.round(staleness * members.length) - known
    const ageOf = (site: number): number => ages.get(site) ?? rest
    const from = (site: number): number => round - 1 - ageOf(site)
    await job.replay.round(members.map((site) => ({ site, update: updateOf(site), from: from(site) })))
  }
  onceFrom(counted)
  // What is no multiple of 2^-16 is rounded by chance, each by less than a unit, and half of the mean is what a round adds.
  const wanted = job.replay.states.at(-1)!.global
  const model = await exportedModel(job, rounds)
  const off = Math.max(...model.map((value, at) => Math.abs(value - wanted[at]!)))
  expect(off).toBeLessThan(rounds / 2 / 2 ** 16)
  expectNoFaults(job)
  await job.replay.close()
}

/** No site counts twice with what it trained from one model. */
function onceFrom(counted: readonly Counted[]): void {
  const seen = new Set<string>()
  for (const { round, ages } of counted) {
    for (const [site, age] of ages) {
      const what = `site ${site} from model ${round - 1 - age}`
      expect(seen).not.toContain(what)
      seen.add(what)
    }
  }
}

async function exportedModel(job: Job, rounds: number): Promise<number[]> {
  const out = join(temporaryFolder(), 'model')
  const [first] = job.sites
  await peers[first!]!.access.federated({ op: 'export', job: job.id, out })
  const name = `round-${String(rounds).padStart(4, '0')}.npz`
  expect(existsSync(join(out, name)) ? name : readdirSync(out)).toBe(name)
  const arrays = await readNpz(join(out, name))
  return [...arrays.values()].flatMap(({ data }) => [...(data as Float32Array)])
}
