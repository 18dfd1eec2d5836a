/** The composition root: builds the parts of a peer in order, and ends them in the reverse one. */
import { join } from 'node:path'
import type { Mesh } from '../mesh/index.ts'
import type { Network } from '../net/index.ts'
import { RingService, Stages } from '../pipeline/index.ts'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { Holdings } from './holdings.ts'
import { homePaths, lockHome, prepareHome } from './home.ts'
import type { HomePaths } from './home.ts'
import { joinMesh } from './join.ts'
import { Library } from './library.ts'
import { LocalPeer } from './local-peer.ts'
import { fetchBlobs, fetchManifest, lowerParts, meshOf, startNetwork } from './parts.ts'
import type { CreatePeerInit, Parts } from './parts.ts'
import { Placing } from './placing.ts'
import { hardwareProfile } from './profile.ts'
import { Requests } from './requests.ts'
import type { HardwareProfile, PeerEvent } from './types.ts'
import { packageRoot, VERSION } from './version.ts'

/** A peer with the parts that an API around it shares. */
export interface RunningPeer {
  readonly peer: LocalPeer
  readonly paths: HomePaths
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly logger: Logger
}

/** @throws HomeBusyError, HomeUnwritableError, and what keys, store and network refuse with */
export async function runPeer(init: CreatePeerInit, signal?: AbortSignal): Promise<RunningPeer> {
  const paths = homePaths(init.home, process.env)
  await prepareHome(paths)
  // Alone, a home may be shared: store, cache and manifests are written whole or not at all, and no identity is shown.
  const undo: (() => unknown)[] = init.offline === true ? [] : [await lockHome(paths)]
  try {
    const parts = await lowerParts(init, paths, undo)
    signal?.throwIfAborted()
    const network = init.offline === true ? null : await startNetwork(parts)
    if (network !== null) undo.push(() => network.stop())
    const peer = await upperParts(parts, network, undo)
    signal?.throwIfAborted()
    return { peer, paths, clock: parts.clock, telemetry: parts.telemetry, logger: parts.logger }
  } catch (error) {
    await runAll(undo)
    throw error
  }
}

/** A peer in a program: `await using peer = await createPeer({ home })`. It does not serve HTTP. */
export async function createPeer(init: CreatePeerInit, signal?: AbortSignal): Promise<LocalPeer> {
  return (await runPeer(init, signal)).peer
}

async function runAll(undo: readonly (() => unknown)[]): Promise<void> {
  for (const action of [...undo].reverse()) await Promise.resolve(action()).catch(() => undefined)
}

async function upperParts(parts: Parts, network: Network | null, undo: (() => unknown)[]): Promise<LocalPeer> {
  const { init, paths, clock, random, identity, logger, telemetry, store, name, threads, trial } = parts
  const self = identity.id
  const listeners = new Set<(event: PeerEvent) => void>()
  const emit = (event: string, data: PeerEvent['data']): void => {
    for (const listener of listeners) listener({ event, at: new Date(clock.wall()).toISOString(), data })
  }
  // The parts below need each other's changes: each is reached through `wired` once all of them are there.
  const wired: { mesh: Mesh | null; library?: Library; holdings?: Holdings } = { mesh: null }
  const mesh = network === null ? null : meshOf(parts, network, () => wired.library)
  wired.mesh = mesh
  const library = await Library.open({
    clock,
    store,
    paths,
    catalogues: [join(packageRoot(), 'partitions', 'catalogue'), join(paths.partitions, 'catalogue')],
    log: (line) => logger.warn({}, line),
    count: (name, by, labels) => telemetry.count(name, by, labels),
    fetchManifest: async (model, signal) => fetchManifest(wired.mesh, model, signal),
    fetchBlobs: async (manifest, blobs, signal) => fetchBlobs(wired.mesh, manifest.digest, blobs, signal),
    adopted: (manifest) => void wired.mesh?.announceManifest(manifest).catch(() => undefined),
    changed: () => wired.holdings?.changed(),
  })
  wired.library = library
  const profile = (): HardwareProfile =>
    hardwareProfile(init.memory === undefined ? {} : { memory: init.memory }, trial.value)
  const stages = stagesOf(parts, library, profile().memory_quota, {
    changed: () => {
      wired.holdings?.changed()
      emit('stage.changed', { stages: stages.list().length })
    },
    lost: (model, error) => {
      logger.error({ model, err: error }, 'a stage host was lost')
      emit('stage.lost', { model, why: error.message })
    },
  })
  undo.push(() => stages.stop())
  const holdings = new Holdings({ clock, mesh, library, stages })
  wired.holdings = holdings
  const placing = new Placing({
    self,
    clock,
    mesh,
    library,
    stages,
    threads,
    profile,
    log: (fields, text) => logger.error(fields, text),
  })
  const ring = new RingService({
    self,
    network,
    clock,
    stages,
    count: (counter, by) => telemetry.count(counter as 'bytes_sent', by),
  })
  undo.push(() => ring.stop())
  const watch = (peer: string): (() => void) =>
    peer === self || network === null ? () => undefined : network.watch(peer)
  const requests = new Requests({ self, clock, random, telemetry, ring, library, placing, watch, emit })
  const shutdown = async (): Promise<void> => {
    await library.stop()
    placing.stop()
    holdings.stop()
    await parts.book.save()
    await ring.stop()
    await stages.stop()
    await mesh?.stop().catch((error: unknown) => logger.warn({ err: error }, 'the mesh did not end in order'))
    await network?.stop().catch((error: unknown) => logger.warn({ err: error }, 'the network did not end in order'))
    await runAll(undo.splice(0))
  }
  const peer = new LocalPeer({
    self,
    home: paths.root,
    name,
    version: VERSION,
    networkName: init.network ?? 'weft',
    lan: init.lan ?? 'open',
    started: clock.now(),
    clock,
    network,
    mesh,
    library,
    placing,
    stages,
    holdings,
    requests,
    telemetry,
    profile,
    listeners,
    book: parts.book,
    shutdown,
  })
  if (mesh !== null && network !== null) {
    undo.push(await joinMesh(parts, { mesh, network, library, placing, ring, profile, emit }))
  }
  holdings.start()
  return peer
}

/** The stages of this peer: their tensors from the library, their files in the home. */
function stagesOf(
  parts: Parts,
  library: Library,
  memory: number,
  events: { changed(): void; lost(model: string, error: Error): void },
): Stages {
  const { clock, threads, paths, telemetry } = parts
  return new Stages({
    clock,
    threads,
    memory,
    spin: false,
    storeDirectory: paths.store,
    cacheDirectory: paths.cache,
    model: async (digest) => {
      const manifest = await library.resolve(digest)
      return { manifest, path: library.path(manifest) }
    },
    fetch: (manifest, from, to, signal) => library.fetch(manifest, from, to, signal),
    count: (counter, by) => telemetry.count(counter as 'stage_restarts', by),
    ...events,
  })
}
