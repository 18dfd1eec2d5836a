/** Certificates of members: who signs them, when anew, what they end, and that nothing is given by them. On a clock that tests set. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import {
  adoptLog,
  composeCertificates,
  composeSetAdmins,
  createCluster,
  decodeEntry,
  makeCertificate,
  makeEntry,
  newIdentity,
  openLog,
  openLogFile,
  readCertificate,
  readSnapshot,
  signBody,
  snapshotOf,
} from '../../src/trust/index.ts'
import type { Cluster, Identity, Role, Threshold } from '../../src/trust/index.ts'
import { canonicalJson } from '../../src/util/index.ts'
import { all, copyFor, found, random } from './support/cluster.ts'
import type { Founded } from './support/cluster.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

/** A cluster that asks for certificates of a day. */
function asking(lifetime = DAY, threshold?: Threshold): Founded {
  const founded = found(threshold)
  ask(founded.cluster, lifetime)
  return founded
}
const ask = (cluster: Cluster, lifetime: number): void =>
  void cluster.commit(composeCertificates(cluster.needs, cluster.log.state, lifetime))
const admit = ({ cluster }: Founded, role: Role = 'member', site = ''): Identity => {
  const identity = newIdentity()
  cluster.admit({ peer: identity.id, name: 'one', role, site })
  return identity
}
/** What an admin has signed goes to others, as it does over channels. */
const tell = (from: readonly { readonly bytes: Uint8Array }[], ...to: readonly Cluster[]): string[] =>
  from.flatMap(({ bytes }) => to.map((one) => one.certificates.hear(bytes)))
const works = (at: Cluster, peer: string): boolean => at.membership.admits(peer, 'compute')

describe('a certificate', () => {
  test('has one spelling, and nothing in it may be another without its signature', () => {
    const founded = found()
    const member = admit(founded)
    const there = copyFor(founded.cluster, member, founded.time)
    const one = founded.cluster.certificates.renew().find(({ body }) => body.peer === member.id)!
    expect(one.body).toMatchObject({ role: 'member', epoch: 1, head: founded.cluster.head, until: one.body.from + DAY })
    expect(readCertificate(one.bytes)).toEqual(one)
    const text = Buffer.from(one.bytes).toString()
    expect(text).toBe(canonicalJson(JSON.parse(text)))
    for (const other of [
      ` ${text}`,
      text.replace('"v":1', '"v":2'),
      text.replace('{"body"', '{"a":1,"body"'),
      '{}',
      '',
    ])
      expect(there.certificates.hear(Buffer.from(other))).toBe('none')
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const bytes = Buffer.from(text)
        bytes[at]! ^= bits
        return there.certificates.hear(bytes) === 'none'
      }),
      { numRuns: 500 },
    )
    expect(there.certificates.hear(one.bytes)).toBe('news')
    expect(there.certificates.hear(one.bytes)).toBe('known')
  })

  test('is renewed when half of its life is left, by the first admin, and by another where that one is not up', async () => {
    const founded = found()
    const { cluster, time } = founded
    const second = admit(founded, 'admin')
    const there = copyFor(cluster, second, time)
    const [first, next] = cluster.self < second.id ? [cluster, there] : [there, cluster]
    expect(tell(first.certificates.renew(), next)).toEqual(['news', 'news'])
    const begun = time.now
    expect([first.certificates.renew(), next.certificates.renew()]).toEqual([[], []])
    time.now = begun + 12 * HOUR - 1
    expect(first.certificates.renew()).toEqual([])
    time.now = begun + 12 * HOUR
    expect(next.certificates.renew()).toEqual([])
    expect(first.certificates.standing(second.id)).toMatchObject({ until: begun + DAY, renews: begun + 12 * HOUR })
    // the first one is silent
    time.now = begun + 12 * HOUR + 30 * MINUTE
    expect(tell(next.certificates.renew(), first)).toEqual(['news', 'news'])
    expect(first.certificates.standing(second.id)).toMatchObject({ by: next.self, until: time.now + DAY })
    expect(first.certificates.renew()).toEqual([])
  })

  test('gives nothing: not to a stranger, not another role, and not by whoever is no admin', () => {
    const founded = found()
    const { cluster, time } = founded
    const [member, other] = [admit(founded), admit(founded)]
    const there = copyFor(cluster, member, time)
    const [known] = cluster.certificates.renew().filter(({ body }) => body.peer === other.id)
    const made = (change: object, by: Identity): string =>
      there.certificates.hear(makeCertificate({ ...known!.body, by: by.id, ...change }, by).bytes)
    expect(made({}, member)).toBe('waits')
    expect(made({ peer: newIdentity().id }, founded.founder)).toBe('waits')
    expect(made({ role: 'admin' }, founded.founder)).toBe('waits')
    expect(made({ site: 'elsewhere' }, founded.founder)).toBe('waits')
    expect(made({ until: known!.body.from + DAY + 1 }, founded.founder)).toBe('waits')
    expect(made({ cluster: 'ab'.repeat(32) }, founded.founder)).toBe('none')
    // clocks that are behind take it for good before it begins, up to a quarter of its life
    expect(made({ from: time.now + 6 * HOUR + 1, until: time.now + 7 * HOUR }, founded.founder)).toBe('over')
    expect(made({ from: time.now - DAY, until: time.now - 21 * MINUTE }, founded.founder)).toBe('over')
    expect(there.certificates.of(other.id)).toBeUndefined()
    expect(made({}, founded.founder)).toBe('news')
  })
})

describe('a cluster that does not ask for them', () => {
  test('signs and shows them, and refuses nobody', () => {
    const founded = found()
    const member = admit(founded)
    expect(founded.cluster.certificates.renew()).toHaveLength(2)
    founded.time.now += 400 * DAY
    expect(founded.cluster.certificates).toMatchObject({ isRequired: false, lifetime: DAY })
    expect(copyFor(founded.cluster, member, founded.time).certificates.standing(member.id)).toMatchObject({
      expired: true,
    })
    expect(works(founded.cluster, member.id)).toBe(true)
    expect(founded.cluster.certificates.expired()).toEqual([])
  })

  test('has the state that it always had, and one that does has them in its checkpoints', () => {
    const { cluster } = found()
    expect(snapshotOf(cluster.log.state)).not.toContain('certificates')
    ask(cluster, DAY)
    expect(readSnapshot(snapshotOf(cluster.log.state)).certificates).toEqual(cluster.log.state.certificates)
    ask(cluster, 0)
    expect([cluster.certificates.lifetime, cluster.certificates.renew()]).toEqual([0, []])
    expect(() => ask(cluster, 9_999)).toThrow(expect.objectContaining({ code: 'WEFT-TRU-101' }) as Error)
  })
})

describe('a cluster that asks for them', () => {
  test('refuses by a code whose is over, but news; an admin that is up again mends it', () => {
    const founded = asking()
    const { cluster, time } = founded
    const [member, other] = [admit(founded), admit(founded)]
    const there = copyFor(cluster, member, time)
    tell(cluster.certificates.renew(), there)
    const until = time.now + DAY
    // clocks differ
    time.now = until + 20 * MINUTE
    expect([works(there, other.id), there.certificates.expired()]).toEqual([true, []])
    time.now += 1
    expect([works(there, other.id), works(there, member.id)]).toEqual([false, false])
    expect(there.certificates.expired()).toHaveLength(3)
    for (const purpose of ['connect', 'membership', 'relay'])
      expect(there.membership.admits(other.id, purpose)).toBe(true)
    expect(there.refusal(other.id, 'compute')).toMatchObject({
      code: 'WEFT-TRU-115',
      details: { peer: other.id, until: new Date(until).toISOString() },
    })
    // what a role does not allow is told as that
    expect(there.refusal(other.id, 'federate')).toMatchObject({ code: 'WEFT-TRU-110' })
    expect(tell(cluster.certificates.renew(), there)).toEqual(['news', 'news', 'news'])
    expect([works(there, other.id), works(there, member.id)]).toEqual([true, true])
  })

  test('ends a removed member also where nobody has heard of it: it is never renewed', () => {
    const founded = asking()
    const { cluster, time } = founded
    const [member, removed] = [admit(founded), admit(founded)]
    const sleeper = copyFor(cluster, member, time)
    const last = cluster.certificates.renew()
    tell(last, sleeper)
    cluster.revoke(removed.id, 'lost')
    time.now += 13 * HOUR
    const later = cluster.certificates.renew()
    expect(later.map(({ body }) => body.peer)).not.toContain(removed.id)
    tell(later, sleeper)
    expect(works(sleeper, removed.id)).toBe(true)
    time.now += 12 * HOUR
    expect(works(sleeper, removed.id)).toBe(false)
    expect(works(sleeper, cluster.self)).toBe(true)
    // what it still has is no use to it, whoever shows it
    expect(
      tell(
        last.filter(({ body }) => body.peer === removed.id),
        sleeper,
      ),
    ).not.toContain('news')
    expect(cluster.certificates.standing(removed.id)).toBeUndefined()
  })

  test('takes the entry that let a member in for its first one', () => {
    const founded = asking()
    const { cluster, time } = founded
    time.now += 3 * DAY
    const member = admit(founded)
    const there = copyFor(cluster, member, time)
    expect([works(there, member.id), works(there, cluster.self)]).toEqual([true, false])
    time.now += DAY + 21 * MINUTE
    expect(works(there, member.id)).toBe(false)
  })

  test('is asked for by as many admins as change who they are, and nobody vouches for itself where several decide', async () => {
    const founded = found({ k: 2, n: 2 })
    const { cluster, time, founder } = founded
    // before there are two the one does
    expect(cluster.certificates.renew().map(({ body }) => body.peer)).toEqual([cluster.self])
    const second = admit(founded, 'admin')
    const there = copyFor(cluster, second, time)
    const body = composeCertificates({ random, wall: () => time.now }, cluster.log.state, HOUR)
    expect(() => cluster.commit(body)).toThrow(expect.objectContaining({ code: 'WEFT-TRU-103' }) as Error)
    const entry = makeEntry(body, [signBody(body, founder), signBody(body, second)])
    cluster.take(entry)
    await there.merge([entry.bytes])
    const self = { ...cluster.certificates.of(cluster.self)!.body, from: time.now + 1, until: time.now + 1 + HOUR }
    expect(there.certificates.hear(makeCertificate(self, founder).bytes)).toBe('waits')
    expect(cluster.certificates.renew().map((one) => one.body.peer)).toEqual([second.id])
    expect(there.certificates.renew().map((one) => one.body.peer)).toEqual([cluster.self])
  })

  test('goes on with what a removed admin had signed, takes no more of it, and has others sign anew', async () => {
    const founded = asking()
    const { cluster, time, founder } = founded
    const [second, member] = [admit(founded, 'admin'), admit(founded)]
    const [admin, there] = [copyFor(cluster, second, time), copyFor(cluster, member, time)]
    time.now += DAY + HOUR
    tell(cluster.certificates.renew(), admin, there)
    const body = composeSetAdmins({ random, wall: () => time.now }, cluster.log.state, [second.id], { k: 1, n: 1 })
    cluster.commit(body)
    for (const one of [admin, there]) await one.merge(all(cluster, cluster.head.height))
    expect([works(there, second.id), works(there, cluster.self)]).toEqual([true, true])
    expect(cluster.certificates.renew()).toEqual([])
    const late = {
      ...there.certificates.of(second.id)!.body,
      role: 'admin',
      from: time.now + 1,
      until: time.now + HOUR,
    } as const
    expect(there.certificates.hear(makeCertificate(late, founder).bytes)).toBe('waits')
    const anew = admin.certificates.renew()
    expect(new Map(anew.map(({ body: { peer, role } }) => [peer, role]))).toEqual(
      new Map([
        [second.id, 'admin'],
        [cluster.self, 'member'],
        [member.id, 'member'],
      ]),
    )
    expect(new Set(tell(anew, there))).toEqual(new Set(['news']))
  })

  test('lets one wait that the log does not explain yet, and shortens those that stand when the lifetime is', async () => {
    const founded = asking()
    const { cluster, time } = founded
    const member = admit(founded)
    const there = copyFor(cluster, member, time)
    tell(cluster.certificates.renew(), there)
    const begun = time.now
    ask(cluster, 7 * DAY)
    time.now += 20 * HOUR
    const longer = cluster.certificates.renew()
    expect(tell(longer, there)).toEqual(['waits', 'waits'])
    await there.merge(all(cluster, cluster.head.height))
    expect(there.certificates.again()).toHaveLength(2)
    expect(there.certificates.standing(member.id)).toMatchObject({ until: begun + 20 * HOUR + 7 * DAY })
    ask(cluster, HOUR)
    await there.merge(all(cluster, cluster.head.height))
    expect(there.certificates.standing(member.id)).toMatchObject({ until: begun + 21 * HOUR })
  })

  test('keeps them over a restart without any admin', async () => {
    const founded = asking()
    const { cluster, time } = founded
    const member = admit(founded)
    time.now += 2 * DAY
    const folder = await mkdtemp(join(tmpdir(), 'weft-certificates-'))
    folders.push(folder)
    const places = { path: join(folder, 'log.sqlite'), anchor: join(folder, 'log.anchor') }
    const needs = { random, wall: () => time.now, identity: member }
    const open = (): Cluster => {
      const store = openLogFile(places, member)
      const isNew = store.size() === 0
      const log = isNew ? adoptLog(store, cluster.id, all(cluster).map(decodeEntry)) : openLog(store, cluster.id)
      return createCluster(needs, { store, log })
    }
    const before = open()
    expect(works(before, member.id)).toBe(false)
    tell(cluster.certificates.renew(), before)
    before.close()
    const after = open()
    expect([works(after, member.id), works(after, cluster.self)]).toEqual([true, true])
    after.close()
  })
})
