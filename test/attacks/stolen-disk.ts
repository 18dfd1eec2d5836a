/**
 * E18: a thief of a disk image. The home of a real peer of a private cluster, with invites, keys, ledger, audit log, backup and
 * a job of a federation, is copied whole. Each of its secrets is looked for in every byte, in two dozen spellings, packed ones
 * unpacked, rows of databases put together; and a peer is started from the copy.
 */
import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { gzipSync } from 'node:zlib'
import { openPrivacyLedger } from '../../src/federated/index.ts'
import { runPeer } from '../../src/peer/create-peer.ts'
import { createBackup, openVault } from '../../src/store/index.ts'
import {
  auditPlaces,
  createApiKeys,
  createNetworkKey,
  decodeToken,
  foundClusterHome,
  keyOwner,
  loadOrCreateIdentity,
  newIdentity,
  openAuditLog,
  openClusterHome,
  sealKeys,
  verify,
} from '../../src/trust/index.ts'
import type { ClusterNeeds, Identity } from '../../src/trust/index.ts'
import { writeRootKey } from '../../src/trust/cluster-home/root-key.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { plan } from '../federated/support/hospitals.ts'
import { found } from '../integration/canaries.ts'
import type { Canary } from '../integration/canaries.ts'
import { least, most } from './attack.ts'
import type { Attack } from './attack.ts'

const PASSPHRASE = 'correct horse battery staple'
/** Of scrypt: what is looked for are keys, not what a guess costs (test/trust/keys-at-rest.test.ts has that). */
const CHEAP = 1 << 10

interface Image {
  readonly home: string
  readonly secrets: Readonly<Record<string, Canary>>
  /** Which lie in files of keys, and so lie open without a passphrase. */
  readonly kept: readonly string[]
}

function needsOf(identity: Identity): ClusterNeeds {
  return { identity, random: systemRandom(), wall: () => Date.now() }
}

/** All that a peer of a private cluster comes to keep. */
async function made(folder: string, sealed: boolean): Promise<Image> {
  const home = join(folder, sealed ? 'sealed' : 'open')
  const keys = join(home, 'keys')
  mkdirSync(keys, { recursive: true, mode: 0o700 })
  const identity = await loadOrCreateIdentity({ directory: keys })
  const root = randomBytes(32)
  const networkKey = await createNetworkKey(join(keys, 'network.key'))
  const founder = { name: 'a', site: 'hq' }
  const opened = await foundClusterHome(needsOf(identity), home, {
    name: 'northwind',
    threshold: { k: 1, n: 1 },
    founder,
    root: newIdentity(),
  })
  opened.cluster.admit({ peer: newIdentity().id, name: 'b', role: 'site', site: 'north' })
  const [groupKey] = opened.cluster.groupKeys()
  opened.close()
  await writeRootKey(join(keys, 'cluster-root.key'), root)
  if (sealed) await sealKeys(keys, PASSPHRASE, keyOwner, CHEAP)

  const running = await runPeer({
    home,
    name: 'a',
    listen: ['/ip4/127.0.0.1/tcp/0'],
    lan: 'off',
    threads: 1,
    ...(sealed ? { passphrase: PASSPHRASE } : {}),
  })
  let invite: Uint8Array
  try {
    const request = { do: 'invite', role: 'site', site: 'south', lifetime: 3_600_000, uses: 1, approve: false } as const
    const { token } = (await running.peer.cluster!.run(request)) as unknown as { readonly token: string }
    invite = decodeToken(token).secret
    await running.peer.federated({ op: 'create', plan: plan() })
  } finally {
    await running.peer.stop({ drain: 0 })
  }
  const api = await createApiKeys({ clock: systemClock(), random: systemRandom() }, { directory: keys }).create({
    name: 'dashboard',
  })
  const signer = {
    sign: (bytes: Uint8Array) => identity.sign(bytes),
    verify: (bytes: Uint8Array, signature: Uint8Array) => verify(identity.id, bytes, signature),
  }
  openPrivacyLedger(
    { signer, wall: () => Date.now() },
    { path: join(home, 'state', 'federated', 'ledger.db'), anchor: join(keys, 'federated-ledger.anchor') },
  ).setCap({ data: 'heart', unit: 'record', epsilon: 8, delta: 1e-5 })
  const log = openAuditLog(
    { clock: systemClock(), random: systemRandom(), signer, log: () => undefined },
    auditPlaces(home),
  )
  await log.record({ who: 'owner', what: 'deploy', target: 'tiny', result: 'ok' })
  log.close()
  const backupPassphrase = `other ${randomBytes(12).toString('hex')}`
  const vault = await openVault(join(home, 'backups', 'own'), backupPassphrase, { create: true, cost: CHEAP })
  await createBackup(vault, { home, peer: identity.id, wall: Date.now(), version: '0' })

  return {
    home,
    kept: ['identity', 'network key', 'root key'],
    secrets: {
      identity: identity.privateKey.raw.subarray(0, 32),
      'network key': networkKey,
      'root key': new Uint8Array(root),
      'group key': groupKey!,
      invite,
      'API key': api.secret,
      'passphrase of the keys': PASSPHRASE,
      'passphrase of the backup': backupPassphrase,
    },
  }
}

/** Every file of an image; of databases also each column by itself, as SQLite puts it together from its pages. */
function bytesOf(home: string): Buffer[] {
  const files = readdirSync(home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.flatMap(({ parentPath, name }) => {
    const path = join(parentPath, name)
    const bytes = readFileSync(path)
    return bytes.toString('latin1', 0, 15) === 'SQLite format 3' ? [bytes, ...rowsOf(path)] : [bytes]
  })
}

function rowsOf(path: string): Buffer[] {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all()
    return tables.flatMap(({ name }) =>
      database
        .prepare(`SELECT * FROM "${String(name)}"`)
        .all()
        .flatMap((row) => Object.values(row))
        .map((value) => (value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value)))),
    )
  } finally {
    database.close()
  }
}

/** Names of the secrets that stand somewhere in an image. */
function secretsIn({ home, secrets }: Image): Set<string> {
  return new Set(found(bytesOf(home), secrets).map((hit) => hit.split(':')[0]!))
}

/** How a peer from a copy of the image is refused; `started`: it is not. */
async function startFrom({ home }: Image): Promise<{ readonly code: string; readonly changed: number }> {
  const copy = `${home}-stolen`
  cpSync(home, copy, { recursive: true })
  const before = snapshot(copy)
  try {
    const running = await runPeer({ home: copy, name: 'a', listen: null, lan: 'off', threads: 1 })
    await running.peer.stop({ drain: 0 })
    return { code: 'started', changed: 0 }
  } catch (error) {
    const after = snapshot(copy)
    const changed = [...before].filter(([path, bytes]) => after.get(path)?.equals(bytes) !== true).length
    return { code: (error as { code?: string }).code ?? String(error), changed }
  } finally {
    rmSync(copy, { recursive: true })
  }
}

/** All files but those of a process: its log and its lock. */
function snapshot(home: string): ReadonlyMap<string, Buffer> {
  const files = readdirSync(home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = files.map(({ parentPath, name }) => join(parentPath, name))
  return new Map(paths.filter((path) => !/\/logs\/|\.lock$/.test(path)).map((path) => [path, readFileSync(path)]))
}

/** What an identity that lies open leads to: the key of the group, which lies in the log, sealed to it. */
async function groupKeyFrom({ home, secrets }: Image): Promise<boolean> {
  const identity = await loadOrCreateIdentity({ directory: join(home, 'keys') })
  const opened = await openClusterHome(needsOf(identity), home)
  try {
    return Buffer.from(opened.cluster.groupKeys()[0]!).equals(secrets['group key'] as Uint8Array)
  } finally {
    opened.close()
  }
}

/** A search that finds nothing says something only where it finds what is there. */
function foundWhereWrittenDown({ home, secrets }: Image): number {
  const copy = `${home}-noted`
  mkdirSync(copy)
  const text = (secret: Canary): string =>
    typeof secret === 'string' ? secret : Buffer.from(secret).toString('base64')
  const database = new DatabaseSync(join(copy, 'notes.db'))
  database.exec('CREATE TABLE notes (text TEXT)')
  // longer than a page: SQLite spreads it over several
  const insert = database.prepare('INSERT INTO notes VALUES (?)')
  for (const secret of Object.values(secrets)) insert.run(`${'x'.repeat(4_050)}${text(secret)}${'x'.repeat(4_050)}`)
  database.close()
  const inNotes = secretsIn({ home: copy, secrets, kept: [] }).size
  rmSync(join(copy, 'notes.db'))
  writeFileSync(join(copy, 'notes.gz'), gzipSync(JSON.stringify(Object.values(secrets).map(text))))
  return Math.min(inNotes, secretsIn({ home: copy, secrets, kept: [] }).size)
}

async function within<T>(action: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-thief-'))
  try {
    return await action(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export const stolenDisk: Attack = {
  id: 'E18',
  name: 'a thief of a disk image, and a peer that is started from it',
  control: () =>
    within(async (folder) => {
      const image = await made(folder, false)
      const all = secretsIn(image)
      const { code } = await startFrom(image)
      return [
        least('keys that lie open without a passphrase', image.kept.filter((name) => all.has(name)).length, 3),
        least('group keys that they open', Number(await groupKeyFrom(image)), 1),
        least('peers that start from the copy', Number(code === 'started'), 1),
        least('secrets that are found where somebody wrote them down', foundWhereWrittenDown(image), 8),
      ]
    }),
  defended: () =>
    within(async (folder) => {
      const image = await made(folder, true)
      const { code, changed } = await startFrom(image)
      return [
        least('files that were looked through', bytesOf(image.home).length, 20),
        most('secrets in them, in any spelling', secretsIn(image).size, 0),
        least('refused without the passphrase (WEFT-TRU-091)', Number(code === 'WEFT-TRU-091'), 1),
        most('files that the refused start changed', changed, 0),
      ]
    }),
}
