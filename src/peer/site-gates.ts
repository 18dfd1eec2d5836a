/** Where the parts of a peer meet the policy of its site: peers left out of routes, sessions of others, files, placements. */
import type { BlobWanted, MeshPlacement } from '../mesh/index.ts'
import type { AnyManifest } from '../models/index.ts'
import { ORIGIN } from '../placement/index.ts'
import { PolicyRefusedError } from '../trust/index.ts'
import type { Decision } from '../trust/index.ts'
import type { CancelTimer } from '../util/index.ts'
import type { ClusterPart } from './cluster/index.ts'
import { addresses } from './library.ts'
import type { Parts } from './parts.ts'
import type { KeptOut } from './plan-input.ts'
import type { Site } from './site.ts'

/** Peers that an audit has convicted, and those that no prompt of this peer may reach. */
export function keptOut(site: Pick<Site, 'admit' | 'mayRoute'>, quarantine: KeptOut): KeptOut {
  return {
    has: (peer, model) => quarantine.has(peer) || !site.mayRoute(peer, model),
    isListed: (peer, model) => quarantine.isListed(peer) || !site.mayRoute(peer, model),
    refuse(peers, model) {
      const all = [...peers]
      quarantine.refuse(all)
      for (const peer of all) {
        if (peer !== ORIGIN && !site.mayRoute(peer, model)) site.admit({ action: 'route', peer, model })
      }
    },
  }
}

/** Rules by the hour are held to with what runs this often. */
const TIMES_MS = 60_000

/** What the policy forbids from now on ends: connections, circuits, records, sessions here, our own over others, placements. */
export function reviewOnChange(
  { clock, logger, site }: Pick<Parts, 'clock' | 'logger' | 'site'>,
  parts: readonly { review(): void }[],
  placements: () => void,
): () => void {
  const review = (): void => {
    try {
      for (const part of parts) part.review()
      placements()
    } catch (error) {
      logger.error({ err: error }, 'what the policy does not allow any more could not be ended')
    }
  }
  const off = site.onPolicy(review)
  let cancel: CancelTimer
  const tick = (): void => {
    if (site.hasTimes()) review()
    cancel = clock.after(TIMES_MS, tick)
  }
  cancel = clock.after(TIMES_MS, tick)
  return () => {
    off()
    cancel()
  }
}

export interface SiteGates {
  /** By the membership log; undefined: everybody may. */
  readonly admits: ClusterPart['admits'] | undefined
  readonly refusal: ClusterPart['refusal'] | undefined
  admit(origin: string, digest: string): void
  again(origin: string, digest: string): void
  permit(peer: string, digest: string): void
  /** Why stages that another peer has placed here are not loaded; undefined: they are. */
  refuses(placement: MeshPlacement): string | undefined
  /** What `refuses` would say, before there is a placement. */
  mayPlace(author: string, digest: string): Decision
}

/**
 * Sessions of others here, of this peer elsewhere, and placements: each is decided where it begins, whoever chose the route.
 * A model is what this home calls it; one that is not here goes by its digest, since no digest covers a name.
 */
export function siteGates(
  { site, cluster }: Pick<Parts, 'site' | 'cluster'>,
  self: string,
  manifest: (digest: string) => AnyManifest | undefined,
): SiteGates {
  const nameOf = (digest: string): string => manifest(digest)?.model ?? digest
  const mayPlace = (author: string, digest: string): Decision =>
    site.decide({ action: 'place', peer: author, model: nameOf(digest) })
  return {
    admits: cluster?.admits,
    refusal: cluster?.refusal,
    admit(origin, digest) {
      const model = nameOf(digest)
      site.admit({ action: 'compute', peer: origin, model })
      site.tally({ who: `peer:${origin}`, what: 'session', target: model, result: 'allowed' })
    },
    again: (origin, digest) => site.admit({ action: 'compute', peer: origin, model: nameOf(digest) }),
    permit: (peer, digest) => site.admit({ action: 'route', peer, model: nameOf(digest) }),
    mayPlace,
    refuses({ author, digest }) {
      if (author === self) return undefined
      const decision = mayPlace(author, digest)
      if (decision.allow) return undefined
      return new PolicyRefusedError({ action: 'place', peer: author, model: nameOf(digest) }, decision).message
    },
  }
}

/**
 * Files of a model go to whoever may have one of the models that they belong to; an adapter is one of its base model. A text
 * says which rule does not let it.
 * @param adapted models that a sealed adapter is for
 */
export function fileGate(
  site: Pick<Site, 'hasPolicy' | 'decide'>,
  models: () => readonly AnyManifest[],
  adapted: (address: string) => readonly string[],
): (peer: string, wanted: BlobWanted) => true | string {
  let known: { readonly digests: string; readonly owners: ReadonlyMap<string, readonly string[]> } | undefined
  const ownersOf = (wanted: BlobWanted): readonly string[] => {
    const all = models()
    if ('manifest' in wanted) return all.filter(({ digest }) => digest === wanted.manifest).map(({ model }) => model)
    const digests = all.map(({ digest }) => digest).join()
    if (known?.digests !== digests) known = { digests, owners: ownersByAddress(all) }
    return known.owners.get(wanted.address) ?? adapted(wanted.address)
  }
  return (peer, wanted) => {
    if (!site.hasPolicy()) return true
    const names = ownersOf(wanted)
    let refused = ''
    for (const model of names.length === 0 ? [undefined] : names) {
      const request = { action: 'fetch', peer, model } as const
      const decision = site.decide(request)
      if (decision.allow) return true
      refused = new PolicyRefusedError(request, decision).message
    }
    return refused
  }
}

function ownersByAddress(models: readonly AnyManifest[]): ReadonlyMap<string, readonly string[]> {
  const owners = new Map<string, string[]>()
  for (const manifest of models) {
    for (const address of addresses(manifest)) owners.set(address, [...(owners.get(address) ?? []), manifest.model])
  }
  return owners
}
