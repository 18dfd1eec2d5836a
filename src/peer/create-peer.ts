/** The composition root: builds the parts of a peer in order, and ends them in the reverse one. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createMesh } from '../mesh/index.ts'
import type { Mesh } from '../mesh/index.ts'
import type { ModelManifest } from '../models/index.ts'
import { createNetwork } from '../net/index.ts'
import type { Network } from '../net/index.ts'
import { RingService, Stages } from '../pipeline/index.ts'
import { createBlobStore, writeFileAtomic } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import { createLogger, createRotatingFile, createTelemetry } from '../telemetry/index.ts'
import type { Logger, LogLevel, Telemetry } from '../telemetry/index.ts'
import { loadNetworkKey, loadOrCreateIdentity } from '../trust/index.ts'
import type { Identity } from '../trust/index.ts'
import { systemClock, systemRandom } from '../util/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { AddressBook } from './address-book.ts'
import { Holdings } from './holdings.ts'
import { homePaths, lockHome, prepareHome } from './home.ts'
import type { HomePaths } from './home.ts'
import { Library } from './library.ts'
import { LocalPeer } from './local-peer.ts'
import { nameOf } from './names.ts'
import { Placing } from './placing.ts'
import { hardwareProfile, kernelTrial } from './profile.ts'
import type { Trial } from './profile.ts'
import { Requests } from './requests.ts'
import type { HardwareProfile, PeerEvent } from './types.ts'
import { packageRoot, VERSION } from './version.ts'

export interface CreatePeerInit {
  readonly home: string
  /** @default two words made of the PeerId */
  readonly name?: string
  /** Multiaddrs. @default all interfaces, port 7334 or a free one */
  readonly listen?: readonly string[]
  /** Multiaddrs of peers on other networks. */
  readonly bootstrap?: readonly string[]
  /** @default 'weft' */
  readonly network?: string
  /** File of the network key; without one the mesh is open. */
  readonly networkKey?: string
  /** @default 'open' */
  readonly lan?: 'open' | 'confirm' | 'off'
  /** Bytes for weights and KV caches. @default 60 % of what is free */
  readonly memory?: number
  /** Threads of each stage. @default the machine's cores */
  readonly threads?: number
  /** No mesh at all: no listening, no dialling. */
  readonly offline?: boolean
  readonly logLevel?: LogLevel
}

/** A peer with the parts that an API around it shares. */
export interface RunningPeer {
  readonly peer: LocalPeer
  readonly paths: HomePaths
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly logger: Logger
}

interface Parts {
  readonly init: CreatePeerInit
  readonly paths: HomePaths
  readonly clock: Clock
  readonly random: RandomSource
  readonly identity: Identity
  readonly name: string
  readonly telemetry: Telemetry
  readonly logger: Logger
  readonly store: BlobStore
  readonly threads: number
  readonly trial: { value: Trial | null }
  readonly book: AddressBook
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

async function lowerParts(init: CreatePeerInit, paths: HomePaths, undo: (() => unknown)[]): Promise<Parts> {
  const clock = systemClock()
  const file = createRotatingFile({ path: join(paths.logs, init.offline === true ? 'weft-local.log' : 'weft.log') })
  undo.push(() => file.close())
  const identity = await loadOrCreateIdentity({ directory: paths.keys })
  const name = init.name ?? nameOf(identity.id)
  const logger = createLogger({ name, level: init.logLevel ?? 'info', destination: file })
  const telemetry = createTelemetry({ clock }, { version: VERSION })
  const store = await createBlobStore({ directory: paths.store })
  const profile = hardwareProfile({}, null)
  const book = await AddressBook.open(paths.peers, clock, (line) => logger.warn({}, line))
  return {
    init,
    paths,
    clock,
    random: systemRandom(),
    identity,
    name,
    telemetry,
    logger,
    store,
    threads: init.threads ?? profile.cores,
    trial: { value: null },
    book,
  }
}

async function startNetwork(parts: Parts): Promise<Network> {
  const { init, clock, random, identity, logger, telemetry, name } = parts
  const networkKey = init.networkKey === undefined ? undefined : await loadNetworkKey(init.networkKey)
  return createNetwork(
    { clock, random, identity, logger, telemetry },
    {
      name,
      version: VERSION,
      networkName: init.network ?? 'weft',
      lan: init.lan ?? 'open',
      membership: { epoch: 0, admits: () => true },
      bootstrap: init.bootstrap ?? [],
      listen: init.listen ?? [],
      discovery: init.lan !== 'off',
      knownPeers: parts.book.peers,
      approved: parts.book.approved,
      ...(networkKey === undefined ? {} : { networkKey }),
    },
  )
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
    fetchManifest: async (model, signal) => fetchManifest(wired.mesh, model, signal),
    fetchBlobs: async (manifest, blobs, signal) => fetchBlobs(wired.mesh, manifest.digest, blobs, signal),
    changed: () => wired.holdings?.changed(),
  })
  wired.library = library
  const profile = (): HardwareProfile =>
    hardwareProfile(init.memory === undefined ? {} : { memory: init.memory }, trial.value)
  const stages = new Stages({
    clock,
    threads,
    spin: false,
    storeDirectory: paths.store,
    cacheDirectory: paths.cache,
    memory: profile().memory_quota,
    model: async (digest) => {
      const manifest = await library.resolve(digest)
      return { manifest, path: library.path(manifest) }
    },
    fetch: (manifest, from, to, signal) => library.fetch(manifest, from, to, signal),
    count: (counter, by) => telemetry.count(counter as 'stage_restarts', by),
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
  if (mesh !== null && network !== null) await joinMesh(parts, { mesh, network, library, placing, ring, profile, emit })
  holdings.start()
  return peer
}

function meshOf(parts: Parts, network: Network, library: () => Library | undefined): Mesh {
  const { identity, clock, random, store, logger, telemetry, paths } = parts
  return createMesh({
    network,
    identity,
    clock,
    random,
    store,
    logger,
    telemetry,
    loadManifest: (digest) => Promise.resolve(library()?.byDigest(digest)),
    files: {
      read: (file) => readFile(join(paths.state, file)).catch(() => undefined),
      write: (file, bytes) => writeFileAtomic(join(paths.state, file), bytes),
    },
  })
}

interface Joining {
  readonly mesh: Mesh
  readonly network: Network
  readonly library: Library
  readonly placing: Placing
  readonly ring: RingService
  profile(): HardwareProfile
  emit(event: string, data: PeerEvent['data']): void
}

async function joinMesh(parts: Parts, joining: Joining): Promise<void> {
  const { mesh, network, library, placing, ring, profile, emit } = joining
  mesh.on({
    changed: (kind, key) => {
      if (kind === 'placement') placing.reconcile()
      if (kind === 'placement') emit('placement.changed', { model: key })
    },
    joined: (peer) => emit('peer.joined', { peer }),
    left: (peer, farewell) => {
      ring.peerLost(peer, farewell ? 'it left the mesh' : 'it stopped answering')
      emit('peer.left', { peer, farewell })
    },
  })
  network.on({
    reachable: (peer, addresses) => parts.book.reachable(peer, addresses),
    disconnected: (peer) => ring.peerLost(peer),
    refused: (refusal) =>
      emit('peer.refused', { id: refusal.id, address: refusal.address, code: refusal.code, why: refusal.why }),
    pending: (peer, name) => emit('peer.pending', { peer, name }),
  })
  await mesh.start()
  const publish = (): Promise<void> =>
    mesh.publishProfile({
      name: parts.name,
      version: VERSION,
      state: 'running',
      threads: parts.threads,
      hardware: profile(),
      guests: { memory: profile().memory_quota, sessions: 64 },
    })
  await publish()
  for (const manifest of library.list()) await mesh.announceManifest(manifest)
  placing.reconcile()
  void kernelTrial(parts.paths.state).then((trial) => {
    parts.trial.value = trial
    return publish().catch(() => undefined)
  })
}

async function fetchManifest(mesh: Mesh | null, model: string, signal?: AbortSignal): Promise<ModelManifest | null> {
  const known = mesh?.manifests().some((entry) => entry.model === model || entry.digest === model)
  if (mesh === null || known !== true) return null
  return mesh.fetchManifest(model, signal === undefined ? {} : { signal })
}

async function fetchBlobs(
  mesh: Mesh | null,
  digest: string,
  blobs: readonly { address: string; bytes: number }[],
  signal?: AbortSignal,
): Promise<void> {
  const holders = mesh?.manifests().find((entry) => entry.digest === digest)?.holders ?? []
  await mesh?.fetchTensors(blobs, holders, signal === undefined ? {} : { signal })
}
