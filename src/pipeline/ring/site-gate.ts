/** What membership and site are asked where sessions begin. */
import { RoleError } from '../../trust/index.ts'
import { SessionRefusedError } from './errors.ts'

export interface SiteGate {
  /** Asked of the origin of each session, for `originate`. @default everyone may */
  readonly admits?: ((peer: string, purpose: string) => boolean) | undefined
  /** Whether sessions of another origin may be computed here. @throws where the site does not allow it */
  admit?(origin: string, digest: string): void
  /** Whether sessions of this peer may go over another. @throws where the site does not allow it */
  permit?(peer: string, digest: string): void
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
  if (gate.admits?.(origin, 'originate') === false) throw new RoleError(origin, 'originate')
  if (leaving) throw new SessionRefusedError('it is about to leave', { peer: gate.self })
  gate.admit?.(origin, digest)
}
