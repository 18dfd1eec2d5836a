import { describe, expect, test } from 'vitest'
import { isWhole } from '../whole.ts'
import { ATTACKS } from './list.ts'

/** These take seconds each even when they are small: npm run attacks has them, and a whole run. */
const LONG = new Set(['E1b', 'E3', 'E6b', 'E8b', 'E11'])
/** Only to fail: one has three processes that share two processors with whatever else runs. */
const PATIENCE_MS = 400_000

describe('an attack', () => {
  test.each(
    ATTACKS.filter(({ id }) => isWhole || !LONG.has(id)).map((attack) => [attack.id, attack.name, attack] as const),
  )(
    '%s, %s, succeeds without the defence, and not with it',
    async (_, __, attack) => {
      const outcomes = [...(await attack.control('few')), ...(await attack.defended('few'))]
      expect(outcomes.filter(({ holds }) => !holds)).toEqual([])
      expect(outcomes.length).toBeGreaterThan(1)
    },
    PATIENCE_MS,
  )
})
