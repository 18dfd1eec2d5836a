/** Whose rows run next: people's, then those of the batch lane, which go along where they cost little and do not starve. */
import { expect, it } from 'vitest'
import { BlockMeter } from '../../src/pipeline/host/block-times.ts'
import type { Job, Session } from '../../src/pipeline/host/jobs.ts'
import { Lanes, PRESENT_MS, YIELD_MS } from '../../src/pipeline/host/lanes.ts'
import { RUN } from '../../src/pipeline/host/protocol.ts'

const head = {} as Session['segment']['head']

const LAYERS = { from: 1, to: 4 }

function jobOf(name: string, since: number, yields: boolean, count = 1, decoders: readonly object[] = []): Job {
  const session = { key: name, yields, segment: { decoders, head } } as unknown as Session
  return { session, since, count, part: 0, done: 0, taken: 0, ran: 0, adapter: undefined } as unknown as Job
}

/** One that waits for layers. */
const promptOf = (name: string, count: number, done = 0): Job => ({
  ...jobOf(name, 0, false, count, [LAYERS]),
  done,
})

const names = (jobs: readonly Job[]): string[] => jobs.map(({ session }) => session.key)
const yielded = (jobs: readonly Job[]): boolean[] => jobs.map(({ ran }) => ran === RUN.yielded)

function lanesWith(...jobs: readonly Job[]): Lanes {
  const lanes = new Lanes()
  for (const job of jobs) lanes.came(job, job.since)
  return lanes
}

it('people go first, together, and what yields is told that it did', () => {
  const jobs = [jobOf('batch', 0, true), jobOf('one', 5, false), jobOf('other', 6, false)]
  expect(names(lanesWith(...jobs).pick(jobs, 10))).toEqual(['one', 'other'])
  expect(yielded(jobs)).toEqual([true, false, false])
})

it('nobody there: the batch lane runs at once, several together', () => {
  const jobs = [jobOf('batch', 0, true), jobOf('more', 1, true)]
  expect(names(lanesWith(...jobs).pick(jobs, 10))).toEqual(['batch', 'more'])
  expect(yielded(jobs)).toEqual([false, false])
})

it('a person whose next row is on its way is waited for', () => {
  const lanes = lanesWith(jobOf('one', 100, false))
  const jobs = [jobOf('batch', 101, true)]
  expect(lanes.pick(jobs, 110)).toEqual([])
  expect(lanes.wakeIn(jobs, 110)).toBe(PRESENT_MS - 10)
  expect(yielded(jobs)).toEqual([true])
  expect(names(lanes.pick(jobs, 100 + PRESENT_MS))).toEqual(['batch'])
})

it('after a while it is as good as any, and many rows wait longer than one', () => {
  const [single, many] = [jobOf('batch', 0, true), jobOf('prompt', 0, true, 32)]
  const jobs = [single, many, jobOf('one', YIELD_MS - 1, false)]
  const lanes = lanesWith(...jobs)
  expect(names(lanes.pick(jobs, YIELD_MS))).toEqual(['batch', 'one'])
  const rest = [many, jobOf('one', 8 * YIELD_MS - 1, false)]
  expect(names(lanes.pick(rest, 8 * YIELD_MS - 1))).toEqual(['one'])
  expect(names(lanes.pick(rest, 8 * YIELD_MS))).toEqual(['prompt', 'one'])
})

it('single rows go along with people, as many as cost them little, and never without them', () => {
  const jobs = [jobOf('a', 0, true), jobOf('prompt', 0, true, 8), jobOf('b', 0, true), jobOf('one', 1, false)]
  const lanes = lanesWith(...jobs)
  expect(names(lanes.pick(jobs, 10, { riders: 1 }))).toEqual(['one', 'a'])
  expect(names(lanes.pick(jobs, 10, { riders: 8 }))).toEqual(['one', 'a', 'b'])
  expect(lanes.pick(jobs.slice(0, 3), 20, { riders: 8 })).toEqual([])
})

it('the second row of a session does not go before its first', () => {
  const first = jobOf('a', 0, true, 8)
  const second = { ...jobOf('a', 0, true), session: first.session }
  const jobs = [first, second, jobOf('one', 1, false)]
  expect(names(lanesWith(...jobs).pick(jobs, 10, { riders: 8 }))).toEqual(['one'])
})

it('how many may go along is measured: none before, more where a further row costs nothing', () => {
  const meter = new BlockMeter()
  expect(meter.riders).toBe(0)
  meter.decoded(4, 1, 1, 8)
  expect(meter.riders).toBe(0)
  // 2 ms a block alone, 0.1 a row of a prompt: two of those are a tenth.
  meter.decoded(4, 1, 100, 40)
  expect(meter.riders).toBe(2)
  // Beside three others a row is 0.02 ms more.
  meter.decoded(4, 4, 4, 4 * 2.06)
  expect(meter.riders).toBe(8)
  meter.decoded(4, 2, 2, 4 * 6)
  meter.decoded(4, 2, 2, 4 * 6)
  expect(meter.riders).toBe(0)
})

const takenOf = (all: readonly Job[], within?: number): (readonly [string, number])[] =>
  new Lanes().pick(all, 10, { rowsWithin: () => within }).map(({ session, taken }) => [session.key, taken])

it('a run has no more rows of prompts than its time allows, and every step that there is a slot for', () => {
  const prompts = [promptOf('long', 128), promptOf('step', 1), promptOf('other', 128), promptOf('guesses', 5)]
  // Before anything is measured.
  expect(takenOf(prompts)).toEqual([
    ['long', 128],
    ['step', 1],
    ['other', 128],
    ['guesses', 5],
  ])
  expect(takenOf(prompts, 52)).toEqual([
    ['long', 50],
    ['step', 1],
    ['guesses', 5],
  ])
  expect(takenOf(prompts, 160)).toEqual([
    ['long', 128],
    ['step', 1],
    ['other', 30],
    ['guesses', 5],
  ])
  // However slow the rows are.
  expect(takenOf(prompts, 0)[0]).toEqual(['long', 16])
  expect(takenOf([promptOf('rest', 128, 120), promptOf('next', 128)], 40)).toEqual([
    ['rest', 8],
    ['next', 32],
  ])
})

it('a run has 512 rows of prompts at most, and what does not fit does not keep steps behind it out', () => {
  const many = [1, 2, 3, 4, 5].map((n) => promptOf(`p${n}`, 128))
  const taken = takenOf([...many, promptOf('step', 1)], 100_000)
  expect(taken.map(([name]) => name)).toEqual(['p1', 'p2', 'p3', 'p4', 'step'])
})

it('apart, whichever was first goes first: steps without prompts, or prompts without steps', () => {
  const pick = (all: readonly Job[]): string[] => names(new Lanes().pick(all, 10, { apart: true }))
  const [step, prompt, other, more] = [promptOf('a', 1), promptOf('long', 64), promptOf('b', 1), promptOf('next', 64)]
  expect(pick([step, prompt, other, more])).toEqual(['a', 'b'])
  expect(pick([prompt, step, more, other])).toEqual(['long', 'next'])
})

it('of steps a run has as many as it may, and prompts beside them', () => {
  const all = [promptOf('a', 1), promptOf('b', 1), promptOf('long', 64), promptOf('c', 1)]
  expect(names(new Lanes().pick(all, 10, { most: 2 }))).toEqual(['a', 'b', 'long'])
})
