/** The membership log of a home: founded, grown, shrunk, closed off by a checkpoint. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  clusterPlaces,
  composeCheckpoint,
  composeGenesis,
  composeRotate,
  createCluster,
  foundClusterHome,
  foundLog,
  identityOfSeed,
  leaveClusterHome,
  openClusterHome,
  openLog,
  openLogFile,
  readClusterPin,
  sealEntry,
} from '../../../src/trust/index.ts'
import type { ClusterNeeds, EntryBody, Identity, LogStore, OpenedCluster } from '../../../src/trust/index.ts'
import { systemRandom } from '../../../src/util/index.ts'
import type { Kind, Step } from '../kind.ts'

/** The same in every process. */
export function identityNumber(number: number): Identity {
  return identityOfSeed(Buffer.alloc(32, number))
}

export const needs: ClusterNeeds = {
  identity: identityNumber(1),
  random: systemRandom(),
  wall: () => 1_700_000_000_000,
}

export function foundFor(home: string): Promise<OpenedCluster> {
  return foundClusterHome(needs, home, {
    name: 'northwind',
    threshold: { k: 1, n: 1 },
    founder: { name: 'a', site: '' },
    root: identityNumber(2),
  })
}

/** Without what differs from run to run: hashes and keys. */
export function shownCluster({ cluster }: OpenedCluster): unknown {
  const { head, epoch, members, removed, forks } = cluster.view()
  return {
    height: head.height,
    epoch,
    members: members.map(({ peer, role }) => `${peer.slice(-6)} ${role}`).sort(),
    removed: removed.map(({ peer }) => peer.slice(-6)).sort(),
    forks: forks.length,
    keys: cluster.groupKeys().length > 0,
    checkpoint: cluster.log.state.checkpoint,
  }
}

function once(isDone: () => boolean, run: () => unknown): () => unknown {
  return () => (isDone() ? undefined : run())
}

const membership: Kind = {
  name: 'membership log',
  async prepare(home) {
    const opened = await foundFor(home)
    opened.close()
  },
  async open(home) {
    const opened = await openClusterHome(needs, home)
    const { cluster } = opened
    const admit = (number: number): Step => {
      const { id: peer } = identityNumber(number)
      const run = (): unknown => cluster.admit({ peer, name: '', role: 'member', site: '' })
      return { name: `admit ${number}`, run: once(() => cluster.member(peer) !== undefined, run) }
    }
    const height = (): number => cluster.head.height
    return {
      steps: [
        admit(3),
        admit(4),
        {
          name: 'revoke 3',
          run: once(
            () => cluster.member(identityNumber(3).id) === undefined,
            () => cluster.revoke(identityNumber(3).id, 'lost'),
          ),
        },
        {
          name: 'checkpoint',
          run: once(
            () => height() > 4,
            () => cluster.commit(composeCheckpoint(needs, cluster.log.state)),
          ),
        },
        {
          name: 'rotate',
          run: once(
            () => height() > 5,
            () => cluster.commit(composeRotate(needs, cluster.log.state)),
          ),
        },
      ],
      state: () => shownCluster(opened),
      close: () => opened.close(),
    }
  },
  async read(home) {
    const [quick, whole] = [await openClusterHome(needs, home), await openClusterHome(needs, home, { whole: true })]
    try {
      const state = shownCluster(quick)
      if (JSON.stringify(shownCluster(whole)) !== JSON.stringify(state))
        throw new Error('the checkpoint says other than the log')
      return state
    } finally {
      quick.close()
      whole.close()
    }
  },
  unchecked: (path) => path === clusterPlaces('').invites,
}

/** What lies behind a checkpoint is packed with the change that makes it so, and a history that wins unpacks a part. */
const packed: Kind = {
  name: 'packed membership log',
  async prepare(home) {
    await mkdir(join(home, 'keys'), { recursive: true, mode: 0o700 })
    const genesis = composeGenesis(needs, {
      name: 'northwind',
      root: identityNumber(2).id,
      founder: { peer: needs.identity.id, name: 'a', site: '' },
      threshold: { k: 1, n: 1 },
    })
    const store = openPacked(home)
    foundLog(store, sealEntry(genesis, identityNumber(2), needs.identity))
    store.close()
  },
  open(home) {
    const store = openPacked(home)
    const cluster = createCluster(needs, { store, log: openLog(store, store.hashAt(0)!) })
    const to = (height: number, name: string, body: () => EntryBody): Step => ({
      name: `${name} ${height}`,
      run: once(
        () => cluster.head.height >= height,
        () => cluster.commit(body()),
      ),
    })
    const rotate = (): EntryBody => composeRotate(needs, cluster.log.state)
    const checkpoint = (): EntryBody => composeCheckpoint(needs, cluster.log.state)
    return {
      steps: [1, 2, 3, 4, 5, 6, 7].map((at) =>
        at % 3 === 0 ? to(at, 'checkpoint', checkpoint) : to(at, 'rotate', rotate),
      ),
      state: () => shownLog(store),
      close: () => cluster.close(),
    }
  },
  read(home) {
    const store = openPacked(home)
    try {
      const state = shownLog(store)
      if (openLog(store, store.hashAt(0)!, { whole: true }).head.height !== state.height)
        throw new Error('the log is cut off')
      return state
    } finally {
      store.close()
    }
  },
}

/** Two entries a segment. */
function openPacked(home: string): LogStore {
  return openLogFile({ path: join(home, 'log.sqlite'), anchor: join(home, 'keys', 'log.anchor') }, needs.identity, 2)
}

function shownLog(store: LogStore): { readonly height: number; readonly read: number } {
  return { height: store.size() - 1, read: store.read(0, 100).length }
}

/** A cluster that is left: its files are put aside, and the home belongs to none; then another is founded. */
const leaving: Kind = {
  name: 'leaving a cluster',
  async prepare(home) {
    const opened = await foundFor(home)
    opened.close()
  },
  open(home) {
    const has = async (): Promise<boolean> => (await readClusterPin(home)) !== undefined
    return {
      steps: [
        { name: 'leave', run: async () => ((await has()) ? leaveClusterHome(home, 5) : undefined) },
        { name: 'found again', run: async () => ((await has()) ? undefined : (await foundFor(home)).close()) },
      ],
      state: async () => ((await has()) ? 'in a cluster' : 'in none'),
      close: () => undefined,
    }
  },
  async read(home) {
    if ((await readClusterPin(home)) === undefined) return 'in none'
    const opened = await openClusterHome(needs, home)
    opened.close()
    return 'in a cluster'
  },
  isOpaque: true,
}

export const KINDS: readonly Kind[] = [membership, packed, leaving]
