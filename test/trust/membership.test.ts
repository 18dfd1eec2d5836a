/** The membership log: what may follow what, who may sign it, and what is refused. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  composeAdmit,
  composeRevoke,
  composeRotate,
  composeSetAdmins,
  decodeEntry,
  doorKey,
  makeEntry,
  newIdentity,
  sealEntry,
  signBody,
} from '../../src/trust/index.ts'
import type { Cluster, Entry, Identity } from '../../src/trust/index.ts'
import { canonicalJson, LABEL } from '../../src/util/index.ts'
import { isWhole } from '../whole.ts'
import { all, copyFor, found, random } from './support/cluster.ts'

/** Each costs a signature's check. */
const MUTATIONS = isWhole ? 20_000 : 1_500

function coded(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing was thrown'
}

async function late(action: () => Promise<unknown>): Promise<string> {
  try {
    await action()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing was thrown'
}

const admitted = (cluster: Cluster, role: 'admin' | 'member' | 'guest' | 'device' | 'site' = 'member'): Identity => {
  const identity = newIdentity()
  cluster.admit({ peer: identity.id, name: 'one', role, site: '' })
  return identity
}

describe('a cluster', () => {
  test('is named by its first entry, and lets in whom an admin lets in', () => {
    const { cluster, genesis } = found()
    expect(cluster.id).toBe(genesis.hash)
    const member = admitted(cluster)
    const other = copyFor(cluster, member, { now: 0 })
    expect(other.view().members.map(({ peer }) => peer)).toContain(member.id)
    expect(other.membership.admits(cluster.self, 'place')).toBe(true)
    expect(other.groupKeys()[0]).toEqual(cluster.groupKeys()[0])
    expect(doorKey(other.id)).toEqual(cluster.doorKey)
  })

  test('admits to what the role is for, and to nothing else', () => {
    const { cluster } = found()
    const may = (peer: string) =>
      ['connect', 'place', 'originate', 'stage', 'federate', 'unheard-of'].filter((purpose) =>
        cluster.membership.admits(peer, purpose),
      )
    expect(may(admitted(cluster, 'guest').id)).toEqual(['connect', 'originate'])
    expect(may(admitted(cluster, 'device').id)).toEqual(['connect', 'stage'])
    expect(may(admitted(cluster, 'member').id)).toEqual(['connect', 'place', 'originate', 'stage'])
    expect(may(admitted(cluster, 'site').id)).toEqual(['connect', 'place', 'originate', 'stage', 'federate'])
    expect(may(newIdentity().id)).toEqual([])
  })

  test('who is removed is out everywhere, cannot open the next group key, and never comes back', async () => {
    const { cluster, time } = found()
    const [stays, goes] = [admitted(cluster), admitted(cluster)]
    const [one, two] = [copyFor(cluster, stays, time), copyFor(cluster, goes, time)]
    const before = cluster.groupKeys()[0]
    const entry = cluster.revoke(goes.id, 'retired')
    await one.merge([entry.bytes])
    await two.merge([entry.bytes])
    expect(one.membership.admits(goes.id, 'connect')).toBe(false)
    expect(one.membership.isRemoved(goes.id)).toBe(true)
    expect(cluster.epoch).toBe(2)
    expect(one.groupKeys()[0]).toEqual(cluster.groupKeys()[0])
    expect(one.groupKeys()[0]).not.toEqual(before)
    expect(two.groupKeys()).toEqual([])
    expect(two.membership.admits(cluster.self, 'connect')).toBe(false)
    expect(coded(() => cluster.admit({ peer: goes.id, name: '', role: 'member', site: '' }))).toBe('WEFT-TRU-104')
  })

  test('who has left by itself may be invited again', () => {
    const { cluster } = found()
    const member = admitted(cluster)
    cluster.revoke(member.id, 'left', true)
    expect(cluster.membership.isRemoved(member.id)).toBe(false)
    expect(cluster.membership.admits(member.id, 'connect')).toBe(false)
    cluster.admit({ peer: member.id, name: 'again', role: 'member', site: '' })
    expect(cluster.membership.admits(member.id, 'connect')).toBe(true)
  })

  test('a key that was not sealed to a member costs it the key, and nothing else', async () => {
    const { cluster, founder, time } = found()
    const member = admitted(cluster)
    const other = copyFor(cluster, member, time)
    const body = composeRotate({ random, wall: () => 1 }, cluster.log.state)
    const spoilt = { ...body, rotation: { ...body.rotation, boxes: 'A'.repeat(body.rotation.boxes.length) } }
    await other.merge([sealEntry(spoilt, founder).bytes])
    expect(other.epoch).toBe(2)
    expect(other.membership.admits(founder.id, 'place')).toBe(true)
    const short = { ...body, rotation: { ...body.rotation, boxes: 'A'.repeat(64) } }
    expect(await late(() => cluster.merge([sealEntry(short, founder).bytes]))).toBe('WEFT-TRU-104')
  })

  test('the last admin cannot be removed', () => {
    const { cluster } = found()
    expect(coded(() => cluster.revoke(cluster.self, 'oops'))).toBe('WEFT-TRU-104')
  })
})

describe('what may follow', () => {
  const next = (cluster: Cluster, identity: Identity, change: (body: Record<string, unknown>) => void = () => {}) => {
    const body = composeRotate({ random, wall: () => 1 }, cluster.log.state)
    const plain = JSON.parse(JSON.stringify(body)) as Record<string, unknown>
    change(plain)
    return sealEntry(plain as never, identity)
  }

  test('a gap, another history, another cluster and a stranger are refused by code', async () => {
    const { cluster, founder } = found()
    const gap = next(cluster, founder, (body) => (body['height'] = 5))
    const astray = next(cluster, founder, (body) => (body['previous'] = 'ab'.repeat(32)))
    const foreign = next(cluster, founder, (body) => (body['cluster'] = 'ab'.repeat(32)))
    expect(await late(() => cluster.merge([gap.bytes]))).toBe('WEFT-TRU-102')
    expect(await late(() => cluster.merge([astray.bytes]))).toBe('WEFT-TRU-102')
    expect(await late(() => cluster.merge([foreign.bytes]))).toBe('WEFT-TRU-102')
    expect(await late(() => cluster.merge([next(cluster, newIdentity()).bytes]))).toBe('WEFT-TRU-103')
    const member = admitted(cluster)
    expect(await late(() => cluster.merge([next(cluster, member).bytes]))).toBe('WEFT-TRU-103')
    expect(cluster.head.height).toBe(1)
  })

  test('unknown versions and fields, and a second spelling, are refused', () => {
    const { cluster, founder } = found()
    const good = next(cluster, founder)
    const edit = (change: (value: { body: Record<string, unknown> }) => void): Uint8Array => {
      const value = JSON.parse(Buffer.from(good.bytes).toString()) as { body: Record<string, unknown> }
      change(value)
      return Buffer.from(canonicalJson(value))
    }
    const bad = [
      edit(({ body }) => (body['v'] = 2)),
      edit(({ body }) => (body['more'] = true)),
      edit(({ body }) => (body['kind'] = 'bless')),
      edit(({ body }) => ((body['rotation'] as { boxes: string }).boxes += 'AAAA')),
      Buffer.from(JSON.stringify(JSON.parse(Buffer.from(good.bytes).toString()), null, 1)),
      Buffer.concat([good.bytes, Buffer.from(' ')]),
      good.bytes.subarray(0, -1),
      Buffer.alloc(0),
      Buffer.alloc((1 << 20) + 1, 0x20),
    ]
    for (const bytes of bad) expect(coded(() => decodeEntry(bytes))).toBe('WEFT-TRU-101')
    expect(decodeEntry(good.bytes).hash).toBe(good.hash)
  })

  test('mutations of one bit or byte (20,000 in a whole run): each is refused, and the log is as it was', async () => {
    const { cluster, founder } = found()
    const member = admitted(cluster)
    const needs = { random, wall: () => 1 }
    const state = cluster.log.state
    const groupKey = cluster.groupKeys()[0]!
    const joiner = { peer: newIdentity().id, name: 'x', role: 'member' as const, site: 's' }
    const entries = [
      sealEntry(composeAdmit(needs, state, joiner, { inviter: founder.id, groupKey }), founder),
      sealEntry(composeRevoke(needs, state, member.id, { reason: 'r' }), founder),
      sealEntry(composeSetAdmins(needs, state, [founder.id], { k: 1, n: 1 }), founder),
    ]
    const before = cluster.head
    let refused = 0
    await fc.assert(
      fc.asyncProperty(
        fc.nat(entries.length - 1),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (which, at, mask, single) => {
          const bytes = new Uint8Array(entries[which]!.bytes)
          bytes[at % bytes.length]! ^= single ? 1 << (mask % 8) : mask
          const code = await late(() => cluster.merge([bytes]))
          expect(code).toMatch(/^WEFT-TRU-10[1-4]$/)
          refused++
        },
      ),
      { numRuns: MUTATIONS },
    )
    expect(refused).toBe(MUTATIONS)
    expect(cluster.head).toEqual(before)
    await cluster.merge([entries[0]!.bytes])
    expect(cluster.head.height).toBe(2)
  })

  test('reading what was written gives the same, for any names', () => {
    const { cluster, founder } = found()
    const groupKey = cluster.groupKeys()[0]!
    const label = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((text) => {
      return text !== '' && LABEL.test(text) && text.length <= 60
    })
    fc.assert(
      fc.property(label, label, fc.constantFrom('member', 'guest', 'device', 'site'), (name, site, role) => {
        const joiner = { peer: founder.id, name, role: role as 'member', site }
        const body = composeAdmit({ random, wall: () => 1 }, cluster.log.state, joiner, {
          inviter: founder.id,
          groupKey,
        })
        const entry = sealEntry(body, founder)
        const again = decodeEntry(entry.bytes)
        expect(again.body).toEqual(body)
        expect(Buffer.from(again.bytes).equals(entry.bytes)).toBe(true)
      }),
      { numRuns: 50 },
    )
  })
})

describe('admins by threshold', () => {
  const trio = (): {
    cluster: Cluster
    founder: Identity
    root: Identity
    others: Identity[]
    time: { now: number }
  } => {
    const { cluster, founder, root, time } = found({ k: 2, n: 3 })
    return { cluster, founder, root, time, others: [admitted(cluster, 'admin'), admitted(cluster, 'admin')] }
  }
  const sign = (body: Entry['body'], ...who: Identity[]): Entry =>
    makeEntry(
      body,
      who.map((one) => signBody(body, one)),
    )

  test('the founding set is completed by invites; from then on two must sign what changes it', () => {
    const { cluster, founder, others } = trio()
    expect(cluster.view().admins).toHaveLength(3)
    expect(coded(() => admitted(cluster, 'admin'))).toBe('WEFT-TRU-103')
    expect(coded(() => cluster.revoke(others[0]!.id, 'lost'))).toBe('WEFT-TRU-103')
    const body = composeRevoke({ random, wall: () => 1 }, cluster.log.state, others[0]!.id, { reason: 'lost' })
    cluster.take(sign(body, founder, others[1]!))
    expect(cluster.view().admins).toHaveLength(2)
    expect(cluster.membership.isRemoved(others[0]!.id)).toBe(true)
    const again = composeRevoke({ random, wall: () => 1 }, cluster.log.state, others[1]!.id, { reason: 'lost' })
    expect(coded(() => cluster.take(sign(again, founder, others[1]!)))).toBe('WEFT-TRU-104')
    admitted(cluster, 'member')
  })

  test('the root key replaces lost admins alone, and does nothing else', () => {
    const { cluster, root } = trio()
    const member = admitted(cluster)
    const needs = { random, wall: () => 1 }
    const recovery = composeSetAdmins(needs, cluster.log.state, [member.id], { k: 1, n: 1 })
    cluster.take(sign(recovery, root))
    expect(cluster.view().admins).toEqual([member.id])
    expect(cluster.isAdmin).toBe(false)
    const rotate = composeRotate(needs, cluster.log.state)
    expect(coded(() => cluster.take(sign(rotate, root)))).toBe('WEFT-TRU-103')
  })
})

describe('two histories', () => {
  test('admins who act at the same moment come to one, nobody who was removed comes back, and both heads are kept', async () => {
    const { cluster: a, time } = found({ k: 1, n: 2 })
    const [second, victim] = [admitted(a, 'admin'), admitted(a)]
    const b = copyFor(a, second, time)
    const [x, y] = [newIdentity(), newIdentity()]
    a.admit({ peer: x.id, name: 'x', role: 'member', site: '' })
    a.revoke(victim.id, 'lost')
    b.admit({ peer: y.id, name: 'y', role: 'member', site: '' })
    const [fromA, fromB] = [all(a, 3), all(b, 3)]
    await a.merge(fromB)
    await b.merge(fromA)
    for (let round = 0; round < 3; round++) {
      await a.merge(all(b, 3))
      await b.merge(all(a, 3))
    }
    expect(a.head).toEqual(b.head)
    for (const one of [a, b]) {
      expect([x, y].map(({ id }) => one.membership.admits(id, 'connect'))).toEqual([true, true])
      expect(one.membership.isRemoved(victim.id)).toBe(true)
      expect(one.view().forks).toHaveLength(1)
      expect(one.view().forks[0]).toMatchObject({ height: 3, decided: true, equivocators: [] })
    }
  })

  test('one admin that signs two is named', async () => {
    const { cluster: a, founder, time } = found()
    const b = copyFor(a, founder, time)
    admitted(a)
    admitted(b)
    await a.merge(all(b, 1))
    expect(a.view().forks[0]!.equivocators).toEqual([founder.id])
  })

  test('an admin that was thrown out cannot write into the past, however long its history', async () => {
    const { cluster: a, time } = found({ k: 1, n: 2 })
    const [thief, member] = [admitted(a, 'admin'), admitted(a)]
    const stolen = copyFor(a, thief, time)
    a.revoke(thief.id, 'stolen')
    for (let n = 0; n < 5; n++) admitted(stolen)
    stolen.revoke(member.id, 'out of spite')
    await a.merge(all(stolen, 3))
    expect(a.membership.isRemoved(thief.id)).toBe(true)
    expect(a.membership.admits(member.id, 'connect')).toBe(true)
    expect(a.view().forks[0]!.decided).toBe(true)
  })
})

describe('two clocks 20 minutes apart', () => {
  const APART = 20 * 60_000
  test.each([
    ['ahead of', APART],
    ['behind', -APART],
  ])('an admin’s is %s the one here: it is told which, the log is as it was, and it mends itself', (_how, ahead) => {
    const { cluster, time } = found()
    const identity = admitted(cluster)
    const here = { now: time.now - ahead }
    // joining goes by no clock but that of the admin, which is also where an invite expires
    const [open, strict] = [copyFor(cluster, identity, here), copyFor(cluster, identity, here, 10 * 60_000)]
    const { head } = strict
    for (const member of [open, strict]) {
      expect(member.hearBeat(cluster.renewBeat(), cluster.self)).toBe(ahead < 0)
      expect(member.clocksApart()).toEqual({ admin: cluster.self, ahead_ms: ahead })
      expect(member.head).toEqual(head)
    }
    expect(open.membership.admits(cluster.self, 'compute')).toBe(true)
    expect([strict.isStale(), strict.membership.admits(cluster.self, 'compute')]).toEqual([true, false])
    here.now = time.now + 1_000
    time.now += 1_000
    expect(strict.hearBeat(cluster.renewBeat(), cluster.self)).toBe(true)
    expect([strict.clocksApart(), strict.isStale()]).toEqual([undefined, false])
  })

  test('what a third one passes on late is old, and tells nothing of clocks', () => {
    const { cluster, time } = found()
    const identity = admitted(cluster)
    const member = copyFor(cluster, identity, time)
    const old = cluster.renewBeat()
    time.now += APART
    member.hearBeat(old, newIdentity().id)
    expect(member.clocksApart()).toBeUndefined()
  })
})

describe('max-age', () => {
  test('without an admin’s word a member refuses all but news, and believes again when it comes', () => {
    const { cluster, time } = found()
    const identity = admitted(cluster)
    const member = copyFor(cluster, identity, time, 60_000)
    expect(member.membership.admits(cluster.self, 'compute')).toBe(true)
    time.now += 120_000
    expect(member.isStale()).toBe(true)
    expect(member.membership.admits(cluster.self, 'compute')).toBe(false)
    expect(member.membership.admits(cluster.self, 'membership')).toBe(true)
    expect(member.refusal(cluster.self, 'compute')).toMatchObject({
      code: 'WEFT-TRU-114',
      details: { age_ms: 120_000, max_age_ms: 60_000 },
    })
    expect(member.refusal(cluster.self, 'membership')).toMatchObject({ code: 'WEFT-TRU-110' })
    expect(member.hearBeat(cluster.renewBeat())).toBe(true)
    expect(member.membership.admits(cluster.self, 'compute')).toBe(true)
    expect(member.refusal(cluster.self, 'place')).toMatchObject({ code: 'WEFT-TRU-110' })
    const forged = { ...cluster.beat()!, at: time.now + 1000 }
    expect(member.hearBeat(forged)).toBe(false)
    const ofMember = { ...copyFor(cluster, identity, time) }.renewBeat()
    expect(ofMember).toBeUndefined()
  })
})
