/** What a checkpoint confirms: one spelling on every member, whatever was told before; and what opening reads because of it. */
import { expect, test } from 'vitest'
import {
  adoptLog,
  apply,
  CHECKPOINT_EVERY,
  composeRevoke,
  composeSetAdmins,
  copyState,
  decodeEntry,
  hashOfSnapshot,
  memoryLogStore,
  newIdentity,
  openLog,
  readSnapshot,
  sealEntry,
  snapshotOf,
} from '../../src/trust/index.ts'
import type { EntryBody, LogStore } from '../../src/trust/index.ts'
import { canonicalJson } from '../../src/util/index.ts'
import { found, random } from './support/cluster.ts'

test('the state is told in one spelling, also where most of it was told before', () => {
  const { cluster, time } = found({ k: 1, n: 3 })
  const needs = { random, wall: () => time.now }
  const [second, third] = [newIdentity(), newIdentity()]
  const told = new Set<string>()
  const check = (): void => {
    const text = snapshotOf(cluster.log.state)
    expect(text).toBe(canonicalJson(JSON.parse(text)))
    expect(snapshotOf(readSnapshot(text))).toBe(text)
    expect(snapshotOf(copyState(cluster.log.state))).toBe(text)
    told.add(hashOfSnapshot(text))
  }
  check()
  cluster.admit({ peer: second.id, name: 'Zoë "2"', role: 'admin', site: 'ñ' })
  check()
  cluster.admit({ peer: third.id, name: '', role: 'member', site: '' })
  check()
  // the role of one who was told of before is another one now
  cluster.commit(composeSetAdmins(needs, cluster.log.state, [cluster.self, third.id], { k: 1, n: 2 }))
  check()
  expect(snapshotOf(cluster.log.state)).toContain(`"peer":"${third.id}","role":"admin"`)
  cluster.revoke(second.id, 'lost')
  check()
  cluster.revoke(third.id, 'left', true)
  check()
  cluster.admit({ peer: third.id, name: '', role: 'guest', site: '' })
  check()
  expect(told.size).toBe(7)
})

test('boxes of a rotation have one spelling: another is no entry, whoever signed it', () => {
  const { cluster, founder } = found()
  const member = newIdentity()
  cluster.admit({ peer: member.id, name: '', role: 'member', site: '' })
  const needs = { random, wall: () => 1_700_000_000_000 }
  const { state } = cluster.log
  const body = composeRevoke(needs, state, member.id, { reason: 'lost' })
  const { boxes } = body.rotation
  expect(boxes).toHaveLength(64)
  const spelt = (other: string): EntryBody => ({ ...body, rotation: { ...body.rotation, boxes: other } })
  const bad = [
    '',
    boxes.slice(1),
    `${boxes}A`,
    `${boxes.slice(0, -1)}=`,
    `${boxes.slice(0, -1)}-`,
    ` ${boxes.slice(1)}`,
  ]
  for (const other of bad) expect(() => sealEntry(spelt(other), founder), other).toThrow(/no entry of a membership log/)
  expect(() => sealEntry(spelt(`${boxes.slice(0, -1)}é`), founder)).toThrow(/no entry/)
  apply(copyState(state), sealEntry(body, founder))
})

/** Rows that are read of a store, by height. */
function counting(store: LogStore): { readonly store: LogStore; readonly read: Set<number> } {
  const read = new Set<number>()
  const rows: LogStore['read'] = (from, limit) => {
    const all = store.read(from, limit)
    for (const { height } of all) read.add(height)
    return all
  }
  return { store: { ...store, read: rows }, read }
}

test('a log that has grown over its checkpoint is opened from there, and is the same as read from its first entry', () => {
  const { cluster, store: founders } = found()
  for (let n = 0; n < CHECKPOINT_EVERY + 40; n += 2) {
    const peer = newIdentity().id
    cluster.admit({ peer, name: '', role: 'member', site: '' })
    cluster.revoke(peer, 'left', true)
  }
  const { checkpoint } = cluster.log.state
  expect(checkpoint).toBeGreaterThanOrEqual(CHECKPOINT_EVERY)
  // that of who was there all the time, and that of one who came late and was told all at once
  const late = memoryLogStore()
  adoptLog(late, cluster.id, cluster.log.entries(0, 10_000).map(decodeEntry))
  for (const kept of [founders, late]) {
    for (const whole of [false, true]) {
      const { store, read } = counting(kept)
      const opened = openLog(store, cluster.id, { whole })
      expect(opened.head).toEqual(cluster.head)
      expect(snapshotOf(opened.state)).toBe(snapshotOf(cluster.log.state))
      expect([Math.min(...read), Math.max(...read)]).toEqual([whole ? 0 : checkpoint, cluster.head.height])
    }
  }
})
