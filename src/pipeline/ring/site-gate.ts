/** What membership and site are asked where sessions begin. */
import { RoleError } from '../../trust/index.ts'
import { SessionRefusedError } from './errors.ts'

export interface SiteGate {
  /** Asked of the origin of each session, for `originate`. @default everyone may */
  readonly admits?: ((peer: string, purpose: string) => boolean) | undefined
  /** Why it is not admitted. @default its role */
  readonly refusal?: ((peer: string, purpose: 'originate') => Error) | undefined
  /** Whether sessions of another origin may be computed here. @throws where the site does not allow it */
  admit?(origin: string, digest: string): void
  /** Whether a session of another origin that runs here may go on: asked when what is allowed has changed. @throws as `admit` */
  again?(origin: string, digest: string): void
  /** Whether sessions of this peer may go over another. @throws where the site does not allow it */
  permit?(peer: string, digest: string): void
}

/** Why it is not allowed; undefined: it is. */
export function refusalOf(ask: () => void): Error | undefined {
  try {
    ask()
    return undefined
  } catch (error) {
    return error as Error
  }
}

/**
 * Values of another's session go on from here to whomever its origin names: not where the site does not let them go. To the
 * origin itself they may, or it would not have been let in. @param onward peers that they go to; undefined: nobody
 * @throws what the site refuses with
 */
export function admitOnward(
  gate: Pick<SiteGate, 'permit'> & { readonly self: string },
  origin: string,
  digest: string,
  onward: readonly (string | undefined)[],
): void {
  if (origin === gate.self) return
  for (const peer of new Set(onward))
    if (peer !== undefined && peer !== gate.self && peer !== origin) gate.permit?.(peer, digest)
}

/**
 * Sessions of others that may not go on, with why.
 * @param digestOf of the model of one
 * @param onwardOf where its values go from here
 */
export function refusedNow<Session extends { readonly origin: { readonly peer: string } }>(
  gate: SiteGate & { readonly self: string },
  sessions: Iterable<Session>,
  digestOf: (session: Session) => string,
  onwardOf: (session: Session) => readonly (string | undefined)[] = () => [],
): [Session, Error][] {
  return [...sessions].flatMap((session): [Session, Error][] => {
    const { peer } = session.origin
    if (peer === gate.self) return []
    const digest = digestOf(session)
    const error = refusalOf(() => {
      gate.again?.(peer, digest)
      admitOnward(gate, peer, digest, onwardOf(session))
    })
    return error === undefined ? [] : [[session, error]]
  })
}

/** Whether a session of this peer may go on over another. */
export function refusedOver(
  gate: SiteGate & { readonly self: string },
  peer: string,
  digest: string,
): Error | undefined {
  return peer === gate.self ? undefined : refusalOf(() => gate.permit?.(peer, digest))
}

/** @throws RoleError, or what the membership says instead */
export function refuseOrigin(gate: SiteGate, origin: string): void {
  if (gate.admits?.(origin, 'originate') !== false) return
  throw gate.refusal?.(origin, 'originate') ?? new RoleError(origin, 'originate')
}

/**
 * A peer's own sessions are always let in.
 * @param leaving this peer takes no more
 * @throws RoleError, SessionRefusedError, what the site refuses with
 */
export function admitOrigin(
  gate: SiteGate & { readonly self: string },
  origin: string,
  digest: string,
  leaving: boolean,
): void {
  if (origin === gate.self) return
  refuseOrigin(gate, origin)
  if (leaving) throw new SessionRefusedError('it is about to leave', { peer: gate.self })
  gate.admit?.(origin, digest)
}
