/** The cluster of a mesh home: `cluster/` has the log and the invites, `keys/` what must not be put back with them. */
import { readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { explainDisk, writeFileAtomic, needFolders, syncDirectory } from '../../store/index.ts'
import { LABEL } from '../../util/index.ts'
import type { Identity } from '../identity.ts'
import { openInviteBook } from '../invites/index.ts'
import type { InviteBook } from '../invites/index.ts'
import {
  adoptingLog,
  CERTIFICATE_LIFETIME,
  composeCertificates,
  composeGenesis,
  createCluster,
  foundLog,
  gently,
  LOG_LIMITS,
  openingLog,
  openLogFile,
  sealEntry,
} from '../membership/index.ts'
import type { Cluster, ClusterNeeds, Entry, LogStore, Threshold } from '../membership/index.ts'
import { ClusterNameError, DamagedClusterError, InClusterError, NoClusterError } from './errors.ts'

const pinSchema = z.strictObject({
  schema: z.literal('weft.cluster-home/1'),
  cluster: z.string().regex(/^[0-9a-f]{64}$/),
  name: z.string().max(64),
  root: z.string().max(64),
})

/** Which cluster a home belongs to: written when it is founded or joined, and never changed. */
export type ClusterPin = z.output<typeof pinSchema>

export interface ClusterPlaces {
  readonly pin: string
  readonly directory: string
  readonly log: string
  readonly invites: string
  readonly anchor: string
  readonly rootKey: string
}

export function clusterPlaces(home: string): ClusterPlaces {
  const directory = join(home, 'cluster')
  return {
    directory,
    pin: join(directory, 'cluster.json'),
    log: join(directory, 'membership.sqlite'),
    invites: join(directory, 'invites.sqlite'),
    anchor: join(home, 'keys', 'membership.anchor'),
    rootKey: join(home, 'keys', 'cluster-root.key'),
  }
}

/** Undefined where the home belongs to none. @throws DamagedClusterError */
export async function readClusterPin(home: string): Promise<ClusterPin | undefined> {
  const { pin } = clusterPlaces(home)
  const text = await readFile(pin, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new DamagedClusterError(pin, error.message)
  })
  if (text === undefined) return undefined
  try {
    return pinSchema.parse(JSON.parse(text))
  } catch {
    throw new DamagedClusterError(pin, 'it is not what weft wrote')
  }
}

export interface OpenedCluster {
  readonly cluster: Cluster
  readonly invites: InviteBook
  close(): void
}

/** @throws NoClusterError, DamagedClusterError, and what the log is refused with */
export async function openClusterHome(
  needs: ClusterNeeds,
  home: string,
  options: { readonly maxAge?: (() => number | undefined) | undefined; readonly whole?: boolean } = {},
): Promise<OpenedCluster> {
  const pin = await readClusterPin(home)
  if (pin === undefined) throw new NoClusterError(home)
  const places = clusterPlaces(home)
  const store = openLogFile({ path: places.log, anchor: places.anchor }, needs.identity)
  return openAround(needs, places, store, async () => ({
    log: await gently(openingLog(store, pin.cluster, { whole: options.whole === true })),
    maxAge: options.maxAge,
  }))
}

async function openAround(
  needs: ClusterNeeds,
  places: ClusterPlaces,
  store: LogStore,
  open: () => Promise<Omit<Parameters<typeof createCluster>[1], 'store'>>,
): Promise<OpenedCluster> {
  try {
    const cluster = createCluster(needs, { store, ...(await open()) })
    const invites = openInviteBook(places.invites, needs.random)
    return {
      cluster,
      invites,
      close() {
        cluster.close()
        invites.close()
      },
    }
  } catch (error) {
    store.close()
    throw error
  }
}

export interface FoundClusterInit {
  readonly name: string
  readonly threshold: Threshold
  readonly founder: { readonly name: string; readonly site: string }
  readonly root: Identity
  /** Milliseconds that certificates are good for, which are asked for then; 0: no entry says so. @default 30 days */
  readonly certificates?: number | undefined
}

/** @throws ClusterNameError */
export function checkFounding({ name, founder }: Pick<FoundClusterInit, 'name' | 'founder'>): void {
  checkLabel('the name of the cluster', name, LOG_LIMITS.name, 1)
  checkLabel('the name of this peer', founder.name, LOG_LIMITS.name)
  checkLabel('the site', founder.site, LOG_LIMITS.site)
}

/** @throws InClusterError, ClusterNameError */
export async function foundClusterHome(
  needs: ClusterNeeds,
  home: string,
  { name, threshold, founder, root, certificates = CERTIFICATE_LIFETIME.founded }: FoundClusterInit,
): Promise<OpenedCluster> {
  checkFounding({ name, founder })
  const { identity } = needs
  const body = composeGenesis(needs, {
    name,
    root: root.id,
    threshold,
    founder: { peer: identity.id, ...founder },
  })
  const genesis = sealEntry(body, root, identity)
  const places = await emptyPlaces(home)
  const store = openLogFile({ path: places.log, anchor: places.anchor }, identity)
  const opened = await openAround(needs, places, store, () => Promise.resolve({ log: foundLog(store, genesis) }))
  const { cluster } = opened
  if (certificates > 0) cluster.commit(composeCertificates(needs, cluster.log.state, certificates))
  await writePin(places, { schema: 'weft.cluster-home/1', cluster: genesis.hash, name, root: root.id })
  return opened
}

/** A log that was checked whole becomes that of the home. @throws InClusterError, and what the log is refused with */
export async function adoptClusterHome(
  needs: ClusterNeeds,
  home: string,
  cluster: string,
  entries: readonly Entry[],
): Promise<OpenedCluster> {
  const places = await emptyPlaces(home)
  const store = openLogFile({ path: places.log, anchor: places.anchor }, needs.identity)
  const opened = await openAround(needs, places, store, async () => ({
    log: await gently(adoptingLog(store, cluster, entries)),
  }))
  const { name, root } = opened.cluster.view()
  await writePin(places, { schema: 'weft.cluster-home/1', cluster, name, root })
  return opened
}

/**
 * The home belongs to no cluster any more; its files are put aside, not thrown away: who left may have to show them.
 * @throws DiskFullError, StoreUnwritableError
 */
export async function leaveClusterHome(home: string, wall: number): Promise<string> {
  const places = clusterPlaces(home)
  const aside = `${places.directory}-left-${wall}`
  try {
    await putAside(home, places, aside)
  } catch (error) {
    throw await explainDisk(error, home, 0)
  }
  return aside
}

async function putAside(home: string, places: ClusterPlaces, aside: string): Promise<void> {
  await rename(places.directory, aside)
  // before its anchor goes: a log that is there without one would be taken for a damaged one
  await syncDirectory(home)
  await rm(places.anchor, { force: true })
  await rename(places.rootKey, join(aside, 'cluster-root.key')).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
  for (const folder of [aside, dirname(places.anchor)]) await syncDirectory(folder)
}

async function emptyPlaces(home: string): Promise<ClusterPlaces> {
  const pin = await readClusterPin(home)
  if (pin !== undefined) throw new InClusterError(pin.name)
  const places = clusterPlaces(home)
  // without a pin it is of a start that was killed half-way
  await rm(places.directory, { recursive: true, force: true })
  await rm(places.anchor, { force: true })
  await needFolders(places.directory, 0o700)
  await needFolders(join(home, 'keys'), 0o700)
  return places
}

/** Last: a home without it belongs to no cluster, whatever else was written. */
async function writePin({ pin }: ClusterPlaces, value: ClusterPin): Promise<void> {
  await writeFileAtomic(pin, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 })
}

/** @throws ClusterNameError */
export function checkLabel(what: string, text: string, most: number, least = 0): void {
  if (!LABEL.test(text) || text.length > most || text.length < least) throw new ClusterNameError(what, text)
}
