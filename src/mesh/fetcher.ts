/** Fetching from other peers: tensors by address, manifests by digest. */
import { checkManifest, MAX_MANIFEST_BYTES } from '../models/index.ts'
import type { ModelManifest } from '../models/index.ts'
import { createClaims } from './claims.ts'
import { FetchFailedError, HolderError } from './errors.ts'
import { runFetch } from './fetch-job.ts'
import { Holder } from './holder.ts'
import { LIAR_KEEP_MS, MANIFEST_TIMEOUT_MS } from './limits.ts'
import type { MeshNeeds } from './needs.ts'
import { shuffled } from './shuffle.ts'
import type { BlobRequest, FetchOptions } from './types.ts'

export interface Fetcher {
  tensors(blobs: readonly BlobRequest[], holders: readonly string[], options: FetchOptions): Promise<void>
  /** From the first holder that sends the right one. @throws FetchFailedError */
  manifest(digest: string, holders: readonly string[], signal?: AbortSignal): Promise<ModelManifest>
}

type FetcherNeeds = Pick<MeshNeeds, 'network' | 'clock' | 'random' | 'store' | 'telemetry' | 'logger'>

export function createFetcher(needs: FetcherNeeds): Fetcher {
  const { clock, logger, store } = needs
  const { count } = needs.telemetry
  const liars = new Map<string, number>()
  const claims = createClaims()

  const lied = (peer: string): void => {
    logger.warn({ peer }, 'a peer sent a chunk that does not have its hash; it is not asked again for a while')
    liars.set(peer, clock.now())
  }
  /** Whom to ask, in this order: the connected ones by lot, so that the work is shared; then those that may be dialled. */
  const askable = (peers: readonly string[]): string[] => {
    for (const [peer, since] of liars) if (clock.now() - since > LIAR_KEEP_MS) liars.delete(peer)
    const honest = peers.filter((peer) => peer !== needs.network.id && !liars.has(peer))
    const connected = new Set(needs.network.connected().map(({ id }) => id))
    const near = honest.filter((peer) => connected.has(peer))
    return [...shuffled(near, needs.random), ...honest.filter((peer) => !connected.has(peer))]
  }
  const openHolder = (peer: string): Holder => new Holder(needs, peer)

  const manifestFrom = async (digest: string, peer: string, signal?: AbortSignal): Promise<ModelManifest> => {
    const holder = openHolder(peer)
    try {
      const asked = holder.ask({ kind: 'manifest', digest }, { most: MAX_MANIFEST_BYTES })
      const bytes = await withDeadline(asked, needs, peer, signal)
      const manifest = checkManifest(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
      if (manifest.digest !== digest) throw new HolderError(peer, 'lied', 'it sent the manifest of another model')
      return manifest
    } finally {
      holder.close()
    }
  }

  return {
    tensors: (blobs, holders, options) =>
      runFetch({ store, clock, count, openHolder, lied, claims }, blobs, askable(holders), options),
    async manifest(digest, holders, signal) {
      const reasons: Record<string, string> = {}
      for (const peer of askable(holders)) {
        signal?.throwIfAborted()
        try {
          return await manifestFrom(digest, peer, signal)
        } catch (error) {
          signal?.throwIfAborted()
          const known = error as HolderError
          reasons[peer] = known.why ?? known.message
          logger.warn({ err: error, peer, digest }, 'a peer did not deliver a manifest')
        }
      }
      throw new FetchFailedError(`the manifest ${digest}`, 0, 0, reasons)
    },
  }
}

/** Holder.ask ends when its holder is closed; this says when. */
async function withDeadline(
  asked: Promise<Uint8Array>,
  { clock }: FetcherNeeds,
  peer: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const late = Promise.withResolvers<never>()
  const cancel = clock.after(MANIFEST_TIMEOUT_MS, () => late.reject(new HolderError(peer, 'stalled')))
  const stop = (): void => late.reject(signal?.reason as Error)
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([asked, late.promise])
  } finally {
    cancel()
    signal?.removeEventListener('abort', stop)
  }
}
