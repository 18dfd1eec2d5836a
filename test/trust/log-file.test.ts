/** The log of a home: the same after a restart, from its checkpoint too; damage and old copies are refused by code. */
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createBackup, openVault, restoreBackup } from '../../src/store/index.ts'
import {
  adoptClusterHome,
  clusterPlaces,
  composeCheckpoint,
  composeRevoke,
  composeRotate,
  decodeEntry,
  foundClusterHome,
  leaveClusterHome,
  newIdentity,
  openClusterHome,
  readClusterPin,
  sealEntry,
} from '../../src/trust/index.ts'
import type { ClusterNeeds, OpenedCluster } from '../../src/trust/index.ts'
import { copyFor, random } from './support/cluster.ts'

async function coded(action: () => Promise<unknown>): Promise<string> {
  try {
    await action()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing was thrown'
}

describe('the cluster of a home', () => {
  let home: string
  let opened: OpenedCluster
  const identity = newIdentity()
  const needs: ClusterNeeds = { identity, random, wall: () => 1_700_000_000_000 }
  const admit = (): string => {
    const peer = newIdentity().id
    opened.cluster.admit({ peer, name: '', role: 'member', site: '' })
    return peer
  }
  const reopen = async (whole = false): Promise<OpenedCluster> => openClusterHome(needs, home, { whole })

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'weft-cluster-'))
    opened = await foundClusterHome(needs, home, {
      name: 'northwind',
      threshold: { k: 1, n: 1 },
      founder: { name: 'a', site: '' },
      root: newIdentity(),
      // entries are counted below
      certificates: 0,
    })
  })
  afterEach(() => rm(home, { recursive: true, force: true }))

  test('is the same after each restart, is read by nobody else, and belongs to one', async () => {
    const peer = admit()
    const { head } = opened.cluster
    opened.close()
    for (let again = 0; again < 2; again++) {
      const other = await reopen(again === 1)
      expect(other.cluster.head).toEqual(head)
      expect(other.cluster.member(peer)?.role).toBe('member')
      other.close()
    }
    for (const path of [clusterPlaces(home).log, clusterPlaces(home).anchor, clusterPlaces(home).pin])
      expect((await stat(path)).mode & 0o077).toBe(0)
    const again = { name: 'x', threshold: { k: 1, n: 1 }, founder: { name: '', site: '' }, root: newIdentity() }
    expect(await coded(() => foundClusterHome(needs, home, again))).toBe('WEFT-TRU-171')
  })

  test('opens from its checkpoint as if it had read everything', async () => {
    for (let n = 0; n < 3; n++) admit()
    opened.cluster.commit(composeCheckpoint(needs, opened.cluster.log.state))
    opened.cluster.revoke(admit(), 'lost')
    const view = opened.cluster.view()
    opened.close()
    const [quick, whole] = [await reopen(), await reopen(true)]
    expect(quick.cluster.log.state.checkpoint).toBe(4)
    expect(quick.cluster.view()).toEqual(view)
    expect(whole.cluster.view()).toEqual(view)
    expect(quick.cluster.groupKeys()).toEqual(whole.cluster.groupKeys())
    quick.close()
    whole.close()
    const database = new DatabaseSync(clusterPlaces(home).log)
    database.exec(`UPDATE snapshot SET text = replace(text, '"epoch":1', '"epoch":2')`)
    database.close()
    expect(await coded(() => reopen())).toBe('WEFT-TRU-107')
  })

  test('two that write at once: no entry is lost, the slower one sees what the other wrote, and says its own again', async () => {
    const other = await reopen()
    const [one, two, three] = [newIdentity().id, newIdentity().id, admit()]
    opened.cluster.revoke(three, 'lost')
    other.cluster.admit({ peer: one, name: '', role: 'member', site: '' })
    // what was made on the log as it was: refused, and nothing is written
    const stale = sealEntry(composeRevoke(needs, opened.cluster.log.state, three, { reason: 'again' }), identity)
    expect(await coded(async () => opened.cluster.take(stale))).toBe('WEFT-TRU-104')
    const late = sealEntry(composeRotate(needs, opened.cluster.log.state), identity)
    expect(await coded(async () => opened.cluster.take(late))).toBe('WEFT-TRU-111')
    opened.cluster.admit({ peer: two, name: '', role: 'member', site: '' })
    opened.close()
    other.close()
    const again = await reopen(true)
    expect([one, two].map((peer) => again.cluster.member(peer)?.role)).toEqual(['member', 'member'])
    expect(again.cluster.membership.isRemoved(three)).toBe(true)
    expect(again.cluster.head.height).toBe(4)
    again.close()
  })

  test('an old copy of the log is refused: whoever was removed since would be back', async () => {
    const { log } = clusterPlaces(home)
    const peer = admit()
    await copyFile(log, `${log}.old`)
    opened.cluster.revoke(peer, 'lost')
    opened.close()
    await copyFile(`${log}.old`, log)
    expect(await coded(() => reopen())).toBe('WEFT-TRU-106')
  })

  test('a backup from before a removal is not put over it; on an empty machine it is', async () => {
    const vault = await openVault(join(home, 'backup'), 'a passphrase', { create: true, cost: 1 << 10 })
    const peer = admit()
    await createBackup(vault, { home, peer: identity.id, wall: needs.wall(), version: '0' })
    opened.cluster.revoke(peer, 'lost')
    const { head } = opened.cluster
    opened.close()
    expect(await coded(() => restoreBackup(vault, { home, own: identity.id }))).toBe('WEFT-STO-044')
    const again = await reopen()
    expect(again.cluster.head).toEqual(head)
    again.close()
    const empty = join(home, 'empty')
    await restoreBackup(vault, { home: empty, own: undefined })
    const there = await openClusterHome(needs, empty, {})
    expect(there.cluster.member(peer)?.role).toBe('member')
    there.close()
  })

  test.each<[string, (places: ReturnType<typeof clusterPlaces>) => Promise<void>, string]>([
    ['a log that is none', ({ log }) => writeFile(log, 'nothing of the kind'), 'WEFT-TRU-107'],
    ['an anchor that is gone', ({ anchor }) => rm(anchor), 'WEFT-TRU-107'],
    ['an anchor of another', ({ anchor }) => writeFile(anchor, '{"heads":[],"signature":""}'), 'WEFT-TRU-107'],
    ['a pin that is none', ({ pin }) => writeFile(pin, '{}'), 'WEFT-TRU-172'],
  ])('%s is refused by code', async (_what, damage, code) => {
    admit()
    opened.close()
    await damage(clusterPlaces(home))
    expect(await coded(() => reopen())).toBe(code)
  })

  test('a byte of an entry that was changed on the disk is found when the entry is read', async () => {
    admit()
    opened.close()
    const database = new DatabaseSync(clusterPlaces(home).log)
    database.exec(
      `UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), '"member"', '"device"') AS BLOB) WHERE height = 1`,
    )
    database.close()
    expect(await coded(() => reopen(true))).toMatch(/^WEFT-TRU-10[37]$/)
  })

  test('a bit that turned anywhere in its file is refused by code, or lies where nothing is read from', async () => {
    for (let n = 0; n < 3; n++) admit()
    opened.cluster.renewBeat()
    const said = opened.cluster.beat()
    opened.close()
    const { log } = clusterPlaces(home)
    const rows = (): unknown[] => {
      const database = new DatabaseSync(log)
      const all = database.prepare('SELECT height, hash, hex(bytes) AS bytes FROM entries ORDER BY height').all()
      database.close()
      return all
    }
    const [whole, before] = [await readFile(log), rows()]
    const outcomes = new Set<string>()
    for (let at = 13; at < whole.length; at += 89) {
      const spoilt = Buffer.from(whole)
      spoilt[at]! ^= 1 << (at % 8)
      await writeFile(log, spoilt)
      const code = await coded(async () => {
        const again = await reopen(true)
        try {
          // SQLite keeps what it does not use: of the log itself nothing is another than it was
          expect([undefined, JSON.stringify(said)], `byte ${at}`).toContain(JSON.stringify(again.cluster.beat()))
          expect(rows(), `byte ${at}`).toEqual(before)
        } finally {
          again.close()
        }
      })
      outcomes.add(code)
      for (const name of ['-wal', '-shm', '-journal']) await rm(log + name, { force: true })
    }
    expect([...outcomes].filter((one) => !/^WEFT-TRU-10\d$/.test(one))).toEqual(['nothing was thrown'])
    expect(outcomes).toContain('WEFT-TRU-101')
  })

  test('two histories: what takes the place of entries survives a restart, and the evidence with it', async () => {
    const time = { now: needs.wall() }
    const second = newIdentity()
    opened.cluster.admit({ peer: second.id, name: 'b', role: 'admin', site: '' }) // 1of1: the threshold is kept by k
    const other = copyFor(opened.cluster, second, time)
    admit()
    other.admit({ peer: newIdentity().id, name: 'y', role: 'member', site: '' })
    for (let round = 0; round < 2; round++) {
      await opened.cluster.merge(other.log.entries(2, 100))
      await other.merge(opened.cluster.log.entries(2, 100))
    }
    expect(opened.cluster.head).toEqual(other.head)
    opened.close()
    const again = await reopen()
    expect(again.cluster.head).toEqual(other.head)
    expect(again.cluster.view().forks).toHaveLength(1)
    again.close()
  })

  test('is left, with its files put aside, and can be joined again by a log of others', async () => {
    const entries = opened.cluster.log.entries(0, 10).map(decodeEntry)
    const { id } = opened.cluster
    opened.close()
    const aside = await leaveClusterHome(home, 5)
    expect(await readClusterPin(home)).toBeUndefined()
    expect(await readFile(join(aside, 'cluster.json'), 'utf8')).toContain(id)
    const again = await adoptClusterHome(needs, home, id, entries)
    expect(again.cluster.head.height).toBe(0)
    again.close()
    expect(await coded(() => adoptClusterHome(needs, home, 'ab'.repeat(32), entries))).toBe('WEFT-TRU-171')
  })
})
