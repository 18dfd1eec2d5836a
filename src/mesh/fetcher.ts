/** Fetching from other peers: tensors by address, manifests by digest. */
import { checkAnyManifest, MAX_MANIFEST_BYTES } from '../models/index.ts'
import type { AnyManifest } from '../models/index.ts'
import { ChunkMismatchError } from '../store/index.ts'
import { PolicyRefusedError, refusalIn } from '../trust/index.ts'
import { createChunkFailures } from './chunk-failures.ts'
import { createClaims } from './claims.ts'
import { FetchFailedError, HolderError } from './errors.ts'
import { runFetch } from './fetch-job.ts'
import { Holder } from './holder.ts'
import type { HolderOptions } from './holder.ts'
import { haveBatches } from './have-map.ts'
import { KEEP_WAIT_MS, LIAR_KEEP_MS, MANIFEST_TIMEOUT_MS } from './limits.ts'
import type { MeshNeeds } from './needs.ts'
import { shuffled } from './shuffle.ts'
import type { BlobRequest, FetchOptions } from './types.ts'

export interface Fetcher {
  /** @throws FetchFailedError, PolicyRefusedError */
  tensors(blobs: readonly BlobRequest[], holders: readonly string[], options: FetchOptions): Promise<void>
  /** See `Mesh`. */
  askToKeep(blobs: readonly BlobRequest[], peers: readonly string[]): Promise<ReadonlySet<string>>
  /** From the first holder that sends the right one. @throws FetchFailedError, PolicyRefusedError: all of them do not let this peer have it */
  manifest(digest: string, holders: readonly string[], signal?: AbortSignal): Promise<AnyManifest>
}

interface FetcherNeeds extends Pick<
  MeshNeeds,
  'network' | 'clock' | 'random' | 'store' | 'telemetry' | 'logger' | 'delivered'
> {
  readonly lied: (peer: string, address: string, index: number, why: string) => void
}

export function createFetcher(needs: FetcherNeeds): Fetcher {
  const { clock, logger, store } = needs
  const { count } = needs.telemetry
  const liars = new Map<string, number>()
  const claims = createClaims()

  const failures = createChunkFailures()

  const lied = (peer: string, address: string, index: number, why: string): void => {
    const code = ChunkMismatchError.info.code
    logger.warn({ code, peer, address, index, why }, 'a peer sent something wrong; it is not asked again for a while')
    liars.set(peer, clock.now())
    needs.lied(peer, address, index, why)
  }
  const connected = (): Set<string> => new Set(needs.network.connected().map(({ id }) => id))
  /** Whom to ask, in this order: the connected ones by lot, so that the work is shared; then those that may be dialled. */
  const askable = (peers: readonly string[]): string[] => {
    for (const [peer, since] of liars) if (clock.now() - since > LIAR_KEEP_MS) liars.delete(peer)
    const honest = peers.filter((peer) => peer !== needs.network.id && !liars.has(peer))
    const here = connected()
    const near = honest.filter((peer) => here.has(peer))
    return [...shuffled(near, needs.random), ...honest.filter((peer) => !here.has(peer))]
  }
  const openHolder = (peer: string, options: HolderOptions = {}): Holder => new Holder(needs, peer, options)
  const delivered = needs.delivered ?? ((): void => undefined)
  const job = { store, clock, random: needs.random, count, openHolder, askable, lied, claims, failures, delivered }

  const askOneToKeep = async (blobs: readonly BlobRequest[], holder: Holder, promised: Set<string>): Promise<void> => {
    const cancel = clock.after(KEEP_WAIT_MS, () => holder.close())
    try {
      if ((await holder.version()) === 1) return
      for (const batch of haveBatches(blobs)) {
        const answer = await holder.ask({ kind: 'keep', blobs: batch }, batch.length)
        for (const [at, [address]] of batch.entries()) if (answer[at] === 1) promised.add(address)
      }
    } finally {
      cancel()
      holder.close()
    }
  }

  const manifestFrom = async (digest: string, peer: string, signal?: AbortSignal): Promise<AnyManifest> => {
    const holder = openHolder(peer)
    try {
      const asked = holder.ask({ kind: 'manifest', digest }, { most: MAX_MANIFEST_BYTES })
      const bytes = await withDeadline(asked, needs, peer, signal)
      const manifest = checkAnyManifest(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
      if (manifest.digest !== digest) throw new HolderError(peer, 'lied', 'it sent the manifest of another model')
      return manifest
    } finally {
      holder.close()
    }
  }

  return {
    async tensors(blobs, holders, options) {
      try {
        await runFetch(job, blobs, askable(holders), options)
      } catch (error) {
        const { of, more, signal } = options
        // Who may not have a blob is told that it is not there; of the manifest it is told why.
        const last = more?.() ?? holders
        if (error instanceof FetchFailedError && of !== undefined && last.length > 0)
          await this.manifest(of, last, signal).catch((why: unknown) => {
            if (why instanceof PolicyRefusedError) throw why
          })
        throw error
      }
    },
    async askToKeep(blobs, peers) {
      const promised = new Set<string>()
      const begin = clock.now()
      for (const peer of askable(peers)) {
        const left = blobs.filter(({ address }) => !promised.has(address))
        // Who asks waits for this, and "no" is always a safe answer.
        if (left.length === 0 || clock.now() - begin > KEEP_WAIT_MS) break
        await askOneToKeep(left, openHolder(peer), promised).catch((error: unknown) => {
          logger.debug({ err: error, peer }, 'a peer did not say whether it keeps blobs')
        })
      }
      return promised
    },
    async manifest(digest, holders, signal) {
      const peers = askable(holders)
      const near = connected()
      // Somebody waits for it: who was cut off without a sign is known to be in seconds, all of them at once.
      const ends = peers.filter((peer) => near.has(peer)).map((peer) => needs.network.watch(peer))
      const reasons: Record<string, string> = {}
      try {
        for (const peer of peers) {
          signal?.throwIfAborted()
          if (near.has(peer) && !connected().has(peer)) {
            reasons[peer] = 'it has just gone'
            continue
          }
          try {
            return await manifestFrom(digest, peer, signal)
          } catch (error) {
            signal?.throwIfAborted()
            const known = error as HolderError
            reasons[peer] = known.why ?? known.message
            logger.warn({ err: error, peer, digest }, 'a peer did not deliver a manifest')
          }
        }
      } finally {
        for (const end of ends) end()
      }
      throw forbidden(needs.network.id, reasons) ?? new FetchFailedError(`the manifest ${digest}`, 0, 0, reasons)
    },
  }
}

/** All who have it have said that their policy does not allow it: that is no trouble that passes. */
function forbidden(self: string, reasons: Readonly<Record<string, string>>): PolicyRefusedError | undefined {
  const refusals = Object.entries(reasons).map(([peer, reason]) => ({ peer, refusal: refusalIn(reason) }))
  const [first] = refusals
  if (first?.refusal === undefined || refusals.some(({ refusal }) => refusal === undefined)) return undefined
  const { action, rule } = first.refusal
  return new PolicyRefusedError({ action, peer: self }, { allow: false, rule, why: 'no other peer has it' }, first)
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
