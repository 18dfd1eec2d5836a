/**
 * What the other end of a connection does not speak. It may begin to in a moment, when it has started; until then nobody asks
 * more than a few times a minute for each protocol, however many requests want it: who asks without end is kept out.
 */
import type { Clock } from '../util/index.ts'

/** From the first no to the next question, doubling with each no. */
const FIRST_MS = 100
const LAST_MS = 60_000

export interface Unspoken {
  /** Whether it said no so lately that it is not asked. */
  has(connection: object, protocol: string): boolean
  note(connection: object, protocol: string): void
}

export function createUnspoken(clock: Pick<Clock, 'now'>): Unspoken {
  const known = new WeakMap<object, Map<string, { readonly until: number; readonly wait: number }>>()
  return {
    has: (connection, protocol) => (known.get(connection)?.get(protocol)?.until ?? 0) > clock.now(),
    note(connection, protocol) {
      const all = known.get(connection) ?? new Map()
      known.set(connection, all)
      const wait = Math.min(LAST_MS, 2 * (all.get(protocol)?.wait ?? FIRST_MS / 2))
      all.set(protocol, { until: clock.now() + wait, wait })
    },
  }
}
