/** The membership log between members over real connections: who comes in by it, and who does not any more. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { enrol } from '../../src/mesh/index.ts'
import { keyedCodec } from '../../src/net/announcement.ts'
import { frame } from '../../src/net/index.ts'
import { networkSecrets } from '../../src/net/secrets.ts'
import { encodeToken, newIdentity, openInviteBook } from '../../src/trust/index.ts'
import type { Cluster, Identity, InviteToken } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { connectedIds, joined, until } from '../net/helpers.ts'
import { copyFor, found, random } from '../trust/support/cluster.ts'
import { members, run } from './support/members.ts'
import type { RunInit, Running } from './support/members.ts'

const clock = systemClock()
const running: Running[] = []
const folders: string[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()))
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function up(cluster: Cluster, identity: Identity, init: RunInit = {}): Promise<Running> {
  const one = await run(cluster, identity, init)
  running.push(one)
  return one
}
const meets = (one: Running, other: Running): void => one.network.keep(other.address)
const knows = (one: Running, other: Running): boolean => connectedIds(one.network).includes(other.network.id)
const refusal = (one: Running, other: Running): string | undefined =>
  one.network.refusals().find(({ id }) => id === other.network.id)?.code

describe('a newcomer', () => {
  test('is let in by members that have not heard of it: the log that it brings says so, whoever dials', async () => {
    const { cluster, founder, others, copy, time } = members(2)
    const [old, other] = [copy(0), copy(1)]
    const newcomer = newIdentity()
    cluster.admit({ peer: newcomer.id, name: 'new', role: 'member', site: '' })
    const [a, b] = [await up(old, others[0]!), await up(other, others[1]!)]
    const n = await up(copyFor(cluster, newcomer, time), newcomer)
    meets(n, a)
    await joined(n.network, a.network)
    meets(b, n)
    await joined(n.network, b.network)
    expect([a.cluster.head, b.cluster.head]).toEqual([cluster.head, cluster.head])
    expect(a.counted['membership_entries']).toBe(1)
    expect(founder.id).toBe(cluster.self)
  })

  test('that is none is refused with its code, and is told nothing', async () => {
    const { cluster, founder } = members(0)
    const a = await up(cluster, founder)
    const thief = newIdentity()
    // whoever has had an invite has the key of the door, and may found what it likes
    const other = found()
    other.cluster.admit({ peer: thief.id, name: '', role: 'member', site: '' })
    const b = await up(copyFor(other.cluster, thief, { now: 0 }), thief, { networkKey: cluster.doorKey })
    meets(b, a)
    await until(() => refusal(a, b) !== undefined && refusal(b, a) !== undefined)
    expect([refusal(a, b), refusal(b, a)]).toEqual(['WEFT-DSC-011', 'WEFT-DSC-011'])
    expect(JSON.stringify([b.network.refusals(), b.network.connected()])).not.toContain('a secret name')
    expect(knows(a, b)).toBe(false)
    expect(a.cluster.head.height).toBe(0)
  })
})

describe('a member that is removed', () => {
  test('is cut off by all that are connected, and does not come in again: dialled, dialling, with its old log', async () => {
    const { cluster, founder, others, copy } = members(2)
    const [a, b, r] = [await up(cluster, founder), await up(copy(0), others[0]!), await up(copy(1), others[1]!)]
    for (const one of [b, r]) meets(one, a)
    meets(r, b)
    await Promise.all([joined(a.network, b.network), joined(a.network, r.network), joined(b.network, r.network)])
    const channel = await r.network.open(b.network.id, '/test/echo/1')
    const listen = deafen(r)
    cluster.revoke(others[1]!.id, 'lost')
    await until(() => !knows(a, r) && !knows(b, r) && !knows(r, a))
    expect(await channel.closed).toBeInstanceOf(Error)
    expect([a.counted['members_cut'], b.counted['members_cut']]).toEqual([1, 1])
    // one that listens is told, and falls silent by itself
    listen()
    await r.cluster.merge(cluster.log.entries(3, 1))
    expect(r.cluster.groupKeys()).toEqual([])
    expect(r.cluster.membership.admits(cluster.self, 'connect')).toBe(false)
  })

  test('is believed by one that has slept until that one meets somebody who knows, and not a moment longer', async () => {
    const { cluster, founder, others, copy } = members(2)
    const stale = [copy(0), copy(1)] as const
    cluster.revoke(others[1]!.id, 'lost')
    const [s, r] = [await up(stale[0], others[0]!), await up(stale[1], others[1]!)]
    deafen(r)
    meets(r, s)
    await joined(r.network, s.network)
    const a = await up(cluster, founder)
    meets(s, a)
    await joined(s.network, a.network)
    await until(() => !knows(s, r))
    expect(s.cluster.membership.isRemoved(others[1]!.id)).toBe(true)
    expect(s.counted['members_cut']).toBe(1)
    // nor is it let in anywhere else
    meets(r, a)
    await until(() => (a.counted['members_refused'] ?? 0) > 0)
    expect([knows(a, r), refusal(a, r)]).toEqual([false, 'WEFT-DSC-010'])
  })

  test('and knows it says so of itself, and not of those who come', async () => {
    const { cluster, others, copy } = members(2)
    const stale = copy(0)
    const out = copy(1)
    cluster.revoke(others[1]!.id, 'lost')
    await out.merge(cluster.log.entries(3, 1))
    const [s, r] = [await up(stale, others[0]!), await up(out, others[1]!)]
    meets(s, r)
    await until(() => refusal(r, s) !== undefined)
    expect([refusal(r, s), r.counted['members_refused'] ?? 0]).toEqual(['WEFT-DSC-014', 0])
  })

  test('is refused through a relay that has not heard, by an end that has; a member comes that way', async () => {
    const { cluster, founder, others, copy } = members(3)
    const stale = [copy(0), copy(1), copy(2)] as const
    const relay = await up(stale[0], others[0]!)
    const [r, m] = [await up(stale[1], others[1]!, { listen: null }), await up(stale[2], others[2]!, { listen: null })]
    for (const one of [r, m]) {
      meets(one, relay)
      await joined(one.network, relay.network)
    }
    cluster.revoke(others[1]!.id, 'lost')
    const a = await up(cluster, founder, { listen: null })
    // the relay must not hear it from this end: its log stays as it was
    deafen(relay)
    meets(a, relay)
    await joined(a.network, relay.network)
    await expect(r.network.open(a.network.id, '/test/echo/1')).rejects.toMatchObject({ code: 'WEFT-DSC-006' })
    expect(knows(a, r)).toBe(false)
    expect([(a.counted['members_refused'] ?? 0) > 0, refusal(a, r)]).toEqual([true, 'WEFT-DSC-010'])
    // the control: the same attempt by one that is still in
    const channel = await m.network.open(a.network.id, '/test/echo/1')
    const answered = new Promise((resolve) => channel.onFrame(resolve))
    await channel.send(frame({ type: 1 }))
    expect(await answered).toMatchObject({ flags: 7 })
    expect(a.network.connected().find(({ id }) => id === m.network.id)).toMatchObject({ relayed: true })
  })

  test('cannot read what is announced nearby afterwards; who has slept is still heard', () => {
    const { cluster, others, copy } = members(2)
    const [sleeper, removed] = [copy(0), copy(1)]
    const codecOf = (one: Cluster) => keyedCodec(random, networkSecrets('', one.doorKey, one).announce!)
    const said = { network: '', peer: cluster.self, instance: '0'.repeat(32), addresses: ['/ip4/192.0.2.7/tcp/1'] }
    const [before, wall] = [codecOf(cluster).encode(said), 1_700_000_000_000]
    expect(codecOf(removed).decode(before)).toEqual(said)
    cluster.revoke(others[1]!.id, 'lost')
    const after = codecOf(cluster).encode(said)
    expect(codecOf(removed).decode(after)).toBeUndefined()
    expect(codecOf(removed).tags(wall)).not.toContain(codecOf(cluster).tag(wall))
    expect(codecOf(cluster).decode(codecOf(sleeper).encode(said))).toEqual(said)
    expect(codecOf(cluster).alsoHeard(wall)).toContain(codecOf(sleeper).tag(wall))
    expect(codecOf(cluster).tags(wall)).not.toContain(codecOf(sleeper).tag(wall))
    // nothing of it can be read by whoever has no key at all
    expect(Buffer.from(after).includes('weft') || Buffer.from(after).includes(cluster.self)).toBe(false)
  })
})

/** It takes in nothing that others tell it: one that would rather not know. Returns how to have it listen again. */
function deafen({ cluster }: Running): () => void {
  const merge = cluster.merge.bind(cluster)
  Object.assign(cluster, { merge: () => ({ added: [], fork: undefined }) })
  return () => void Object.assign(cluster, { merge })
}

describe('an invite', () => {
  const needs = (identity: Identity) => ({ identity, random, clock })
  async function admin(): Promise<{ readonly a: Running; readonly token: (more?: object) => InviteToken }> {
    const { cluster, founder } = members(0)
    const folder = await mkdtemp(join(tmpdir(), 'weft-enrol-'))
    folders.push(folder)
    const invites = openInviteBook(join(folder, 'invites.sqlite'), random)
    const a = await up(cluster, founder, { invites })
    return {
      a,
      token: (more = {}) => {
        const init = {
          role: 'member',
          site: 'hq',
          expires: Date.now() + 60_000,
          uses: 1,
          approve: false,
          ...more,
        } as const
        const { invite, secret } = invites.create(init, Date.now())
        return { cluster: cluster.id, invite: invite.id, secret, addresses: [a.address] }
      },
    }
  }

  test('lets in one of many who come with it at once; the others are told why not, and the log says who', async () => {
    const { a, token } = await admin()
    const one = token()
    const joiners = Array.from({ length: 8 }, () => newIdentity())
    const outcomes = await Promise.allSettled(joiners.map((who) => enrol(needs(who), { token: one, name: 'n' })))
    const won = outcomes.filter(({ status }) => status === 'fulfilled')
    expect(won).toHaveLength(1)
    const codes = outcomes.flatMap((each) =>
      each.status === 'rejected' ? [(each.reason as { code: string }).code] : [],
    )
    expect(new Set(codes)).toEqual(new Set(['WEFT-TRU-153']))
    expect(a.cluster.view().members).toHaveLength(2)
    const winner = joiners.find(({ id }) => a.cluster.member(id) !== undefined)!
    // it was killed before it could write the log down
    expect((await enrol(needs(winner), { token: one, name: 'n' })).entries).toHaveLength(2)
    expect(a.counted['enrolments']).toBe(9)
  }, 60_000)

  test('is not handed in to anybody who is not the admin that made it', async () => {
    const { a, token } = await admin()
    const one = token()
    const secret = Buffer.from(one.secret).toString('hex')
    // another cluster at the same address, with the key of the door that the invite names
    const other = found()
    const folder = await mkdtemp(join(tmpdir(), 'weft-enrol-'))
    folders.push(folder)
    const book = openInviteBook(join(folder, 'invites.sqlite'), random)
    const heard: string[] = []
    const spy = {
      ...book,
      redeem: (asked: Parameters<typeof book.redeem>[0]) => (heard.push(secret), book.redeem(asked)),
    }
    const thief = await up(other.cluster, other.founder, { networkKey: a.cluster.doorKey, invites: spy })
    const lured = { ...one, addresses: [thief.address] }
    await expect(enrol(needs(newIdentity()), { token: lured, name: '' })).rejects.toMatchObject({
      code: 'WEFT-TRU-158',
    })
    expect(heard).toEqual([])
    await expect(
      enrol(needs(newIdentity()), { token: { ...one, secret: new Uint8Array(16) }, name: '' }),
    ).rejects.toMatchObject({ code: 'WEFT-TRU-158' })
    const nowhere = { ...one, addresses: [`/ip4/127.0.0.1/tcp/9/p2p/${a.network.id}`] }
    await expect(enrol(needs(newIdentity()), { token: nowhere, name: '' })).rejects.toMatchObject({
      code: 'WEFT-TRU-157',
    })
    expect((await enrol(needs(newIdentity()), { token: one, name: '' })).admin).toBe(a.network.id)
    expect(encodeToken(one).length).toBeLessThan(400)
  }, 60_000)

  test('is refused to who was removed, to whom it is not for, and to who left with it', async () => {
    const { a, token } = await admin()
    const [removed, wanted] = [newIdentity(), newIdentity()]
    a.cluster.admit({ peer: removed.id, name: '', role: 'member', site: '' })
    a.cluster.revoke(removed.id, 'lost')
    const refused = async (who: Identity, one: InviteToken): Promise<unknown> =>
      enrol(needs(who), { token: one, name: '' }).then(
        () => 'joined',
        (error: unknown) => (error as { code?: string }).code,
      )
    const [leaver, first] = [newIdentity(), token()]
    expect(await refused(leaver, first)).toBe('joined')
    const wasted = token()
    expect(await refused(leaver, wasted)).toBe('WEFT-TRU-156')
    a.cluster.revoke(leaver.id, 'left', true)
    expect(await refused(leaver, first)).toBe('WEFT-TRU-153')
    // that one was not used up by a member that had no need of it
    expect(await refused(leaver, wasted)).toBe('joined')
    // an invite expires by the clock of who made it, and the joiner is told how far its own is off
    for (const minutes of [20, -20]) {
      const apart = { ...clock, wall: () => clock.wall() + minutes * 60_000 }
      const one = token({ expires: Date.now() + 600_000 })
      const { ahead } = await enrol({ ...needs(newIdentity()), clock: apart }, { token: one, name: '' })
      expect(Math.round(ahead / 60_000)).toBe(-minutes)
    }
    // at the gate: it does not get as far as its invite
    expect(await refused(removed, token())).toBe('WEFT-TRU-157')
    expect(await refused(newIdentity(), token({ peer: wanted.id }))).toBe('WEFT-TRU-154')
    expect(await refused(newIdentity(), token({ expires: Date.now() - 1 }))).toBe('WEFT-TRU-152')
    expect(await refused(wanted, token({ peer: wanted.id }))).toBe('joined')
  }, 60_000)
})
