/**
 * How many that are no members yet are carried at a time, and how often one may begin: ids cost nothing, so what counts is the
 * host that they come from, and all of them together.
 */
import type { Clock } from '../util/index.ts'
import { hostOf } from './addresses.ts'
import { NEWCOMER_LIMITS } from './constants.ts'

const MINUTE_MS = 60_000

export interface Newcomers {
  /** Undefined: not now. Else how to say, once or more, that it has gone. */
  enter(peer: string, address: string): (() => void) | undefined
}

export interface NewcomerLimits {
  readonly circuits: number
  readonly circuitsPerHost: number
  readonly perMinute: number
}

export function createNewcomers(clock: Clock, limits: NewcomerLimits = NEWCOMER_LIMITS): Newcomers {
  const inside = new Map<string, string>()
  let begun: number[] = []
  return {
    enter(peer, address) {
      const host = hostOf(`${address}/`) ?? 'unknown'
      begun = begun.filter((at) => clock.now() - at < MINUTE_MS)
      const ofHost = [...inside.values()].filter((one) => one === host).length
      if (inside.has(peer) || inside.size >= limits.circuits || ofHost >= limits.circuitsPerHost) return undefined
      if (begun.length >= limits.perMinute) return undefined
      begun.push(clock.now())
      inside.set(peer, host)
      return () => void inside.delete(peer)
    },
  }
}
