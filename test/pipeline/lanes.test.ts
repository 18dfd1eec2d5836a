/** Which rows run next: the oldest, but for those of the batch lane, which yield to others for a while and not for ever. */
import { expect, it } from 'vitest'
import { pickJobs, YIELD_MS } from '../../src/pipeline/host/jobs.ts'
import type { Job, Session } from '../../src/pipeline/host/jobs.ts'
import { RUN } from '../../src/pipeline/host/protocol.ts'

const head = {} as Session['segment']['head']

function jobOf(name: string, since: number, yields: boolean): Job {
  const session = { key: name, yields, segment: { decoders: [], head } } as unknown as Session
  return { session, since, count: 1, part: 0, ran: 0, adapter: undefined } as unknown as Job
}

const names = (jobs: readonly Job[]): string[] => jobs.map(({ session }) => session.key)

it('people go first, together, and what yields is told that it did', () => {
  const jobs = [jobOf('batch', 0, true), jobOf('one', 5, false), jobOf('other', 6, false)]
  expect(names(pickJobs(jobs, 10))).toEqual(['one', 'other'])
  expect(jobs.map(({ ran }) => ran)).toEqual([RUN.yielded, 0, 0])
})

it('nobody else: the batch lane runs, several together', () => {
  const jobs = [jobOf('batch', 0, true), jobOf('more', 1, true)]
  expect(names(pickJobs(jobs, 10))).toEqual(['batch', 'more'])
  expect(jobs.map(({ ran }) => ran)).toEqual([0, 0])
})

it('after a while it is as good as any', () => {
  const jobs = [jobOf('batch', 0, true), jobOf('fresh', 20, true), jobOf('one', 30, false)]
  expect(names(pickJobs(jobs, YIELD_MS))).toEqual(['batch', 'one'])
  expect(jobs.map(({ ran }) => ran)).toEqual([0, RUN.yielded, 0])
})
