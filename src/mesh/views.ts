/** What the records say, as the other rooms ask for it. */
import type { ConnectedPeer } from '../net/index.ts'
import type { Liveness } from './liveness.ts'
import { asPlacement, standingPlacement, standingPlacements } from './placements.ts'
import type { RecordBook } from './record-book.ts'
import type { KnownManifest, ManifestAnnouncement, Mesh, MeshPeer, ModelHoldings, PeerProfile } from './types.ts'

export type Views = Pick<
  Mesh,
  | 'audit'
  | 'imports'
  | 'levels'
  | 'placement'
  | 'placements'
  | 'profiles'
  | 'holdings'
  | 'manifests'
  | 'peers'
  | 'state'
>

export function createViews(self: string, book: RecordBook, liveness: Liveness): Views {
  const profileOf = (peer: string): PeerProfile | undefined => book.find('profile', peer)?.body

  const peer = (id: string, connection: ConnectedPeer | undefined): MeshPeer => {
    const profile = profileOf(id)
    const announced = book.recordsOf(id).filter((record) => record.kind === 'manifest')
    const names = announced.map(({ body }) => (body as ManifestAnnouncement | null)?.model)
    return {
      id,
      name: profile?.name ?? connection?.name ?? '',
      state: liveness.state(id),
      addresses: connection?.addresses ?? profile?.addresses ?? [],
      rtt_ms: connection?.rtt ?? null,
      version: profile?.version ?? connection?.version ?? '',
      profile: profile?.hardware ?? null,
      models: [...new Set(names.filter((name) => name !== undefined))].sort(),
    }
  }

  const isHere = (peer: string): boolean => peer === self || liveness.isThere(peer)

  return {
    audit: (author) => book.find('audit', author)?.body,
    placement(model) {
      const standing = standingPlacement(book, model)
      return standing === undefined || standing.body.stages.length === 0 ? undefined : asPlacement(standing)
    },
    placements: () =>
      [...standingPlacements(book).values()]
        .filter(({ body }) => body.stages.length > 0)
        .map(asPlacement)
        .sort((left, right) => compare(left.model, right.model)),
    profiles: () => new Map(book.ofKind('profile').map(({ author, body }): [string, PeerProfile] => [author, body])),
    holdings: () => {
      const all = book.ofKind('holdings')
      return new Map(all.map(({ author, body }) => [author, isHere(author) ? body.models : withoutStages(body.models)]))
    },
    manifests: () => manifestsOf(self, book),
    levels: (digest) =>
      book
        .ofKind('manifest')
        .flatMap(({ author, body }) =>
          body?.digest === digest && body.levels !== undefined ? [{ by: author, levels: body.levels }] : [],
        ),
    imports: (source) =>
      book
        .ofKind('imports')
        .filter(({ author }) => isHere(author))
        .flatMap(({ author, body }) => body.imports.map((one) => ({ ...one, peer: author })))
        .filter((one) => one.source === source),
    peers() {
      // A placement outlives its author; that alone does not make it a peer that is known.
      const ids = new Set([...book.ofKind('profile').map(({ author }) => author), ...liveness.known()])
      ids.delete(self)
      const connections = liveness.connections()
      return [...ids].sort().map((id) => peer(id, connections.get(id)))
    },
    state: (id) => (id === self ? 'connected' : liveness.state(id)),
  }
}

/** Of who is away: its disk is as it was, its processes nobody can reach. */
function withoutStages(models: readonly ModelHoldings[]): ModelHoldings[] {
  return models.map((held) => ({ ...held, stages: [] }))
}

function manifestsOf(self: string, book: RecordBook): KnownManifest[] {
  const found = new Map<string, { announcement: ManifestAnnouncement; by: string; holders: string[] }>()
  for (const { author, body } of book.ofKind('manifest')) {
    if (body === null) continue
    const key = `${body.model}\n${body.digest}`
    const known = found.get(key)
    // Peers may differ about a licence: our own word counts first, then that of the smallest id, the same everywhere.
    const isBetter = known === undefined || author === self || (known.by !== self && author < known.by)
    found.set(key, {
      announcement: isBetter ? body : known.announcement,
      by: isBetter ? author : known.by,
      holders: [...(known?.holders ?? []), author],
    })
  }
  return [...found.values()]
    .map(({ announcement, holders }) => ({ ...announcement, holders: holders.sort() }))
    .sort((left, right) => compare(left.model, right.model) || compare(left.digest, right.digest))
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
