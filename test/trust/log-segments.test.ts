/** Entries behind a checkpoint are packed: the same log to whoever asks, in half of the room, and none that is another. */
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  adoptLog,
  composeCheckpoint,
  composeRotate,
  composeSetAdmins,
  createCluster,
  decodeEntry,
  newIdentity,
  openLog,
  openLogFile,
  sealEntry,
} from '../../src/trust/index.ts'
import type { Cluster, ClusterState, EntryBody, LogStore } from '../../src/trust/index.ts'
import type { StoredEntry } from '../../src/trust/membership/log-store.ts'
import { all, copyFor, found, random } from './support/cluster.ts'
import type { Founded } from './support/cluster.ts'

/** Entries a segment here, so that a few hundred entries make many. */
const EACH = 16

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'weft-segments-'))))
afterEach(() => rm(folder, { recursive: true, force: true }))

const founded = (): Founded => found()
const open = (of: Founded, each = EACH): LogStore => openLogFile(placesOf(), of.founder, each)
const placesOf = (): { readonly path: string; readonly anchor: string } => ({
  path: join(folder, 'log.sqlite'),
  anchor: join(folder, 'log.anchor'),
})
/** Rotations, and a checkpoint each so many. */
const grow = (cluster: Cluster, entries: number, every = 40): void => {
  for (let n = 1; n <= entries; n++)
    cluster.commit((n % every === 0 ? composeCheckpoint : composeRotate)(cluster.needs, cluster.log.state))
}
const adopted = (of: Founded, each = EACH): LogStore => {
  const store = open(of, each)
  adoptLog(store, of.cluster.id, all(of.cluster).map(decodeEntry))
  return store
}
const raw = <T>(work: (database: DatabaseSync) => T): T => {
  const database = new DatabaseSync(placesOf().path)
  try {
    return work(database)
  } finally {
    database.close()
  }
}
const counted = (): readonly [segments: number, rows: number] =>
  raw((database) => [
    Number(database.prepare('SELECT count(*) AS n FROM segments').get()!['n']),
    Number(database.prepare('SELECT count(*) AS n FROM entries').get()!['n']),
  ])
const whole = (store: LogStore, cluster: string): number => openLog(store, cluster, { whole: true }).head.height
const plain = (rows: readonly StoredEntry[]): string =>
  rows.map(({ height, hash, bytes }) => `${height} ${hash} ${Buffer.from(bytes).toString('latin1')}`).join('\n')
/** A rotation with boxes that nobody opens: to seal them takes the time, and the log does not look into them. */
const heavy = (needs: Cluster['needs'], { cluster, epoch, head, members }: ClusterState): EntryBody => {
  const boxes = Buffer.from(random.bytes(48 * members.size)).toString('base64')
  const rotation = { epoch: epoch + 1, ephemeral: Buffer.from(random.bytes(32)).toString('hex'), boxes }
  return { v: 1, cluster, height: head.height + 1, previous: head.hash, at: needs.wall(), kind: 'rotate', rotation }
}
const coded = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing was thrown'
}

describe('a log with a checkpoint', () => {
  test('has what lies before it in segments, and says the same as one that has none', () => {
    const of = founded()
    grow(of.cluster, 130)
    const store = adopted(of)
    // the checkpoint at 120 is not packed, nor what would not fill a segment before it
    expect(counted()).toEqual([7, 131 - 7 * EACH])
    expect([store.size(), store.snapshot()?.height]).toEqual([131, 120])
    fc.assert(
      fc.property(fc.nat(140), fc.nat(140), (from, limit) => {
        expect(plain(store.read(from, limit))).toEqual(plain(of.store.read(from, limit)))
        expect(store.hashAt(from)).toBe(of.store.hashAt(from))
      }),
      { numRuns: 30 },
    )
    expect([openLog(store, of.cluster.id).head, whole(store, of.cluster.id)]).toEqual([of.cluster.head, 130])
    store.close()
    const again = open(of)
    expect(openLog(again, of.cluster.id).state.members.size).toBe(1)
    again.close()
  })

  test('packs with the change that makes the checkpoint, and one from before there were segments by and by', () => {
    const of = founded()
    const store = adopted(of, 1_000)
    const cluster = createCluster({ ...of.cluster.needs }, { store, log: openLog(store, of.cluster.id) })
    grow(cluster, 200)
    expect(counted()).toEqual([0, 201])
    cluster.close()
    const later = open(of)
    const goesOn = createCluster({ ...of.cluster.needs }, { store: later, log: openLog(later, of.cluster.id) })
    const seen: number[] = []
    for (let n = 0; n < 4; n++) {
      grow(goesOn, 1)
      seen.push(counted()[0])
    }
    expect(seen).toEqual([5, 10, 12, 12])
    grow(goesOn, 50)
    expect(counted()[0]).toBe(15)
    expect(whole(later, of.cluster.id)).toBe(254)
    later.close()
  })

  test('takes less of the disk, and gives back what it no longer needs', async () => {
    const of = founded()
    for (let n = 0; n < 40; n++)
      of.cluster.admit({ peer: newIdentity().id, name: 'somebody', role: 'member', site: '' })
    for (let n = 1; n <= 500; n++)
      of.cluster.commit((n % 100 === 0 ? composeCheckpoint : heavy)(of.cluster.needs, of.cluster.log.state))
    adopted(of, 100_000).close()
    const before = (await stat(placesOf().path)).size
    const store = open(of, 64)
    const cluster = createCluster({ ...of.cluster.needs }, { store, log: openLog(store, of.cluster.id) })
    grow(cluster, 8)
    expect(counted()[0]).toBe(8)
    expect((await stat(placesOf().path)).size).toBeLessThan(before * 0.65)
    expect(whole(store, of.cluster.id)).toBe(548)
    store.close()
  })

  test('judges a fork below it, switches where it has to, and is as long as the one that won', async () => {
    const of = founded()
    const member = newIdentity()
    of.cluster.admit({ peer: member.id, name: '', role: 'member', site: '' })
    grow(of.cluster, 50)
    // the root key speaks in a history that parts from the middle of a segment
    const other = copyFor(of.cluster, of.founder, of.time)
    grow(of.cluster, 100)
    const body = composeSetAdmins(other.needs, other.log.state, [of.founder.id, member.id].toSorted(), { k: 1, n: 2 })
    other.take(sealEntry(body, of.root))
    grow(other, 3)
    const store = adopted(of)
    const [before] = counted()
    const cluster = createCluster({ ...of.cluster.needs }, { store, log: openLog(store, of.cluster.id) })
    const { added, fork } = await cluster.merge(all(other, 40))
    expect([before, added.length, fork?.height, cluster.head]).toEqual([8, 4, 52, other.head])
    expect([whole(store, of.cluster.id), store.size()]).toEqual([55, 56])
    expect(counted()).toEqual([3, 56 - 3 * EACH])
    // one that does not stand is kept as evidence, and nothing is unpacked for it
    await expect(cluster.merge(all(of.cluster, 52))).resolves.toMatchObject({ added: [] })
    expect(counted()).toEqual([3, 56 - 3 * EACH])
    cluster.close()
  })

  test('is refused by code where a segment is gone, cut or another, and where an older copy is put back', async () => {
    const of = founded()
    grow(of.cluster, 130)
    const store = adopted(of)
    store.close()
    const { path } = placesOf()
    await copyFile(path, `${path}.good`)
    const damage = async (change: string): Promise<string> => {
      await copyFile(`${path}.good`, path)
      raw((database) => database.exec(change))
      return coded(() => {
        const one = open(of)
        try {
          return whole(one, of.cluster.id)
        } finally {
          one.close()
        }
      })
    }
    expect(await damage('SELECT 1')).toBe('nothing was thrown')
    for (const change of [
      'DELETE FROM segments WHERE first = 32',
      'DELETE FROM segments WHERE first = 0',
      'UPDATE segments SET bytes = substr(bytes, 1, length(bytes) - 1) WHERE first = 32',
      'UPDATE segments SET hashes = zeroblob(length(hashes)) WHERE first = 32',
      'UPDATE segments SET sum = zeroblob(32) WHERE first = 32',
      'UPDATE segments SET bytes = (SELECT bytes FROM segments WHERE first = 16) WHERE first = 32',
      'UPDATE segments SET last = last + 1 WHERE first = 32',
      'DELETE FROM entries',
    ])
      expect(await damage(change), change).toMatch(/^WEFT-TRU-10[678]$/)
    await copyFile(`${path}.good`, path)
    const goesOn = open(of)
    const cluster = createCluster({ ...of.cluster.needs }, { store: goesOn, log: openLog(goesOn, of.cluster.id) })
    grow(cluster, 40)
    cluster.close()
    await copyFile(`${path}.good`, path)
    expect(coded(() => open(of))).toBe('WEFT-TRU-106')
  })
})
