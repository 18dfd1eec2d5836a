/** How much may be in flight, in all and for one address: a flood gets a clear answer and costs others nothing. */
import { ComeAgain, ServiceTimes } from '../util/index.ts'
import type { Clock } from '../util/index.ts'
import { OverloadedError, TooManyRequestsError } from './access-errors.ts'
import type { ApiLimits } from './limits.ts'

export interface Admission {
  /** Takes a place; returns how to give it back (harmless twice). @throws TooManyRequestsError, OverloadedError */
  enter(address: string): () => void
  inFlight(): number
  /** Seconds after which somebody who was refused for another reason should come again, by how long requests take of late. */
  again(): number
}

interface Visitor {
  places: number
  readonly again: ComeAgain
}

export function createAdmission(
  clock: Pick<Clock, 'now'>,
  limits: Pick<ApiLimits, 'inFlight' | 'inFlightPerAddress'>,
): Admission {
  const visitors = new Map<string, Visitor>()
  const held = new Set<{ readonly since: number }>()
  const times = new ServiceTimes()
  const again = new ComeAgain()
  /** Until one of so many places becomes free, milliseconds. */
  const between = (places: number): number | undefined => {
    const [oldest] = held
    return times.between(places, oldest && clock.now() - oldest.since)
  }
  const refuse = (visitor: Visitor): void => {
    const { inFlight, inFlightPerAddress } = limits
    if (visitor.places >= inFlightPerAddress)
      throw new TooManyRequestsError(inFlightPerAddress, visitor.again.next(clock.now(), between(visitor.places)))
    if (held.size >= inFlight)
      throw new OverloadedError('requests are in flight', inFlight, again.next(clock.now(), between(held.size)))
  }
  return {
    inFlight: () => held.size,
    again: () => again.next(clock.now(), between(held.size)),
    enter: (address) => {
      const visitor = visitors.get(address) ?? { places: 0, again: new ComeAgain() }
      refuse(visitor)
      visitors.set(address, visitor)
      visitor.places += 1
      const place = { since: clock.now() }
      held.add(place)
      return () => {
        if (!held.delete(place)) return
        times.held(clock.now() - place.since)
        visitor.places -= 1
        if (visitor.places === 0) visitors.delete(address)
      }
    },
  }
}
