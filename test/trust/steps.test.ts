/** Long logs: taken in step by step, signatures checked ahead in the thread pool, and nothing believed that was not checked. */
import { describe, expect, test } from 'vitest'
import {
  areSigned,
  adoptingLog,
  composeRotate,
  decodeEntry,
  gently,
  memoryLogStore,
  newIdentity,
} from '../../src/trust/index.ts'
import { checkAhead } from '../../src/trust/membership/signatures.ts'
import type { Cluster, Entry } from '../../src/trust/index.ts'
import { all, copyFor, found, random } from './support/cluster.ts'

const needs = { random, wall: () => 1_700_000_000_000 }

function rotated(cluster: Cluster, times: number): void {
  for (let n = 0; n < times; n++) cluster.commit(composeRotate(needs, cluster.log.state))
}

function admit(cluster: Cluster): string {
  const { id } = newIdentity()
  cluster.admit({ peer: id, name: '', role: 'member', site: '' })
  return id
}

/** Turns of the event loop while something else is under way. */
async function turnsDuring<T>(work: Promise<T>): Promise<{ readonly turns: number; readonly value: T }> {
  let turns = 0
  let isOver = false
  const count = (): void => {
    turns++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  const value = await work.finally(() => (isOver = true))
  return { turns, value }
}

describe('signatures that were checked ahead', () => {
  test('hold for that entry, and for no other with the same hash', async () => {
    const { cluster, founder } = found()
    rotated(cluster, 1)
    const [good, bad] = [decodeEntry(all(cluster, 1)[0]!), decodeEntry(all(cluster, 1)[0]!)]
    const zeros = [{ by: founder.id, sig: '00'.repeat(64) }]
    const forged: Entry = { ...bad, signatures: zeros }
    expect(forged.hash).toBe(good.hash)
    await checkAhead([good, forged])
    expect([good, forged].map(areSigned)).toEqual([true, false])
  })

  test('are checked again where the entry has changed since', async () => {
    const { cluster } = found()
    rotated(cluster, 1)
    const changes: readonly ((entry: { text: string; signatures: unknown[] }) => void)[] = [
      (entry) => (entry.text = entry.text.replace('"v":1', '"v":2')),
      (entry) => (entry.signatures[0] = { ...(entry.signatures[0] as object), sig: '00'.repeat(64) }),
      (entry) => entry.signatures.push({ by: newIdentity().id, sig: '00'.repeat(64) }),
      (entry) => Object.assign(entry.signatures[0] as object, { by: newIdentity().id }),
    ]
    for (const change of changes) {
      const entry = decodeEntry(all(cluster, 1)[0]!)
      await checkAhead([entry])
      expect(areSigned(entry)).toBe(true)
      change(entry as never)
      expect(areSigned(entry)).toBe(false)
    }
  })

  test('one that is wrong far down a long log is found, and nothing of the log is kept', async () => {
    const { cluster } = found()
    rotated(cluster, 450)
    const entries = all(cluster).map(decodeEntry)
    const spoilt = entries.map((entry) =>
      entry.body.height === 333 ? { ...entry, signatures: [{ ...entry.signatures[0]!, sig: 'ab'.repeat(64) }] } : entry,
    )
    const store = memoryLogStore()
    await expect(gently(adoptingLog(store, cluster.id, spoilt))).rejects.toMatchObject({ code: 'WEFT-TRU-103' })
    expect(store.size()).toBe(0)
    expect((await gently(adoptingLog(store, cluster.id, entries))).head).toEqual(cluster.head)
  })
})

describe('a long history of another member', () => {
  test('leaves room for others: a log that was missed, and a fork from far back', async () => {
    const { cluster, time } = found({ k: 1, n: 2 })
    const admin = newIdentity()
    cluster.admit({ peer: admin.id, name: '', role: 'admin', site: '' })
    const [behind, other] = [copyFor(cluster, newIdentity(), time), copyFor(cluster, admin, time)]
    rotated(cluster, 700)
    const missed = await turnsDuring(behind.merge(all(cluster, 2)))
    expect(behind.head).toEqual(cluster.head)
    // a page has 200 entries: each is decoded, and then applied
    expect(missed.turns).toBeGreaterThan(6)
    rotated(other, 600)
    const [ours, theirs] = [all(cluster, 2), all(other, 2)]
    const forked = await turnsDuring(Promise.all([cluster.merge(theirs), other.merge(ours)]))
    expect(cluster.head).toEqual(other.head)
    expect(forked.turns).toBeGreaterThan(12)
    expect(forked.value.map(({ fork }) => fork?.height)).toEqual([2, 2])
  }, 60_000)

  test('what this peer writes meanwhile stands, and the merge is made on top of it', async () => {
    const { cluster, time } = found({ k: 1, n: 2 })
    const admin = newIdentity()
    cluster.admit({ peer: admin.id, name: '', role: 'admin', site: '' })
    const other = copyFor(cluster, admin, time)
    rotated(other, 600)
    const theirs = all(other, 2)
    const merged = cluster.merge(theirs)
    const added: string[] = []
    for (let n = 0; n < 3; n++) {
      await new Promise(setImmediate)
      added.push(admit(cluster))
    }
    await merged
    for (let round = 0; round < 3; round++) {
      await other.merge(all(cluster, 2))
      await cluster.merge(all(other, 2))
    }
    expect(cluster.head).toEqual(other.head)
    // an admission on the side that does not stand is said again on the one that does
    for (const peer of added) expect(other.membership.admits(peer, 'connect')).toBe(true)
  }, 60_000)

  test('two at once are taken in one after the other; after the end none is', async () => {
    const { cluster, time } = found()
    const behind = copyFor(cluster, newIdentity(), time)
    rotated(cluster, 300)
    const both = await Promise.all([behind.merge(all(cluster, 1)), behind.merge(all(cluster, 1))])
    expect(both.map(({ added }) => added.length)).toEqual([300, 0])
    const late = copyFor(cluster, newIdentity(), time)
    rotated(cluster, 300)
    const merging = late.merge(all(cluster, 301))
    await new Promise(setImmediate)
    late.close()
    expect(await merging).toEqual({ added: [], fork: undefined })
    expect(late.head.height).toBe(300)
  }, 60_000)
})
