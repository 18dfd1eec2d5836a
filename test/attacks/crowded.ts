/**
 * E8, over real connections: two hundred strangers with programs of their own crowd round the five members of a cluster, say that
 * they hold its models, flood it, take its places at the door, and stand first in the list that the fifth member begins with.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { importModel } from '../../src/models/index.ts'
import { homePaths, prepareHome } from '../../src/peer/home.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { createNetworkKey, loadOrCreateIdentity } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'
import { foundClusterHomes } from '../peer/support/cluster-homes.ts'
import { least, most, wanted } from './attack.ts'
import type { Attack, Size } from './attack.ts'
import { startChild } from './crowd/child.ts'
import { Members, p95 } from './crowd/members.ts'
import type { Linked } from './crowd/members.ts'
import type { CrowdCounts, Held, Lookups, MembersState, Target } from './crowd/talk.ts'

const MEMBERS = 5
/** Models that each of the first four holds: looked up by the others while all is calm, and others among the crowd. */
const MODELS = 2
const CALM_MS = 5_000
/** Made-up holders that a mesh with a key alone is waited for to have: of so many strangers, one. */
const ONE_IN = 8
/** The fifth knows sixteen addresses, of which one is a member's. */
const HOSTILE = 15

interface Homes {
  readonly folders: readonly string[]
  readonly ids: readonly string[]
  readonly key: Uint8Array
  readonly keyFile: string | null
}

async function clusterHomes(folder: string): Promise<Homes> {
  const homes = Array.from({ length: MEMBERS }, (_, n) => ({ name: `m${n}`, role: 'member' as const }))
  const { ids, door } = await foundClusterHomes(folder, homes)
  return { folders: homes.map(({ name }) => join(folder, name)), ids, key: door, keyFile: null }
}

/** As it was before there were memberships: whoever has the key is in. */
async function keyedHomes(folder: string): Promise<Homes> {
  const keyFile = join(folder, 'network.key')
  const key = await createNetworkKey(keyFile)
  const folders = Array.from({ length: MEMBERS }, (_, n) => join(folder, `m${n}`))
  const ids: string[] = []
  for (const home of folders) {
    const directory = join(home, 'keys')
    await mkdir(directory, { recursive: true, mode: 0o700 })
    ids.push((await loadOrCreateIdentity({ directory })).id)
  }
  return { folders, ids, key, keyFile }
}

/** The first four hold small models: so many each for the calm, and as many for later. */
async function fill(folders: readonly string[]): Promise<Held[]> {
  const held: Held[] = []
  for (const [n, home] of folders.slice(0, -1).entries()) {
    const paths = homePaths(home, {})
    await prepareHome(paths)
    const store = await createBlobStore({ directory: paths.store })
    for (let m = 0; m < 2 * MODELS; m++) {
      const source = join(home, 'model.gguf')
      await writeFile(source, writeGguf(tinyLlama({ hidden: 96 + 32 * (n * 2 * MODELS + m) })))
      const needs = { store, clock: systemClock(), directory: paths.partitions, downloads: join(home, 'downloads') }
      const { model, digest } = await importModel(needs, { source, name: `m${n}-${m}` })
      held.push({ model, digest, holder: n })
    }
  }
  return held
}

interface Crowded {
  readonly calm: MembersState
  readonly crowded: MembersState
  readonly after: MembersState
  /** While all was calm, and among the crowd. */
  readonly lookupsBefore: Lookups
  readonly lookups: Lookups
  /** Links to members that the fifth got, and what it found. */
  readonly late: Linked
  readonly lateLookups: Lookups
  readonly counts: CrowdCounts
}

async function attempt(isDefended: boolean, strangers: number, ms: number): Promise<Crowded> {
  const folder = await mkdtemp(join(tmpdir(), 'weft-crowd-'))
  const [members, late, crowd] = [
    new Members(),
    new Members(),
    startChild(join(import.meta.dirname, 'crowd', 'crowd.ts'), 1),
  ]
  try {
    const { folders, ids, key, keyFile } = await (isDefended ? clusterHomes : keyedHomes)(folder)
    const all = await fill(folders)
    const [before, held] = [all.filter((_, n) => n % 2 === 0), all.filter((_, n) => n % 2 === 1)]
    const [hostile] = await Promise.all([
      crowd.ask<Target[]>('start', { strangers, key: Buffer.from(key).toString('hex') }),
      members.start({ keyFile, bootstrap: [] }, folders.slice(0, -1)),
    ])
    await members.linked({ ids, least: MEMBERS - 2 })
    await members.watch()
    // what they do among the crowd they do before it came as well
    const lookupsBefore = await members.look(before, ms / 2)
    await pause(ms / 4)
    const calm = await members.state()
    const targets = members.targets()
    await crowd.ask('attack', { targets, models: held })
    await pause(ms / 4)
    // what the crowd says is on its way to all of them: looked for only once some of it is there
    if (!isDefended) await members.believed(strangers / ONE_IN)
    const bootstrap = [...hostile.slice(0, HOSTILE), targets[0]!].map(({ address }) => address)
    await late.start({ keyFile, bootstrap }, folders.slice(-1))
    const linking = late.linked({ ids, least: MEMBERS - 1 })
    const lookups = await members.look(held, ms / 2)
    const links = await linking
    const lateLookups = await late.look(held, ms / 4)
    const crowded = await members.state()
    const counts = await crowd.ask<CrowdCounts>('stop')
    await crowd.end()
    await late.end()
    await pause(CALM_MS)
    return { calm, crowded, after: await members.state(), lookupsBefore, lookups, late: links, lateLookups, counts }
  } finally {
    await Promise.all([members, crowd, late].map((one) => one.end()))
    await rm(folder, { recursive: true, force: true })
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** The most that one of them has more, MB. */
function grown(before: readonly number[], then: readonly number[]): number {
  return Math.max(...then.map((bytes, n) => (bytes - before[n]!) / 2 ** 20))
}

/** So many are enough to undo a mesh with a key alone: the control takes no more of them, and no longer. */
const FEW = [40, 10_000] as const
const sizeOf = (size: Size): readonly [number, number] => (size === 'few' ? FEW : [200, 30_000])

export const crowded: Attack = {
  id: 'E8b',
  name: 'two hundred strangers round five members, over real connections',
  isAlone: true,
  async control() {
    const { lookups, crowded: during } = await attempt(false, ...FEW)
    return [
      least('links that one member has to forty strangers, with a key alone', during.strangers, 2),
      least('peers that are believed to hold a model and are made up', during.madeUp, 1),
      least('lookups that do not find the right holder', lookups.asked - lookups.right, 1),
    ]
  },
  async defended(size) {
    const { calm, crowded: during, after, late, counts, ...found } = await attempt(true, ...sizeOf(size))
    const all = [found.lookups, found.lateLookups]
    const asked = all.reduce((sum, one) => sum + one.asked, 0)
    return [
      least('connections that strangers began', counts.dialled + counts.knocked, 1_000),
      least('connections on which strangers had proven an id', counts.connected, 40),
      least('floods of addresses, protocols and topics', counts.floods, 4),
      most('strangers that were welcome', counts.welcome, 0),
      most('protocols of identify, or made up, that are served', counts.served, 0),
      most('links to strangers', during.strangers, 0),
      least('fewest links to members that a member ever had', during.fewest, 2),
      least('links of a member that began with a hostile list', late.links, 2),
      most('peers that are believed to hold a model and are made up', during.madeUp, 0),
      least('lookups', asked, MODELS * (MEMBERS - 1) ** 2),
      most('lookups that did not find the right holder', asked - all.reduce((sum, one) => sum + one.right, 0), 0),
      most('memory that a member keeps, MB', grown(calm.kept, after.kept), 50),
      wanted('memory that a member takes more at the height of it, MB', grown(calm.peaks, during.peaks), 50),
      wanted('seconds that it took to have all of them', late.after / 1_000, 30),
      wanted('slowest lookup, seconds', Math.max(...all.flatMap(({ times }) => times)) / 1_000, 10),
      wanted(
        '95th percentile of lookups, times that alone',
        p95(found.lookups.times) / p95(found.lookupsBefore.times),
        2,
      ),
      // A round trip alone is a few milliseconds, and one handshake in its way is as long.
      wanted('95th percentile of round trips between members, milliseconds', during.roundTrip, 10),
      wanted('the same, times that alone', during.roundTrip / calm.roundTrip, 2),
    ]
  },
}
