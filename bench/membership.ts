/**
 * A cluster's membership: how long a log takes to open and to verify, what a question to it costs, and how soon a removed
 * member is cut off by all who are connected and by one who was not. Peers of this process, over TCP on the loopback.
 *
 *   node bench/membership.ts [--json] [--entries 10000] [--members 50] [--peers 50] [--rounds 5]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createSpread } from '../src/mesh/index.ts'
import { createNetwork } from '../src/net/index.ts'
import type { Network } from '../src/net/index.ts'
import { createLogger } from '../src/telemetry/index.ts'
import {
  adoptClusterHome,
  adoptLog,
  composeAdmit,
  composeCheckpoint,
  composeGenesis,
  copyState,
  createCluster,
  decodeEntry,
  foundLog,
  foundState,
  memoryLogStore,
  newIdentity,
  openClusterHome,
  sealEntry,
  apply,
  CERTIFICATE_LIFETIME,
  composeCertificates,
} from '../src/trust/index.ts'
import type { Cluster, ClusterState, Entry, EntryBody, Identity } from '../src/trust/index.ts'
import { systemClock, systemRandom } from '../src/util/index.ts'
import { median } from './support/median.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    entries: { type: 'string', default: '10000' },
    members: { type: 'string', default: '50' },
    peers: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '5' },
  },
})
const [entries, members, peers, rounds] = [values.entries, values.members, values.peers, values.rounds].map(Number) as [
  number,
  number,
  number,
  number,
]
const [clock, random] = [systemClock(), systemRandom()]
const needs = { random, wall: () => clock.wall() }
const rows: (readonly [string, string])[] = []
const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`

/** Comings and goings among so many members, a checkpoint each 512. */
function longLog(): { readonly all: Entry[]; readonly founder: Identity; readonly cluster: string } {
  const [root, founder] = [newIdentity(), newIdentity()]
  const body = composeGenesis(needs, {
    name: 'bench',
    root: root.id,
    founder: { peer: founder.id, name: '', site: '' },
    threshold: { k: 1, n: 1 },
  })
  const all = [sealEntry(body, root, founder)]
  const state = foundState(all[0]!)
  const groupKey = random.bytes(32)
  const inside: string[] = []
  while (all.length < entries) {
    const next =
      all.length % 512 === 0
        ? composeCheckpoint(needs, state)
        : all.length === 1
          ? composeCertificates(needs, state, CERTIFICATE_LIFETIME.founded)
          : inside.length < members
            ? composeAdmit(
                needs,
                state,
                { peer: newIdentity().id, name: 'somebody', role: 'member', site: 'somewhere' },
                { inviter: founder.id, groupKey },
              )
            : revokeOf(state, inside.shift()!)
    const entry = sealEntry(next, founder)
    apply(state, entry)
    all.push(entry)
    if (next.kind === 'admit') inside.push(next.peer)
  }
  return { all, founder, cluster: all[0]!.hash }
}

/** With boxes that nobody opens: to seal a million of them takes minutes, and whoever verifies does not look into them. */
function revokeOf(state: ClusterState, peer: string): EntryBody {
  const { head, cluster, epoch } = state
  const boxes = Buffer.from(random.bytes(48 * (state.members.size - 1))).toString('base64')
  const rotation = { epoch: epoch + 1, ephemeral: Buffer.from(random.bytes(32)).toString('hex'), boxes }
  const place = { v: 1, cluster, height: head.height + 1, previous: head.hash, at: needs.wall() } as const
  return { ...place, kind: 'revoke', peer, reason: 'retired', left: false, rotation }
}

async function logs(folder: string): Promise<void> {
  const { all, founder, cluster } = longLog()
  const home = join(folder, 'home')
  const own = { ...needs, identity: founder }
  ;(await adoptClusterHome(own, home, cluster, all)).close()
  const times: Record<'quick' | 'whole', number[]> = { quick: [], whole: [] }
  const busy: Record<'quick' | 'whole', number[]> = { quick: [], whole: [] }
  for (let round = 0; round < rounds; round++) {
    for (const kind of ['quick', 'whole'] as const) {
      const [start, before] = [clock.now(), process.cpuUsage()]
      const opened = await openClusterHome(own, home, { whole: kind === 'whole' })
      times[kind].push(clock.now() - start)
      const { user, system } = process.cpuUsage(before)
      busy[kind].push((user + system) / 1000)
      opened.close()
    }
  }
  const bytes = all.reduce((sum, entry) => sum + entry.bytes.length, 0)
  rows.push([`log of ${all.length} entries`, `${(bytes / 1e6).toFixed(1)} MB`])
  const both = (kind: 'quick' | 'whole'): string =>
    `${ms(median(times[kind]))}, of them ${ms(median(busy[kind]))} of the processor`
  rows.push(['open from its checkpoint, median', both('quick')])
  rows.push(['open and verify every entry, median', both('whole')])
  const opened = await openClusterHome(own, home)
  const { membership } = opened.cluster
  const ids = opened.cluster.view().members.map(({ peer }) => peer)
  const start = clock.now()
  const asked = 200_000
  for (let n = 0; n < asked; n++) membership.admits(ids[n % ids.length]!, 'compute')
  rows.push([`a question of ${ids.length} members`, `${(((clock.now() - start) / asked) * 1000).toFixed(2)} us`])
  const copied = clock.now()
  copyState(opened.cluster.log.state)
  rows.push(['a copy of the state, made for each change', ms(clock.now() - copied)])
  opened.close()
}

interface Peer {
  readonly network: Network
  readonly cluster: Cluster
  stop(): Promise<void>
}

async function run(cluster: Cluster, identity: Identity): Promise<Peer> {
  const logger = createLogger({ name: 'bench', level: 'silent' })
  const count = (): void => undefined
  const spread = createSpread({ cluster, clock, logger, count, changed: () => network.review() })
  const network: Network = await createNetwork(
    { clock, random, identity, logger },
    {
      networkName: 'bench',
      networkKey: cluster.doorKey,
      membership: cluster.membership,
      cluster: {
        groupKeys: () => cluster.groupKeys(),
        head: () => cluster.head,
        certificate: () => cluster.certificates.of(cluster.self)?.bytes,
        certified: (peer, certificate) => spread.certified(peer, certificate),
        acquaint: (peer, head, open) => spread.acquaint(peer, head, open),
      },
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: [],
      lan: 'off',
      discovery: false,
      rendezvous: false,
      name: 'bench',
      version: '0',
    },
  )
  spread.start(network)
  const stop = async (): Promise<void> => {
    spread.stop()
    await network.stop()
  }
  return { network, cluster, stop }
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await clock.sleep(2)
}

/** Everybody is connected to a hub, which is not the admin, and to the one that is removed. */
async function removal(): Promise<void> {
  const [root, founder] = [newIdentity(), newIdentity()]
  const store = memoryLogStore()
  const genesis = sealEntry(
    composeGenesis(needs, {
      name: 'bench',
      root: root.id,
      founder: { peer: founder.id, name: '', site: '' },
      threshold: { k: 1, n: 1 },
    }),
    root,
    founder,
  )
  const admin = createCluster({ ...needs, identity: founder }, { store, log: foundLog(store, genesis) })
  admin.commit(composeCertificates(needs, admin.log.state, CERTIFICATE_LIFETIME.founded))
  const identities = Array.from({ length: peers + 2 }, () => newIdentity())
  for (const { id } of identities) admin.admit({ peer: id, name: '', role: 'member', site: '' })
  const copy = (identity: Identity): Cluster => {
    const own = memoryLogStore()
    const log = adoptLog(own, admin.id, admin.log.entries(0, 10_000).map(decodeEntry))
    return createCluster({ ...needs, identity }, { store: own, log })
  }
  const [sleeping, removed, ...rest] = identities as [Identity, Identity, ...Identity[]]
  const sleeper = await run(copy(sleeping), sleeping)
  const r = await run(copy(removed), removed)
  const a = await run(admin, founder)
  const all: Peer[] = []
  for (const identity of rest) all.push(await run(copy(identity), identity))
  const hub = all[0]!
  for (const one of all) {
    one.network.keep(r.network.addresses()[0]!)
    if (one !== hub) one.network.keep(hub.network.addresses()[0]!)
  }
  a.network.keep(hub.network.addresses()[0]!)
  sleeper.network.keep(r.network.addresses()[0]!)
  const has = (one: Peer, other: Peer): boolean => one.network.connected().some(({ id }) => id === other.network.id)
  await until(() => all.every((one) => has(one, r) && (one === hub || has(one, hub))) && has(a, hub) && has(sleeper, r))
  // one that does not listen: the others have to cut it off
  Object.assign(r.cluster, { merge: () => ({ added: [], fork: undefined }) })
  const gone = new Map<Peer, number>()
  for (const one of all)
    one.network.on({ disconnected: (id) => id === r.network.id && gone.set(one, clock.now() - start) })
  const start = clock.now()
  admin.revoke(removed.id, 'lost')
  const made = clock.now() - start
  await until(() => gone.size === all.length)
  const times = [...gone.values()].toSorted((x, y) => x - y)
  rows.push([`a removal among ${identities.length + 1} members, made`, ms(made)])
  rows.push([`cut off by ${all.length} connected members, two steps away: median`, ms(median(times))])
  rows.push(['the same, p99', ms(times[Math.ceil(times.length * 0.99) - 1]!)])
  const contact = clock.now()
  sleeper.network.keep(hub.network.addresses()[0]!)
  await until(() => has(sleeper, hub))
  const met = clock.now()
  await until(() => !has(sleeper, r))
  rows.push(['by one that had slept: after its first contact was joined', ms(clock.now() - met)])
  rows.push(['the same, from its first dial', ms(clock.now() - contact)])
  await Promise.all([sleeper, r, a, ...all].map((one) => one.stop()))
}

const folder = await mkdtemp(join(tmpdir(), 'weft-bench-'))
try {
  await logs(folder)
  await removal()
} finally {
  await rm(folder, { recursive: true, force: true })
}
if (values.json) process.stdout.write(`${JSON.stringify(Object.fromEntries(rows))}\n`)
else {
  const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}, node ${process.version}`
  process.stdout.write(`${machine}, load ${loadavg()[0]?.toFixed(1)}\n\n| | |\n| --- | --- |\n`)
  for (const [what, figure] of rows) process.stdout.write(`| ${what} | ${figure} |\n`)
}
process.exit(0)
