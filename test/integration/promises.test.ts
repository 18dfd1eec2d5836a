/**
 * Promises of reliability in their sampled versions, with everything that `bench/promises.ts` checks but for its figures of time.
 */
import { describe, expect, it } from 'vitest'
import { PROMISES } from '../../bench/promises/all.ts'
import { Report } from '../../bench/promises/report.ts'
import { isLong, isWhole } from '../whole.ts'
import { netlabFor } from './netlab.ts'

const { why } = netlabFor('promises')
/** Minutes each: the others where the suites run whole. */
const SAMPLED = ['R13', 'R22', 'R23']

describe.runIf(isLong)(`on hosts of their own${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  for (const promised of PROMISES.filter((each) => isWhole || SAMPLED.includes(each.id)))
    it.skipIf(why !== undefined)(
      `${promised.id} holds: ${promised.title}`,
      async () => {
        const report = new Report()
        await promised.run(report, true)
        expect(report.injected).not.toEqual([])
        expect(report.broken).toEqual([])
      },
      580_000,
    )
})
