/** The first route of a session, with others in the place of peers that have no room for it. */
import { WeftError } from '../../errors.ts'
import { MemoryQuotaError, StageMemoryError } from '../errors.ts'
import { KvFullError } from '../host/errors.ts'
import { SessionRefusedError } from '../ring/errors.ts'
import type { RouteSegment } from './route.ts'
import type { Failover } from './session.ts'

const SESSION_REFUSED = SessionRefusedError.info.code
const FULL: ReadonlySet<string> = new Set([
  KvFullError.info.code,
  SESSION_REFUSED,
  MemoryQuotaError.info.code,
  StageMemoryError.info.code,
])

/** A refusal for want of room, which is there again when others have ended. */
export function isWantOfRoom(error: unknown): boolean {
  if (!(error instanceof WeftError)) return false
  // Other refusals of sessions are of what was asked for.
  return error.code === KvFullError.info.code || (error.code === SESSION_REFUSED && 'sessions' in error.details)
}

interface Refused {
  readonly segment: RouteSegment
  readonly error: Error
}

export class Relief {
  readonly #full = new Set<string>()
  #refused: Refused | undefined

  /** The peer is sound and would take the session, had it room for it. */
  refuses(segment: RouteSegment, error: Error): boolean {
    if (!('code' in error) || !FULL.has(String(error.code))) return false
    this.#refused ??= { segment, error }
    return true
  }

  /**
   * Peers without room are passed over while others have it.
   * @returns what went wrong at last. @throws the refusal when nobody else has room
   */
  async open(
    route: readonly RouteSegment[],
    failover: Failover,
    attempt: (route: readonly RouteSegment[], isAgain: boolean) => Promise<unknown>,
  ): Promise<Error | undefined> {
    for (let now = route; ;) {
      const wrong = await attempt(now, now !== route).then(
        () => undefined,
        (error: Error) => error,
      )
      if (this.#refused === undefined) return wrong
      now = this.#without(this.#refused, now, failover)
    }
  }

  #without({ segment, error }: Refused, route: readonly RouteSegment[], failover: Failover): readonly RouteSegment[] {
    this.#refused = undefined
    this.#full.add(segment.peer)
    failover.refused?.(segment, error)
    const by = failover.relieve(segment, this.#full)
    if (by === undefined) throw error
    return route.flatMap((each) => (each === segment ? by : [each]))
  }
}
