/**
 * A home whose membership log is packed behind checkpoints, backed up and put back on an empty machine: the same cluster, whole;
 * and what is no such backup is refused by code, with nothing changed.
 */
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { clusterPlaces, composeRotate, loadOrCreateIdentity, openClusterHome } from '../../src/trust/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemRandom } from '../../src/util/index.ts'
import { call, json } from './support.ts'
import type { InProcess } from './support.ts'

/** Some more than one segment, so that a part is packed and a part is not. */
const ENTRIES = 700
let folder: string
let secret: string

const homeOf = (name: string): string => join(folder, name)
const at = (name: string, ...args: string[]): Promise<InProcess> => call([...args, '--home', homeOf(name)])
const told = async (name: string, ...args: string[]): Promise<Record<string, unknown>> =>
  json((await at(name, ...args, '--json')).stdout)
const codeIn = ({ stderr }: InProcess): string | undefined => /WEFT-[A-Z]+-\d+/.exec(stderr)?.[0]
const restore = (name: string, from: string, passphrase = secret): Promise<InProcess> =>
  at(name, 'backup', 'restore', '--from', from, '--passphrase-file', passphrase)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-packed-'))
  secret = join(folder, 'secret')
  await writeFile(secret, 'correct horse battery staple\n', { mode: 0o600 })
  await at('a', 'cluster', 'create', 'north', '--site', 'hq')
  const identity = await loadOrCreateIdentity({ directory: join(homeOf('a'), 'keys') })
  const opened = await openClusterHome({ identity, random: systemRandom(), wall: () => Date.now() }, homeOf('a'))
  const { cluster } = opened
  const gone = newIdentity().id
  for (const peer of [gone, newIdentity().id]) cluster.admit({ peer, name: 'm', role: 'member', site: '' })
  cluster.revoke(gone, 'lost')
  while (cluster.head.height < ENTRIES) cluster.commit(composeRotate(cluster.needs, cluster.log.state))
  opened.close()
  const made = await at('a', 'backup', 'create', '--to', join(folder, 'to'), '--passphrase-file', secret)
  expect(made).toMatchObject({ status: 0 })
}, 120_000)
afterAll(() => rm(folder, { recursive: true }))

/** All files of a folder, but what SQLite leaves beside a database that was read. */
async function treeOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  const files = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const file of files.toSorted((a, b) => (join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1)))
    if (file.isFile() && !/-(wal|shm)$/.test(file.name))
      hash.update(file.name).update(await readFile(join(file.parentPath, file.name)))
  return hash.digest('hex')
}

it('is the same cluster on an empty machine, entry for entry, and goes on there', async () => {
  const database = new DatabaseSync(clusterPlaces(homeOf('a')).log)
  expect(Number(database.prepare('SELECT count(*) AS n FROM segments').get()!['n'])).toBeGreaterThan(0)
  database.close()
  expect(await restore('empty', join(folder, 'to'))).toMatchObject({ status: 0 })
  const [before, after] = await Promise.all(['a', 'empty'].map((name) => told(name, 'cluster', 'show', '--verify')))
  expect(after).toMatchObject({ verified: Number(before!['height']) + 1, members: [{}, {}], removed: [{}] })
  for (const field of ['id', 'head', 'height', 'epoch', 'root', 'admins', 'threshold', 'removed', 'forks'])
    expect(after![field], field).toEqual(before![field])
  const exported = await Promise.all(['a', 'empty'].map((name) => told(name, 'cluster', 'export')))
  expect(exported[1]).toEqual(exported[0])
  // it is the same admin, and signs on top of it
  expect(await told('empty', 'cluster', 'rotate')).toMatchObject({ height: Number(before!['height']) + 1 })
  // put back once more it would be taken back: refused, since this home knows how far it was
  const now = await treeOf(homeOf('empty'))
  expect(codeIn(await restore('empty', join(folder, 'to')))).toBe('WEFT-STO-044')
  expect(await treeOf(homeOf('empty'))).toBe(now)
})

it('is refused by code where it is damaged, half-written, of another identity, or the passphrase is wrong: nothing is changed', async () => {
  const copy = async (name: string): Promise<string> => {
    const path = join(folder, name)
    await cp(join(folder, 'to'), path, { recursive: true })
    return path
  }
  const refuses = async (name: string, from: string, code: RegExp, passphrase = secret): Promise<void> => {
    const [there, here] = [await treeOf(from), await treeOf(homeOf(name))]
    const refused = await restore(name, from, passphrase)
    expect([refused.status === 0, codeIn(refused)]).toEqual([false, expect.stringMatching(code) as string])
    expect(refused.stderr.split('\n')[0]).toMatch(/^error: .*WEFT-/)
    expect([await treeOf(from), await treeOf(homeOf(name))]).toEqual([there, here])
  }
  // every piece that it is made of, one after the other
  const pieces = (await readdir(join(folder, 'to'), { recursive: true, withFileTypes: true })).filter(
    (one) => one.isFile() && one.name !== 'weft-backup.json',
  )
  const damaged = await copy('damaged')
  for (const [n, { parentPath, name }] of pieces.entries()) {
    const path = join(parentPath, name).replace(join(folder, 'to'), damaged)
    const bytes = await readFile(path)
    const bad = Buffer.from(bytes)
    bad[(n * 7919) % bad.length]! ^= 1 << (n % 8)
    await writeFile(path, n % 3 === 2 ? bytes.subarray(0, bytes.length >> 1) : bad)
    await refuses('nobody', damaged, /^WEFT-STO-04[01]$/)
    await writeFile(path, bytes)
  }
  expect(await treeOf(damaged)).toBe(await treeOf(join(folder, 'to')))
  // the list is what is written last: without it there is no backup in the folder
  const half = await copy('half')
  for (const { parentPath, name } of pieces.filter((one) => !one.parentPath.includes('chunks')))
    await rm(join(parentPath, name).replace(join(folder, 'to'), half))
  await refuses('nobody', half, /^WEFT-STO-040$/)

  const wrong = join(folder, 'wrong')
  await writeFile(wrong, 'battery horse\n', { mode: 0o600 })
  for (let time = 0; time < 3; time++) await refuses('nobody', join(folder, 'to'), /^WEFT-STO-042$/, wrong)

  await mkdir(homeOf('other'), { mode: 0o700 })
  await at('other', 'cluster', 'create', 'south')
  await refuses('other', join(folder, 'to'), /^WEFT-STO-043$/)
}, 300_000)
