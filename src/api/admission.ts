/** How much may be in flight, in all and for one address: a flood gets a clear answer and costs others nothing. */
import { OverloadedError, TooManyRequestsError } from './access-errors.ts'
import type { ApiLimits } from './limits.ts'

export interface Admission {
  /** Takes a place; returns how to give it back (harmless twice). @throws TooManyRequestsError, OverloadedError */
  enter(address: string): () => void
  inFlight(): number
}

export function createAdmission(limits: Pick<ApiLimits, 'inFlight' | 'inFlightPerAddress'>): Admission {
  const places = new Map<string, number>()
  let total = 0
  return {
    inFlight: () => total,
    enter: (address) => {
      const mine = places.get(address) ?? 0
      if (mine >= limits.inFlightPerAddress) throw new TooManyRequestsError(limits.inFlightPerAddress)
      if (total >= limits.inFlight) throw new OverloadedError('requests are in flight', limits.inFlight)
      places.set(address, mine + 1)
      total += 1
      let left = false
      return () => {
        if (left) return
        left = true
        total -= 1
        const rest = (places.get(address) ?? 1) - 1
        if (rest === 0) places.delete(address)
        else places.set(address, rest)
      }
    },
  }
}
