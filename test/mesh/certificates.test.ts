/** Certificates between members over real connections: carried by whoever has them, shown in greetings, and what ends without them. */
import { afterEach, describe, expect, test } from 'vitest'
import { frame } from '../../src/net/index.ts'
import { composeCertificates, makeCertificate, newIdentity } from '../../src/trust/index.ts'
import type { Cluster, Identity } from '../../src/trust/index.ts'
import { connectedIds, joined, until } from '../net/helpers.ts'
import { entryFrames } from '../../src/mesh/membership/entry-frames.ts'
import { MEMBERSHIP_PROTOCOL, NEWS } from '../../src/mesh/membership/wire.ts'
import { copyFor } from '../trust/support/cluster.ts'
import { ECHO, members, run } from './support/members.ts'
import type { RunInit, Running } from './support/members.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const running: Running[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()))
})
async function up(cluster: Cluster, identity: Identity, init: RunInit = {}): Promise<Running> {
  const one = await run(cluster, identity, init)
  running.push(one)
  return one
}
const meet = async (one: Running, other: Running): Promise<void> => {
  one.network.keep(other.address)
  await joined(one.network, other.network)
}
const works = ({ cluster }: Running, other: Running): boolean => cluster.membership.admits(other.identity.id, 'compute')

/** A cluster that asks for certificates of a day, two days later: nobody has one that is good. */
function twoDaysOn(count: number): ReturnType<typeof members> {
  const made = members(count)
  made.cluster.commit(composeCertificates(made.cluster.needs, made.cluster.log.state, DAY))
  made.time.now += 2 * DAY
  return made
}

describe('certificates', () => {
  test('come to a member that never meets an admin, from one that does, and are passed on once', async () => {
    const { cluster, founder, others, copy } = twoDaysOn(2)
    const [middle, far] = [await up(copy(0), others[0]!), await up(copy(1), others[1]!, { listen: null })]
    await meet(far, middle)
    expect([works(far, middle), works(middle, far)]).toEqual([false, false])
    expect(connectedIds(far.network)).toEqual([others[0]!.id])
    const admin = await up(cluster, founder)
    await meet(admin, middle)
    await until(() => works(far, middle) && works(middle, far) && works(far, admin))
    await until(() => far.counted['certificates_taken'] === 3)
    expect([admin.counted['certificates_renewed'], far.cluster.certificates.renew()]).toEqual([3, []])
    expect(connectedIds(far.network)).toEqual([others[0]!.id])
  })

  test('are shown in greetings: one that has none of another member hears it from that one, and no admin is up', async () => {
    const { cluster, others, copy, time } = twoDaysOn(2)
    const mine = cluster.certificates.renew()
    const [with_, without] = [copy(0), copy(1)]
    for (const { bytes, body } of mine)
      if (body.peer === others[0]!.id) expect(with_.certificates.hear(bytes)).toBe('news')
    const [shows, sees] = [await up(with_, others[0]!), await up(without, others[1]!)]
    // its channel of the membership stays shut: the greeting alone has told it
    await meet(shows, sees)
    await until(() => works(sees, shows))
    expect([works(shows, sees), sees.cluster.certificates.standing(others[0]!.id)]).toMatchObject([
      false,
      { by: cluster.self, until: time.now + DAY },
    ])
  })

  test('that are over end what is under way, but news; an admin that comes back mends it', async () => {
    const { cluster, founder, others, copy, time } = twoDaysOn(2)
    const admin = await up(cluster, founder)
    const [a, b] = [await up(copy(0), others[0]!), await up(copy(1), others[1]!)]
    for (const [one, other] of [
      [a, admin],
      [b, admin],
      [a, b],
    ] as const)
      await meet(one, other)
    await until(() => works(a, b) && works(b, a))
    const channel = await a.network.open(b.identity.id, ECHO)
    await admin.stop()
    running.splice(running.indexOf(admin), 1)
    time.now += DAY + HOUR
    // what is believed changes also when nothing comes: it is looked at with each heart-beat
    await until(() => !works(a, b))
    await channel.closed
    const refused = await a.network.open(b.identity.id, ECHO).catch((error: Error) => error)
    if (!(refused instanceof Error)) expect(await refused.closed).toBeInstanceOf(Error)
    expect(connectedIds(a.network)).toEqual([b.identity.id])
    const again = await up(copyFor(cluster, founder, time), founder)
    await meet(a, again)
    await until(() => works(a, b) && works(b, a))
    const other = await a.network.open(b.identity.id, ECHO)
    await other.close()
  })

  test('that are none end the channel they came by; one that does not hold is counted and kept from others', async () => {
    const { cluster, founder, others, copy, time } = twoDaysOn(2)
    const [a, b] = [await up(copy(0), others[0]!), await up(copy(1), others[1]!)]
    await meet(a, b)
    const [small, large] = a.identity.id < b.identity.id ? [a, b] : [b, a]
    const body = {
      ...cluster.certificates.renew()[0]!.body,
      peer: small.identity.id,
      from: time.now,
      until: time.now + HOUR,
    }
    const send = async (bytes: Uint8Array): Promise<unknown> => {
      const channel = await small.network.open(large.identity.id, MEMBERSHIP_PROTOCOL)
      for (const one of entryFrames(NEWS.certificates, [bytes])) await channel.send(one)
      return channel
    }
    // by a member, and by an admin that this side does not know as one
    await send(makeCertificate({ ...body, by: small.identity.id }, small.identity).bytes)
    await until(() => (large.counted['certificates_refused'] ?? 0) >= 1)
    const stranger = newIdentity()
    await send(makeCertificate({ ...body, by: stranger.id }, stranger).bytes)
    await until(() => (large.counted['certificates_refused'] ?? 0) >= 2)
    expect(works(large, small)).toBe(false)
    const forged = await small.network.open(large.identity.id, MEMBERSHIP_PROTOCOL)
    const one = makeCertificate({ ...body, by: founder.id }, small.identity)
    for (const part of entryFrames(NEWS.certificates, [one.bytes])) await forged.send(part)
    expect(await forged.closed).toBeInstanceOf(Error)
    // of a later version: nothing happens
    const later = await small.network.open(large.identity.id, MEMBERSHIP_PROTOCOL)
    await later.send(frame({ type: 99 }))
    expect(works(large, small)).toBe(false)
  })
})
