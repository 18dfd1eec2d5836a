/** R10: clocks that are wrong, by hours and by years, and one that jumps: nobody is locked out, and nothing is believed for it. */
import { afterEach, describe, expect, test } from 'vitest'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { enrol } from '../../src/mesh/index.ts'
import { frame } from '../../src/net/index.ts'
import { CERTIFICATE_LIFETIME, composeCertificates, newIdentity, openInviteBook } from '../../src/trust/index.ts'
import type { Cluster } from '../../src/trust/index.ts'
import { connectedIds, joined, until } from '../net/helpers.ts'
import { systemClock } from '../../src/util/index.ts'
import { copyFor, random } from '../trust/support/cluster.ts'
import { ECHO, members, run } from './support/members.ts'
import type { Running } from './support/members.ts'

const HOUR = 3_600_000
const SKEWS = { right: 0, 'two hours ahead': 2 * HOUR, 'two hours behind': -2 * HOUR, 'ten years ahead': 87_600 * HOUR }

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function trip(from: Running, to: Running): Promise<void> {
  const channel = await from.network.open(to.identity.id, ECHO)
  const answered = new Promise((resolve) => channel.onFrame(resolve))
  await channel.send(frame({ type: 1 }))
  await answered
  await channel.close()
}

/** The founder with the right time, and one member for each skew; `time` of each can be set. */
async function clocks(
  maxAge?: number,
  certificates = 0,
): Promise<{ all: Running[]; times: { now: number }[]; cluster: Cluster; start: number }> {
  const made = members(Object.keys(SKEWS).length)
  if (certificates > 0)
    made.cluster.commit(composeCertificates(made.cluster.needs, made.cluster.log.state, certificates))
  const steady = systemClock()
  const start = made.time.now
  const times = [made.time, ...Object.values(SKEWS).map((skew) => ({ now: start + skew }))]
  const first = await run(made.cluster, made.founder)
  cleanups.push(() => first.stop())
  const all = [first]
  for (const [n, identity] of made.others.entries()) {
    const cluster = copyFor(made.cluster, identity, times[n + 1]!, maxAge, () => steady.now())
    const one = await run(cluster, identity, { bootstrap: all.map(({ address }) => address) })
    cleanups.push(() => one.stop())
    all.push(one)
  }
  return { all, times, cluster: made.cluster, start }
}

describe('peers whose clocks are wrong', () => {
  test.each([
    ['', 0],
    [', also where certificates are asked for', CERTIFICATE_LIFETIME.founded],
  ])('connect, compute for each other, learn of removals, and go on when a clock jumps%s', async (_, lifetime) => {
    const { all, times, cluster, start } = await clocks(undefined, lifetime)
    for (const [n, one] of all.entries()) for (const other of all.slice(n + 1)) await joined(one.network, other.network)
    // who is ten years ahead judges by no clock once the admin has spoken to it
    await until(() => all.every((one) => one.cluster.certificates.expired().length === 0))
    for (const one of all) for (const other of all) if (one !== other) await trip(one, other)

    for (const time of times.slice(1)) time.now = start - 20_000 * HOUR
    const gone = newIdentity()
    cluster.admit({ peer: gone.id, name: '', role: 'member', site: '' })
    cluster.revoke(gone.id, 'lost')
    await until(() => all.every((one) => one.cluster.head.hash === cluster.head.hash))
    expect(all.every((one) => one.cluster.membership.isRemoved(gone.id))).toBe(true)
    for (const one of all.slice(1)) await trip(one, all[0]!)
    expect(all.map((one) => connectedIds(one.network).length)).toEqual(all.map(() => all.length - 1))
  })

  test('join whatever theirs says; only the clock of who made the invite ends it, and the refusal says what that clock says', async () => {
    const made = members(1)
    const start = made.time.now
    const folder = await mkdtemp(join(tmpdir(), 'weft-clocks-'))
    const invites = openInviteBook(join(folder, 'invites.sqlite'), random)
    cleanups.push(async () => {
      invites.close()
      await rm(folder, { recursive: true })
    })
    const admin = await run(made.cluster, made.founder, { invites, wall: () => made.time.now })
    const other = await run(made.copy(0), made.others[0]!, { bootstrap: [admin.address] })
    cleanups.push(
      () => admin.stop(),
      () => other.stop(),
    )
    await joined(admin.network, other.network)
    const init = { role: 'member', site: '', expires: start + HOUR, uses: 10, approve: false } as const
    const { invite, secret } = invites.create(init, start)
    const token = { cluster: made.cluster.id, invite: invite.id, secret, addresses: [admin.address] }
    const come = (skew: number): ReturnType<typeof enrol> => {
      const clock = { ...systemClock(), wall: () => start + skew }
      return enrol({ identity: newIdentity(), random, clock }, { token, name: '' })
    }
    for (const skew of Object.values(SKEWS)) expect((await come(skew)).ahead + skew).toBe(0)
    // Set back, the clock of the admin refuses nobody either.
    made.time.now = start - 2 * HOUR
    expect((await come(0)).ahead).toBe(-2 * HOUR)
    for (const jump of [2 * HOUR, 87_600 * HOUR]) {
      made.time.now = start + jump
      const clock = new Date(made.time.now).toISOString()
      await expect(come(0)).rejects.toMatchObject({
        code: 'WEFT-TRU-152',
        why: expect.stringContaining(`says ${clock}`) as string,
      })
      // and those who are in are in
      await trip(other, admin)
    }
    made.time.now = start
    expect((await come(0)).admin).toBe(admin.identity.id)
    expect(made.cluster.view().members).toHaveLength(2 + Object.keys(SKEWS).length + 2)
  })

  test('with a max-age refuse only what the wrong ones cannot judge, name the clock, and come back when it is right', async () => {
    const { all, times, cluster, start } = await clocks(HOUR)
    const [admin, right, ahead] = all as [Running, Running, Running]
    await joined(admin.network, right.network)
    cluster.renewBeat()
    expect(right.cluster.membership.admits(admin.identity.id, 'compute')).toBe(true)
    expect(ahead.cluster.membership.admits(admin.identity.id, 'compute')).toBe(false)
    // not even that one is locked out: it asks for news, and who is right goes on
    expect(ahead.cluster.membership.admits(admin.identity.id, 'connect')).toBe(true)
    await trip(admin, right)
    const heard = cluster.beat()
    expect(heard?.by).toBe(admin.identity.id)
    ahead.cluster.hearBeat(heard!, admin.identity.id)
    expect(ahead.cluster.clocksApart()).toMatchObject({ admin: admin.identity.id, ahead_ms: -2 * HOUR })
    times[2]!.now = start
    ahead.cluster.hearBeat(heard!, admin.identity.id)
    expect(ahead.cluster.clocksApart()).toBeUndefined()
    expect(ahead.cluster.membership.admits(admin.identity.id, 'compute')).toBe(true)
  })
})
