/** From a model's name or digest to its manifest: ours, or that of a holder. */
import type { AnyManifest } from '../models/index.ts'
import { ManifestUnavailableError } from './errors.ts'
import type { Fetcher } from './fetcher.ts'
import type { MeshNeeds } from './needs.ts'
import type { KnownManifest } from './types.ts'
import type { Views } from './views.ts'

interface FindNeeds extends Pick<MeshNeeds, 'loadManifest'> {
  readonly self: string
  readonly views: Views
  readonly fetcher: Fetcher
}

const DIGEST = /^[0-9a-f]{64}$/

/**
 * Of several models under one name: ours first, then the one that most reachable peers hold.
 * @throws ManifestUnavailableError, FetchFailedError
 */
export async function findManifest(needs: FindNeeds, name: string, signal?: AbortSignal): Promise<AnyManifest> {
  const isDigest = DIGEST.test(name)
  if (isDigest) {
    const mine = await needs.loadManifest(name)
    if (mine !== undefined) return mine
  }
  const found = needs.views.manifests().filter(({ model, digest }) => (isDigest ? digest : model) === name)
  const [best] = found
    .map((known) => ({ known, near: reachable(needs, known) }))
    .sort((left, right) => rank(needs, right.known, right.near) - rank(needs, left.known, left.near))
  if (best === undefined) throw new ManifestUnavailableError(name, [])
  if (best.known.holders.includes(needs.self)) {
    const mine = await needs.loadManifest(best.known.digest)
    if (mine !== undefined) return mine
  }
  if (best.near.length === 0) throw new ManifestUnavailableError(name, best.known.holders)
  return needs.fetcher.manifest(best.known.digest, best.near, signal)
}

function reachable({ views, self }: FindNeeds, { holders }: KnownManifest): string[] {
  return holders.filter((peer) => peer !== self && ['connected', 'draining'].includes(views.state(peer)))
}

function rank({ self }: FindNeeds, { holders }: KnownManifest, near: readonly string[]): number {
  return holders.includes(self) ? Infinity : near.length
}
