import { describe, expect, test } from 'vitest'
import { isLong, isWhole } from '../whole.ts'
import { ATTACKS } from './list.ts'

/** Processes and crowds: npm run attacks has them, and a whole run. */
const WHOLE = new Set(['E6b', 'E8b'])
/** These compute for ten seconds to a minute each: they run with the suites of many processes. */
const LATER = new Set(['E1b', 'E3', 'E9', 'E11'])
/** Only to fail: one has three processes that share two processors with whatever else runs. */
const PATIENCE_MS = 400_000

function attack(isAsked: (id: string) => boolean): void {
  test.each(ATTACKS.filter(({ id }) => isAsked(id)).map((one) => [one.id, one.name, one] as const))(
    '%s, %s, succeeds without the defence, and not with it',
    async (_, __, one) => {
      const outcomes = [...(await one.control('few')), ...(await one.defended('few'))]
      expect(outcomes.filter(({ holds }) => !holds)).toEqual([])
      expect(outcomes.length).toBeGreaterThan(1)
    },
    PATIENCE_MS,
  )
}

// Not twice in `.ci/run`.
describe.skipIf(isLong && !isWhole)('an attack', () => attack((id) => !LATER.has(id) && (isWhole || !WHOLE.has(id))))

describe.runIf(isLong)('an attack that computes for longer', () => attack((id) => LATER.has(id)))
