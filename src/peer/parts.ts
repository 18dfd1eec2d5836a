/** The lower parts of a peer: what needs nothing of the others, and the network under all of them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createMesh } from '../mesh/index.ts'
import type { BlobRequest, FetchProgress, Mesh } from '../mesh/index.ts'
import type { AnyManifest } from '../models/index.ts'
import { createNetwork } from '../net/index.ts'
import type { Membership, Network } from '../net/index.ts'
import type { AuditMode, RunHostProcess } from '../pipeline/index.ts'
import { createBlobStore, writeFileAtomic } from '../store/index.ts'
import type { BlobStore } from '../store/index.ts'
import { createLogger, createRotatingFile, createTelemetry } from '../telemetry/index.ts'
import type { Logger, LogLevel, Telemetry } from '../telemetry/index.ts'
import { checkFolderModes, checkKeyModes, loadNetworkKey, loadOrCreateIdentity } from '../trust/index.ts'
import type { Identity, Role } from '../trust/index.ts'
import { systemClock, systemRandom } from '../util/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { AddressBook } from './address-book.ts'
import { openClusterPart } from './cluster/index.ts'
import type { ClusterPart } from './cluster/index.ts'
import type { HomePaths } from './home.ts'
import type { Library } from './library.ts'
import { thisMachine } from './machine.ts'
import type { Machine } from './machine.ts'
import { nameOf } from './names.ts'
import { Profiling } from './profile.ts'
import { RowLevels } from './row-levels.ts'
import { fileGate } from './site-gates.ts'
import { Site } from './site.ts'
import type { ReplanMode } from './replanning.ts'
import { VERSION } from './version.ts'

export interface CreatePeerInit {
  readonly home: string
  /** @default two words made of the PeerId */
  readonly name?: string
  /** Multiaddrs; null: nothing, only dialling. @default all interfaces, port 7334 or a free one */
  readonly listen?: readonly string[] | null
  /** Multiaddrs that others are told in place of those that are listened on. */
  readonly announce?: readonly string[]
  /** Whether other members' traffic is carried. @default 'on' */
  readonly relay?: 'on' | 'off'
  /** Multiaddrs of peers on other networks. */
  readonly bootstrap?: readonly string[]
  /** @default 'weft' */
  readonly network?: string
  /** File of the network key; without one the mesh is open. */
  readonly networkKey?: string
  /** Opens keys that are encrypted at rest; held in memory alone. */
  readonly passphrase?: string
  /** @default 'open' */
  readonly lan?: 'open' | 'confirm' | 'off'
  /** Bytes for weights and KV caches. @default 60 % of what is free */
  readonly memory?: number
  /** Bytes on the disk for models. @default what is there, and four fifths of what is free at the start */
  readonly disk?: number
  /** Bytes a second that tensors may take to other peers. @default no limit */
  readonly uploadLimit?: number
  /** Threads of each stage. @default the machine's cores */
  readonly threads?: number
  /** Whether placements move by themselves when another is better by more than it costs. @default 'on' */
  readonly replan?: ReplanMode
  /** Milliseconds for which nothing moves after a change. @default a minute */
  readonly replanQuiet?: number
  /** Whether what other peers compute for requests of this one is checked, where they do not say. @default 'off' */
  readonly audit?: AuditMode
  /** Of `sample`: chance of a row of a stage that a check follows it, 0 to 1. @default 0.05 */
  readonly auditRate?: number
  /** The model that guesses for answers that name none, where it can; `off`: none does. @default one that fits */
  readonly draft?: string
  /** In a cluster: milliseconds after which a membership that no admin confirms is not believed. @default what the policy says */
  readonly maxAge?: number
  /** No mesh at all: no listening, no dialling. */
  readonly offline?: boolean
  readonly logLevel?: LogLevel
}

/** What a peer takes from the world around it. A simulation hands in another world; the peer is the same. */
export interface PeerNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly machine: Machine
  /** @throws what `createNetwork` does */
  readonly createNetwork: typeof createNetwork
  /** Undefined: stage hosts are child processes. */
  readonly runHost: RunHostProcess | undefined
}

export function realNeeds(): PeerNeeds {
  return { clock: systemClock(), random: systemRandom(), machine: thisMachine(), createNetwork, runHost: undefined }
}

export interface Parts {
  readonly init: CreatePeerInit
  readonly needs: PeerNeeds
  readonly paths: HomePaths
  readonly clock: Clock
  readonly random: RandomSource
  readonly identity: Identity
  readonly name: string
  readonly telemetry: Telemetry
  readonly logger: Logger
  readonly store: BlobStore
  readonly threads: number
  readonly profiling: Profiling
  readonly book: AddressBook
  /** Null: alone, or in a mesh without a membership log. */
  readonly cluster: ClusterPart | null
  /** What the site allows, and what is written down of it. */
  readonly site: Site
  /** How large rows of models are that were imported here. */
  readonly levels: RowLevels
}

export async function lowerParts(
  init: CreatePeerInit,
  needs: PeerNeeds,
  paths: HomePaths,
  undo: (() => unknown)[],
): Promise<Parts> {
  const { clock, machine, random } = needs
  const file = createRotatingFile({ path: join(paths.logs, init.offline === true ? 'weft-local.log' : 'weft.log') })
  undo.push(() => file.close())
  if (init.offline !== true) {
    await checkFolderModes([paths.root, paths.keys])
    await checkKeyModes(paths.keys)
  }
  const identity = await loadOrCreateIdentity({ directory: paths.keys, passphrase: init.passphrase })
  const logger = createLogger({
    name: init.name ?? nameOf(identity.id),
    level: init.logLevel ?? 'info',
    destination: file,
  })
  const telemetry = createTelemetry({ clock }, { version: VERSION })
  telemetry.gauge('log_lines_lost', () => file.lost())
  const online = init.offline !== true
  const around = { home: paths.root, identity, clock, random, logger, telemetry }
  let site: Site | undefined
  const maxAge = (): number | undefined => stricter(init.maxAge, site?.maxAge())
  const cluster = online ? await openClusterPart(around, { networkKey: init.networkKey, maxAge }) : null
  if (cluster !== null) undo.push(() => cluster.stop())
  const roleOf = (peer: string): Role | undefined => cluster?.control.roleOf(peer)?.role
  site = await Site.open({ clock, random, identity, paths, logger, telemetry, online, roleOf })
  undo.push(() => site?.close())
  const store = await createBlobStore({ directory: paths.store })
  const threads = init.threads ?? machine.cores
  const levels = await RowLevels.open(paths.state, (line) => logger.warn({}, line))
  const book = await AddressBook.open(paths.peers, clock, (line) => logger.warn({}, line))
  const name = init.name ?? cluster?.ownName() ?? nameOf(identity.id)
  return {
    cluster,
    init,
    needs,
    paths,
    clock,
    random,
    identity,
    name,
    telemetry,
    logger,
    store,
    threads,
    profiling: new Profiling({
      clock,
      machine,
      telemetry,
      logger,
      directory: paths.state,
      threads,
      memory: init.memory,
    }),
    book,
    site,
    levels,
  }
}

/** Whoever starts the peer may ask for more than the policy, and cannot loosen it. */
function stricter(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other)
}

export function networkNameOf({ cluster, init }: Pick<Parts, 'cluster' | 'init'>): string {
  return cluster?.name ?? init.network ?? 'weft'
}

export async function startNetwork(parts: Parts): Promise<Network> {
  const { init, clock, random, identity, logger, telemetry, name } = parts
  const { cluster } = parts
  const file = init.networkKey
  const networkKey =
    cluster?.networkKey ?? (file === undefined ? undefined : await loadNetworkKey(file, init.passphrase))
  const network = await parts.needs.createNetwork(
    { clock, random, identity, logger, telemetry },
    {
      name,
      version: VERSION,
      networkName: networkNameOf(parts),
      lan: init.lan ?? 'open',
      membership: membershipOf(parts),
      ...(cluster === null ? {} : { cluster: cluster.net }),
      defence: parts.site.defence,
      bootstrap: init.bootstrap ?? [],
      listen: init.listen === undefined ? [] : init.listen,
      ...(init.announce === undefined ? {} : { announce: init.announce }),
      ...(init.relay === undefined ? {} : { relay: init.relay }),
      discovery: init.lan !== 'off',
      knownPeers: parts.book.peers,
      approved: parts.book.approved,
      ...(networkKey === undefined ? {} : { networkKey }),
    },
  )
  for (const id of parts.book.denied) network.decide(id, false)
  return network
}

export function meshOf(
  parts: Parts,
  network: Network,
  library: () => Library | undefined,
  promise: (address: string) => boolean,
  adapted: (address: string) => readonly string[],
): Mesh {
  const { init, identity, clock, random, store, logger, telemetry, paths } = parts
  return createMesh({
    network,
    identity,
    clock,
    random,
    store,
    logger,
    telemetry,
    promise,
    levels: (digest) => parts.levels.own(digest),
    membership: membershipOf(parts),
    serves: fileGate(parts.site, () => library()?.list() ?? [], adapted),
    delivered: (peer, rate) => parts.profiling.links.delivered(peer, rate),
    ...(init.uploadLimit === undefined ? {} : { uploadLimit: init.uploadLimit }),
    loadManifest: (digest) => Promise.resolve(library()?.byDigest(digest)),
    files: {
      read: (file) => readFile(join(paths.state, file)).catch(() => undefined),
      write: (file, bytes) => writeFileAtomic(join(paths.state, file), bytes),
    },
  })
}

export async function fetchManifest(
  mesh: Mesh | null,
  model: string,
  signal?: AbortSignal,
): Promise<AnyManifest | null> {
  const known = mesh?.manifests().some((entry) => entry.model === model || entry.digest === model)
  if (mesh === null || known !== true) return null
  return mesh.fetchManifest(model, signal === undefined ? {} : { signal })
}

/** Peers by whom a model's manifest is announced, as known now. */
function holdersOf(mesh: Mesh, digest: string): readonly string[] {
  return mesh.manifests().find((entry) => entry.digest === digest)?.holders ?? []
}

export async function fetchBlobs(
  mesh: Mesh | null,
  manifest: AnyManifest,
  blobs: readonly BlobRequest[],
  onProgress: FetchProgress,
  signal?: AbortSignal,
): Promise<void> {
  if (mesh === null) return
  const more = (): readonly string[] => holdersOf(mesh, manifest.digest)
  const of = manifest.digest
  await mesh.fetchTensors(blobs, more(), { more, of, onProgress, ...(signal === undefined ? {} : { signal }) })
}

/** Who is in, by the membership log; and of those, whom the site's own policy lets in. */
function membershipOf({ cluster, site }: Parts): Membership {
  return {
    get epoch() {
      return cluster?.membership.epoch ?? 0
    },
    admits: (peer, purpose) => (cluster?.membership.admits(peer, purpose) ?? true) && site.admits(peer, purpose),
    isRemoved: (peer) => cluster?.membership.isRemoved(peer) ?? false,
    keptOutBy: (peer) => (cluster?.membership.admits(peer, 'connect') === false ? undefined : site.keepsOut(peer)),
  }
}
