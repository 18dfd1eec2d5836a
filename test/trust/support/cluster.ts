/** Clusters in memory: identities, logs and entries, with a clock that tests set. */
import {
  composeGenesis,
  createCluster,
  foundLog,
  memoryLogStore,
  adoptLog,
  decodeEntry,
  newIdentity,
  sealEntry,
} from '../../../src/trust/index.ts'
import type { Cluster, Entry, Identity, LogStore, Threshold } from '../../../src/trust/index.ts'
import { systemRandom } from '../../../src/util/index.ts'

export const random = systemRandom()

export interface Founded {
  readonly root: Identity
  readonly founder: Identity
  readonly genesis: Entry
  readonly cluster: Cluster
  readonly store: LogStore
  readonly time: { now: number }
}

export function found(threshold: Threshold = { k: 1, n: 1 }, name = 'test'): Founded {
  const time = { now: 1_700_000_000_000 }
  const [root, founder] = [newIdentity(), newIdentity()]
  const needs = { random, wall: () => time.now, identity: founder }
  const body = composeGenesis(needs, {
    name,
    root: root.id,
    founder: { peer: founder.id, name: 'founder', site: '' },
    threshold,
  })
  const genesis = sealEntry(body, root, founder)
  const store = memoryLogStore()
  const cluster = createCluster(needs, { store, log: foundLog(store, genesis) })
  return { root, founder, genesis, cluster, store, time }
}

/** The same cluster as another member has it. @param now by a clock that nobody sets, unlike `time` */
export function copyFor(
  of: Cluster,
  identity: Identity,
  time: { now: number },
  maxAge?: number,
  now?: () => number,
): Cluster {
  const store = memoryLogStore()
  const entries = of.log.entries(0, 1_000_000).map(decodeEntry)
  const log = adoptLog(store, of.id, entries)
  const clocks = { wall: () => time.now, ...(now === undefined ? {} : { now }) }
  return createCluster({ random, identity, ...clocks }, { store, log, maxAge: () => maxAge })
}

export function all(cluster: Cluster, from = 0): readonly Uint8Array[] {
  return cluster.log.entries(from, 1_000_000)
}
