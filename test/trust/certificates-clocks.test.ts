/** What certificates are in a cluster that is founded today, and what clocks that are wrong, and long silences, do to them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import {
  CERTIFICATE_LIFETIME,
  composeCertificates,
  foundClusterHome,
  makeEntry,
  mayRole,
  newIdentity,
  openClusterHome,
  PURPOSES,
  signBody,
} from '../../src/trust/index.ts'
import type { Cluster, Identity, Threshold } from '../../src/trust/index.ts'
import { copyFor, found, random } from './support/cluster.ts'
import type { Founded } from './support/cluster.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const YEAR = 365 * DAY
const LIFETIME = CERTIFICATE_LIFETIME.founded

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

function asking(threshold?: Threshold): Founded {
  const founded = found(threshold)
  const { cluster } = founded
  cluster.commit(composeCertificates(cluster.needs, cluster.log.state, LIFETIME))
  return founded
}
const admit = ({ cluster }: Founded, role: 'member' | 'admin' = 'member'): Identity => {
  const identity = newIdentity()
  cluster.admit({ peer: identity.id, name: 'one', role, site: '' })
  return identity
}
const tell = (from: Cluster, to: Cluster): string[] =>
  from.certificates.renew().map(({ bytes }) => to.certificates.hear(bytes))
const works = (at: Cluster, peer: string): boolean => at.membership.admits(peer, 'compute')
/** An admin speaks to a member over a connection of its own. */
const speaks = (admin: Cluster, to: Cluster): boolean => to.hearBeat(admin.renewBeat(), admin.self)

describe('a cluster that is founded without a word about certificates', () => {
  test('asks for them, of a month; one that was told so, and one of before, does not', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weft-founded-'))
    folders.push(folder)
    const time = { now: 1_700_000_000_000 }
    const needs = { random, wall: () => time.now, identity: newIdentity() }
    const init = {
      name: 'north',
      threshold: { k: 2, n: 3 },
      founder: { name: 'a', site: '' },
      root: newIdentity(),
    }
    const homes = [join(folder, 'asks'), join(folder, 'not')] as const
    ;(await foundClusterHome(needs, homes[0], init)).close()
    ;(await foundClusterHome(needs, homes[1], { ...init, certificates: 0 })).close()
    const [asks, not] = [
      await openClusterHome(needs, homes[0], { whole: true }),
      await openClusterHome(needs, homes[1]),
    ]
    expect(asks.cluster.certificates).toMatchObject({ isRequired: true, lifetime: 30 * DAY })
    // the log of before: nothing in it says so, and nothing does by itself
    expect(not.cluster.certificates).toMatchObject({ isRequired: false, lifetime: CERTIFICATE_LIFETIME.usual })
    expect(not.cluster.head.height).toBe(0)
    time.now += YEAR
    const peer = newIdentity().id
    not.cluster.admit({ peer, name: 'b', role: 'member', site: '' })
    time.now += YEAR
    expect(works(not.cluster, peer)).toBe(true)
    for (const one of [asks, not]) one.close()
  })

  test('has them renewed each day, so that all admins may be away for four weeks; it is told when it gets late', () => {
    const founded = asking()
    const { cluster, time } = founded
    const member = admit(founded)
    const there = copyFor(cluster, member, time)
    expect(tell(cluster, there)).toEqual(['news', 'news'])
    time.now += DAY - 1
    expect(cluster.certificates.renew()).toEqual([])
    time.now += 1
    expect(tell(cluster, there)).toEqual(['news', 'news'])
    const gone = time.now
    expect(there.certificates.standing(member.id)).toMatchObject({ until: gone + LIFETIME, renews: gone + DAY })
    time.now = gone + 20 * DAY
    expect(there.certificates.standing(member.id)).toMatchObject({ expired: false, late: false })
    time.now = gone + 28 * DAY
    expect(there.certificates.standing(member.id)).toMatchObject({ expired: false, late: true })
    expect([works(there, cluster.self), there.certificates.expired()]).toEqual([true, []])
    time.now = gone + 31 * DAY
    expect(works(there, cluster.self)).toBe(false)
    // all work is refused for it, answers, weights and rounds, and what one needs to come back is not
    const news = ['connect', 'membership', 'relay']
    for (const purpose of PURPOSES.filter((one) => mayRole('admin', one) && !['knock', 'enrol'].includes(one))) {
      expect(there.membership.admits(cluster.self, purpose), purpose).toBe([...news, 'invite'].includes(purpose))
      if (!there.membership.admits(cluster.self, purpose))
        expect(there.refusal(cluster.self, purpose)).toMatchObject({ code: 'WEFT-TRU-115' })
    }
  })

  test('a member that slept beyond the end of its own asks for news, and has it from whomever it meets first', () => {
    const founded = asking()
    const { cluster, time } = founded
    const [sleeper, awake] = [admit(founded), admit(founded)]
    const [asleep, other] = [copyFor(cluster, sleeper, time), copyFor(cluster, awake, time)]
    for (const one of cluster.certificates.renew()) for (const to of [asleep, other]) to.certificates.hear(one.bytes)
    for (let day = 0; day < 60; day++) {
      time.now += DAY
      tell(cluster, other)
    }
    // no admin is there; whom it meets has its certificate, and it was not there when it was signed
    expect(asleep.certificates.expired()).toHaveLength(3)
    for (const purpose of ['connect', 'membership']) expect(asleep.membership.admits(awake.id, purpose)).toBe(true)
    expect([...asleep.certificates.lacking()].sort()).toEqual([cluster.self, sleeper.id, awake.id].sort())
    for (const peer of asleep.certificates.lacking())
      expect(asleep.certificates.hear(other.certificates.of(peer)!.bytes)).toBe('news')
    expect([works(asleep, awake.id), works(other, sleeper.id), asleep.certificates.expired()]).toEqual([true, true, []])
  })
})

describe('a clock that is wrong', () => {
  test('ends nobody while an admin is on the line, and half a minute longer', () => {
    const founded = asking()
    const { cluster, time } = founded
    const [member, other] = [admit(founded), admit(founded)]
    const own = { now: time.now }
    let steady = 0
    const there = copyFor(cluster, member, own, undefined, () => steady)
    own.now = time.now + 10 * YEAR
    expect([works(there, other.id), there.certificates.expired().length]).toEqual([false, 3])
    speaks(cluster, there)
    expect([works(there, other.id), there.certificates.expired()]).toEqual([true, []])
    own.now = time.now - 10 * YEAR
    expect(works(there, other.id)).toBe(true)
    steady += 30_000
    expect(works(there, other.id)).toBe(true)
    own.now = time.now + 20 * YEAR
    steady += 1
    expect(works(there, other.id)).toBe(false)
  })

  test('is all that there is where the word of an admin was carried by another, which may have kept it', () => {
    const founded = asking()
    const { cluster, time } = founded
    const [member, other] = [admit(founded), admit(founded)]
    const there = copyFor(cluster, member, time)
    const beat = cluster.renewBeat()
    time.now += 31 * DAY
    there.hearBeat(beat, other.id)
    expect(works(there, other.id)).toBe(false)
  })

  test('of an admin is reckoned in by those that have met it, also when it has gone, and believed by nobody else', () => {
    const founded = asking()
    const { cluster, time } = founded
    const [member, other] = [admit(founded), admit(founded)]
    const own = { now: time.now }
    let steady = 0
    const [there, elsewhere] = [copyFor(cluster, member, own, undefined, () => steady), copyFor(cluster, other, own)]
    for (const one of cluster.certificates.renew()) for (const to of [there, elsewhere]) to.certificates.hear(one.bytes)
    // the clock of the admin jumps; it signs by that one
    time.now += 10 * YEAR
    speaks(cluster, there)
    const signed = cluster.certificates.renew()
    expect(signed.map(({ bytes }) => there.certificates.hear(bytes))).toEqual(['news', 'news', 'news'])
    expect(signed.map(({ bytes }) => elsewhere.certificates.hear(bytes))).toEqual(['over', 'over', 'over'])
    steady += 60_000
    expect(there.certificates.standing(other.id)).toMatchObject({ until: own.now + LIFETIME, expired: false })
    own.now += 29 * DAY
    expect([works(there, other.id), works(elsewhere, there.self)]).toEqual([true, true])
    own.now += 2 * DAY
    expect([works(there, other.id), works(elsewhere, there.self)]).toEqual([false, false])
  })

  test('two hours behind takes a newcomer in, and its certificate, and nothing lasts longer for it', () => {
    const founded = asking()
    const { cluster, time } = founded
    const member = admit(founded)
    const own = { now: time.now - 2 * HOUR }
    const newcomer = admit(founded)
    const there = copyFor(cluster, member, own)
    expect(works(there, newcomer.id)).toBe(true)
    // nothing that was said has a time that is believed here: it is not known, and not fifty years
    expect(there.age()).toBeNull()
    expect(tell(cluster, there)).toEqual(['news', 'news', 'news'])
    expect(there.certificates.standing(newcomer.id)).toMatchObject({ until: time.now + LIFETIME })
  })

  test('an admin that is alone where several decide does not vouch for itself by speaking', () => {
    const founded = asking({ k: 2, n: 2 })
    const { cluster, time, founder } = founded
    const second = admit(founded, 'admin')
    const body = composeCertificates(cluster.needs, cluster.log.state, 10 * DAY)
    cluster.take(makeEntry(body, [signBody(body, founder), signBody(body, second)]))
    const there = copyFor(cluster, second, time)
    time.now += 40 * DAY
    const third = newIdentity()
    cluster.admit({ peer: third.id, name: '', role: 'member', site: '' })
    const member = copyFor(cluster, third, time)
    speaks(cluster, member)
    expect([works(member, there.self), works(member, cluster.self)]).toEqual([true, false])
  })
})
