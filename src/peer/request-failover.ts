/** Who takes blocks of one request's route: of a peer that is lost in the middle of it, that has no room, that has gone meanwhile. */
import type { ModelManifest } from '../models/index.ts'
import type { Failover, GenerateRequest, RouteSegment } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Replacements } from './failover.ts'
import type { KeptOut } from './plan-input.ts'
import { keptOut } from './site-gates.ts'
import type { Site } from './site.ts'
import type { Tracked } from './under-way.ts'

/** For which a text without a deadline of its own waits for somebody to take lost blocks: a machine that starts again is back by then. */
const PATIENCE_MS = 60_000
/** Before anything of it was computed nothing is lost but this time, and whoever asks can ask again or elsewhere. */
const OPENING_PATIENCE_MS = 2_500

export interface RequestFailoverNeeds {
  readonly self: string
  readonly telemetry: Pick<Telemetry, 'count'>
  readonly replacements: Replacements
  readonly site: Pick<Site, 'admit' | 'mayRoute'>
  readonly quarantine: KeptOut
}

export interface RequestFailover extends Failover {
  /**
   * The route of a text that begins anew: where it is now, with others in the place of whoever has gone or is kept out since.
   * Where nobody can take the place of one that has gone it stays as it is: its session finds that one gone when it opens, and recovers as any other does.
   * @throws PeerQuarantinedError, RoleError, PolicyRefusedError: nobody can take the place of one that is kept out
   */
  anew(at: readonly RouteSegment[]): readonly RouteSegment[]
}

export function failoverOf(
  needs: RequestFailoverNeeds,
  manifest: ModelManifest,
  { placement, deadline }: Pick<GenerateRequest, 'placement' | 'deadline'>,
  tracked: Pick<Tracked, 'successor'>,
): RequestFailover {
  const { replacements, self, site, telemetry } = needs
  const allowed = allowedPeers(placement, self)
  /** Undefined where the site does not let this model's prompts go there. */
  const permitted = <Route extends readonly { readonly peer: string }[]>(route: Route | undefined): Route | undefined =>
    route?.every(({ peer }) => site.mayRoute(peer, manifest.model)) === true ? route : undefined
  // Those that have gone cannot be asked.
  const kernels = new Map<string, string>()
  const kernel = (peer: string): string => {
    const known = replacements.kernel(peer) || (kernels.get(peer) ?? '')
    kernels.set(peer, known)
    return known
  }
  return {
    replace: (lost, avoid) => {
      const moved = allowed === undefined ? permitted(tracked.successor(lost, avoid)) : undefined
      return Promise.resolve(moved ?? permitted(replacements.replace(manifest, lost, avoid, allowed)))
    },
    relieve: (refused, full) => {
      const by = permitted(replacements.relieve(manifest, refused, full, allowed))
      if (by !== undefined) telemetry.count('retries')
      return by
    },
    anew: (at) => {
      const moved = permitted(replacements.repair(manifest, at, allowed))
      if (moved !== undefined) return moved
      // As a request that begins is refused: what was going on when it was kept out does not begin once more over it.
      keptOut(site, needs.quarantine).refuse(
        at.map(({ peer }) => peer),
        manifest.model,
      )
      return at
    },
    isReachable: (peer) => replacements.isReachable(peer),
    isReady: (peer, { from, to }) => replacements.isReady(manifest, peer, from, to),
    refused: (segment, error) => replacements.refused(manifest, segment, error),
    kernel,
    patience: (isBegun) => deadline ?? (isBegun ? PATIENCE_MS : OPENING_PATIENCE_MS),
  }
}

/** Peers that may take over: those that the request itself names, where it does, and this one. */
export function allowedPeers(placement: GenerateRequest['placement'], self: string): ReadonlySet<string> | undefined {
  if (placement === 'local') return new Set([self])
  return typeof placement === 'object' ? new Set([self, ...placement.stages.map(({ peer }) => peer)]) : undefined
}
