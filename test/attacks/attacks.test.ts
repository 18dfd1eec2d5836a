import { describe, expect, test } from 'vitest'
import { isLong, isWhole } from '../whole.ts'
import { ATTACKS } from './list.ts'

/** These take seconds each even when they are small: npm run attacks has them, and a whole run. */
const LONG = new Set(['E1b', 'E3', 'E6b', 'E8b', 'E11'])
/** Half a minute of computing: with the suites of many processes, `npm run test:long`, and not twice in `.ci/run`. */
const LATER = new Set(['E9'])
const isAsked = (id: string): boolean => isWhole || (isLong ? LATER.has(id) : !LONG.has(id) && !LATER.has(id))
/** Only to fail: one has three processes that share two processors with whatever else runs. */
const PATIENCE_MS = 400_000

describe('an attack', () => {
  test.each(ATTACKS.filter(({ id }) => isAsked(id)).map((attack) => [attack.id, attack.name, attack] as const))(
    '%s, %s, succeeds without the defence, and not with it',
    async (_, __, attack) => {
      const outcomes = [...(await attack.control('few')), ...(await attack.defended('few'))]
      expect(outcomes.filter(({ holds }) => !holds)).toEqual([])
      expect(outcomes.length).toBeGreaterThan(1)
    },
    PATIENCE_MS,
  )
})
