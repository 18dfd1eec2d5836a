/**
 * An invite of an admin that nobody can dial: it is handed in through a member that carries newcomers to admins, for that and for
 * nothing else.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, describe, expect, test } from 'vitest'
import { enrol } from '../../src/mesh/index.ts'
import { answerSchema, KNOCK_PROTOCOL, talkOver } from '../../src/net/circuit-wire.ts'
import { NEWCOMER_LIMITS } from '../../src/net/constants.ts'
import { startNode } from '../../src/net/libp2p-node.ts'
import { createNewcomers } from '../../src/net/newcomers.ts'
import { networkSecrets } from '../../src/net/secrets.ts'
import { adoptLog, memoryLogStore, newIdentity, openInviteBook } from '../../src/trust/index.ts'
import type { Identity, InviteBook, InviteToken } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { connectedIds, joined, until } from '../net/helpers.ts'
import { startProxy } from '../net/proxy.ts'
import { copyFor, random } from '../trust/support/cluster.ts'
import { sampled } from '../whole.ts'
import { members, run } from './support/members.ts'
import type { Running } from './support/members.ts'
import { PROTOCOLS, stranger } from './support/stranger.ts'
import { virtualClock } from './support/virtual-clock.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Ten seconds of it take one. */
const tenfold: Clock = (() => {
  const real = systemClock()
  return {
    ...real,
    now: () => real.now() * 10,
    after: (ms, action) => real.after(ms / 10, action),
    sleep: (ms, signal) => real.sleep(ms / 10, signal),
  }
})()

function kept(one: Running): Running {
  cleanups.push(() => one.stop())
  return one
}

interface Site {
  readonly admin: Running
  readonly relay: Running
  /** Listens on nothing, as the admin, and lets nobody in. */
  readonly member: Running
  readonly invites: InviteBook
  readonly cluster: ReturnType<typeof members>['cluster']
  readonly time: ReturnType<typeof members>['time']
  readonly token: (addresses?: readonly string[]) => InviteToken
}

async function site(relayInit: Parameters<typeof run>[2] = {}): Promise<Site> {
  const { cluster, founder, others, copy, time } = members(2)
  const folder = await mkdtemp(join(tmpdir(), 'weft-relayed-'))
  const invites = openInviteBook(join(folder, 'invites.sqlite'), random)
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  const relay = kept(await run(copy(0), others[0]!, relayInit))
  const outgoing = { listen: null, bootstrap: [relay.address] }
  const admin = kept(await run(cluster, founder, { ...outgoing, invites }))
  const member = kept(await run(copy(1), others[1]!, outgoing))
  await joined(admin.network, relay.network)
  await joined(member.network, relay.network)
  const token = (addresses: readonly string[] = [`${relay.address}/p2p-circuit/p2p/${founder.id}`]): InviteToken => {
    const init = { role: 'member', site: '', uses: 9, approve: false, expires: Date.now() + 60_000 } as const
    const { invite, secret } = invites.create(init, Date.now())
    return { cluster: cluster.id, invite: invite.id, secret, addresses }
  }
  return { admin, relay, member, invites, cluster, time, token }
}

const enrolAs = (identity: Identity, token: InviteToken): ReturnType<typeof enrol> =>
  enrol({ identity, random, clock: systemClock() }, { token, name: 'new' })
const codeOf = (joining: Promise<unknown>): Promise<string> =>
  joining.then(
    () => 'joined',
    (error: unknown) => (error as { code: string }).code,
  )

/** A program of its own that knows the door and asks a relay for somebody; `stay` keeps the way open. */
async function knocker({ cluster }: Site, relay: Running, identity = newIdentity()) {
  const { libp2p } = await startNode(
    {
      privateKey: identity.privateKey,
      secrets: networkSecrets('', cluster.doorKey),
      instance: random.bytes(16),
      note: () => undefined,
      keepsOut: () => false,
      prepare: () => undefined,
    },
    null,
  )
  const stop = async (): Promise<void> => libp2p.stop()
  cleanups.push(stop)
  const connection = await libp2p.dial(multiaddr(relay.address))
  const ask = async (to: string): Promise<{ ok: boolean; why?: string | null | undefined; ended: Promise<void> }> => {
    const stream = await connection.newStream(KNOCK_PROTOCOL)
    const ended = new Promise<void>((resolve) => stream.addEventListener('close', () => resolve(), { once: true }))
    const talk = talkOver(stream)
    await talk.say({ to })
    return { ...(await talk.hear(answerSchema)), ended }
  }
  return { ask, connection, stop }
}

describe('an admin that nobody can dial', () => {
  test('lets somebody in through a relay, twice, who is then known to all and reached the same way', async () => {
    const { admin, relay, token, time } = await site()
    const invite = token()
    for (const round of [1, 2]) {
      const identity = newIdentity()
      const { entries, address } = await enrolAs(identity, invite)
      expect(address).toContain('/p2p-circuit/')
      expect(admin.cluster.member(identity.id)).toMatchObject({ role: 'member' })
      expect(relay.counted['relay_circuits']).toBe(round)
      await until(() => relay.cluster.member(identity.id) !== undefined)
      const { state } = adoptLog(memoryLogStore(), invite.cluster, entries)
      expect(state.members.has(identity.id)).toBe(true)
      const known = { id: admin.identity.id, addresses: [address.replace(/\/p2p\/\w+$/, '')] }
      const one = kept(
        await run(copyFor(admin.cluster, identity, time), identity, { listen: null, knownPeers: [known] }),
      )
      await joined(one.network, admin.network)
      expect(one.network.connected().find(({ id }) => id === admin.identity.id)?.relayed).toBe(true)
      await one.stop()
      await until(() => !connectedIds(admin.network).includes(identity.id))
      relay.counted['relay_circuits'] = round
    }
  })

  test('is asked the same as one that can be dialled: an invite that is spent, of another, or none is refused', async () => {
    const { token, cluster } = await site()
    const invite = token()
    const stolen = { ...invite, secret: random.bytes(16) }
    expect(await codeOf(enrolAs(newIdentity(), stolen))).toBe('WEFT-TRU-158')
    const removed = newIdentity()
    cluster.admit({ peer: removed.id, name: '', role: 'member', site: '' })
    cluster.revoke(removed.id, 'lost')
    // the door of the relay is shut, or, where it has not heard yet, that of the admin
    expect(await codeOf(enrolAs(removed, invite))).toBe('WEFT-TRU-157')
  })
})

describe('a relay carries a newcomer', () => {
  test('to nobody but an admin, and says the same of who is not there', async () => {
    const made = await site()
    const { admin, relay, member } = made
    const one = await knocker(made, relay)
    const no = { ok: false, why: 'there is no way in here' }
    for (const to of [member.identity.id, newIdentity().id, relay.identity.id])
      expect(await one.ask(to)).toMatchObject(no)
    // nor is anything else said to it there, for as long as it is carried
    const heard: unknown[] = []
    for (const protocol of ['/weft/circuit/1', '/weft/relay/1', '/test/echo/1']) {
      const stream = await one.connection.newStream(protocol)
      stream.addEventListener('message', ({ data }) => heard.push(data))
    }
    expect(await one.ask(admin.identity.id)).toMatchObject({ ok: true })
    await one.stop()
    expect(heard).toEqual([])
  })

  test('not where it is no relay, not when it was removed, and not any more when it is', async () => {
    const off = await site({ relay: 'off' })
    expect(await codeOf(enrolAs(newIdentity(), off.token()))).toBe('WEFT-TRU-157')
    expect(off.relay.counted['relay_refused']).toBeGreaterThan(0)

    const made = await site()
    const gone = newIdentity()
    made.cluster.admit({ peer: gone.id, name: '', role: 'member', site: '' })
    await until(() => made.relay.cluster.member(gone.id) !== undefined)
    const one = await knocker(made, made.relay, gone)
    const way = await one.ask(made.admin.identity.id)
    expect(way.ok).toBe(true)
    made.cluster.revoke(gone.id, 'lost')
    await way.ended
    await expect(knocker(made, made.relay, gone).then((again) => again.ask(made.admin.identity.id))).rejects.toThrow()
    expect(made.relay.counted['members_refused']).toBeGreaterThan(0)
  })

  test('so many of one host at a time, who take no place of a member, and gives the place to the next', async () => {
    const made = await site({ relayLimits: { circuits: 1 } })
    const { admin, relay } = made
    const all = await Promise.all([0, 1, 2].map(() => knocker(made, relay)))
    const ways = []
    for (const one of all) ways.push(await one.ask(admin.identity.id))
    expect(ways.map(({ ok }) => ok)).toEqual([true, true, false])
    expect(relay.network.reach().relaying.circuits).toBe(0)
    expect((await all[0]!.ask(admin.identity.id)).ok).toBe(false)
    await all[0]!.stop()
    await until(async () => (await all[2]!.ask(admin.identity.id)).ok)
  })

  test('by count: of a host, of all, in a minute; and whoever has gone makes room once', () => {
    const clock = virtualClock()
    const newcomers = createNewcomers(clock)
    const at = (host: number): string => `/ip4/192.0.2.${host}/tcp/1`
    const leaves = Array.from({ length: 8 }, (_, n) => newcomers.enter(`p${n}`, at(n >> 1)))
    expect(leaves.every((leave) => leave !== undefined)).toBe(true)
    expect(newcomers.enter('p8', at(9))).toBeUndefined()
    leaves[0]!()
    leaves[0]!()
    expect(newcomers.enter('p1', at(9))).toBeUndefined()
    expect(newcomers.enter('p8', at(1))).toBeUndefined()
    expect(newcomers.enter('p8', at(9))).toBeTypeOf('function')
    expect(newcomers.enter('p9', at(9))).toBeUndefined()
    let begun = 9
    for (let n = 0; n < 100; n++) {
      const leave = newcomers.enter(`q${n}`, at(40))
      if (leave !== undefined) begun++
      leave?.()
    }
    expect(begun).toBe(9)
    leaves[1]!()
    for (let n = 0; n < 100; n++) {
      const leave = newcomers.enter(`q${n}`, at(40))
      if (leave !== undefined) begun++
      leave?.()
    }
    expect(begun).toBe(NEWCOMER_LIMITS.perMinute)
  })
})

describe('a log that takes longer than a greeting may', () => {
  test.each(sampled([['directly'], ['through a relay']], 1))(
    'is handed over whole, %s: who hands in an invite need not greet',
    async (how) => {
      const made = await site({ clock: tenfold })
      const proxy = await startProxy()
      cleanups.push(() => proxy.stop())
      for (let n = 0; n < 1_800; n++)
        made.cluster.admit({
          peer: newIdentity().id,
          name: `${n} ${'x'.repeat(58)}`,
          role: 'member',
          site: 'y'.repeat(60),
        })
      const port = (address: string): number => Number(/tcp\/(\d+)/.exec(address)![1])
      const listening = kept(await run(made.cluster, made.admin.identity, { invites: made.invites, clock: tenfold }))
      const isRelayed = how !== 'directly'
      proxy.target = port(isRelayed ? made.relay.address : listening.address)
      proxy.slow(400_000)
      const near = isRelayed ? `${proxy.address}/p2p/${made.relay.identity.id}/p2p-circuit` : proxy.address
      const identity = newIdentity()
      const { entries } = await enrolAs(identity, made.token([`${near}/p2p/${made.admin.identity.id}`]))
      expect(entries.length).toBe(made.cluster.head.height + 1)
      expect(made.relay.counted['relay_circuits']).toBe(isRelayed ? 1 : undefined)
    },
  )
})

describe('somebody behind a relay who knows the door', () => {
  test('is told no more by any protocol than at the door itself', async () => {
    const { admin, relay, cluster } = await site()
    const one = await stranger(newIdentity(), cluster.id, cluster.doorKey)
    cleanups.push(() => one.stop())
    expect(PROTOCOLS).toContain(KNOCK_PROTOCOL)
    await one.visit(`${relay.address}/p2p-circuit/p2p/${admin.identity.id}`)
    expect(one.verdicts).toEqual([{ verdict: 'refused', code: 'WEFT-DSC-011' }])
    const answered = new Set(one.heard.filter(({ frames }) => frames.length > 0).map(({ protocol }) => protocol))
    expect([...answered].toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      '/weft/enrol/1',
      '/weft/hello/1',
      '/weft/membership/1',
    ])
    const words = one.heard.map(({ bytes }) => Buffer.concat(bytes).toString('latin1')).join('\n')
    const { name, members: all, head } = cluster.view()
    for (const word of [
      name,
      'a secret name',
      head.hash,
      ...all.map(({ peer }) => peer).filter((id) => id !== admin.identity.id),
    ])
      expect(words).not.toContain(word)
  })
})
