/**
 * A member and a holder of an invite with programs of their own, that say to an admin what no weft says: entries with a bit
 * turned, out of order, of another cluster, lists of giant counts, maps a thousand deep, words of one conversation in another.
 * Nothing of it changes the log, the members or an invite; what is right beside it is taken.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ENROL, ENROL_PROTOCOL, enrolFrame, enrolMac } from '../../src/mesh/membership/enrol-wire.ts'
import { entryFrames } from '../../src/mesh/membership/entry-frames.ts'
import { MEMBERSHIP_PROTOCOL, NEWS } from '../../src/mesh/membership/wire.ts'
import { DTYPE, encodeControl, frame } from '../../src/net/index.ts'
import type { Channel, Frame } from '../../src/net/index.ts'
import { composeRotate, makeEntry, openInviteBook, secretHash, signBody } from '../../src/trust/index.ts'
import type { Cluster, Entry, InviteBook } from '../../src/trust/index.ts'
import { joined, until } from '../net/helpers.ts'
import { all, copyFor, found, random } from '../trust/support/cluster.ts'
import type { Founded } from '../trust/support/cluster.ts'
import { ECHO, members, run } from './support/members.ts'
import type { Running } from './support/members.ts'

/** For each of what is said; the admin has more to do with most of it than its sender. */
const LISTEN_MS = 40
const CASES = 160

let folder: string
let invites: InviteBook
let mesh: Founded & ReturnType<typeof members>
let [admin, hostile, honest]: Running[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-fuzz-'))
  invites = openInviteBook(join(folder, 'invites.sqlite'), random)
  mesh = members(2)
  admin = await run(mesh.cluster, mesh.founder, { invites, wall: () => mesh.time.now })
  ;[hostile, honest] = await Promise.all(mesh.others.map((identity, n) => run(mesh.copy(n), identity)))
  for (const one of [hostile!, honest!]) one.network.keep(admin.address)
  await joined(admin.network, hostile!.network)
  await joined(admin.network, honest!.network)
})
afterEach(async () => {
  for (const one of [admin, hostile, honest]) await one?.stop()
  invites.close()
  await rm(folder, { recursive: true, force: true })
})

/** The same cases each time; another seed tries others. */
function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Over a channel of its own, which the admin ends or `LISTEN_MS` does. */
async function say(protocol: string, frames: readonly Frame[], isEnded = false): Promise<void> {
  const channel: Channel = await hostile!.network.open(admin!.network.id, protocol)
  channel.onFrame(() => undefined)
  for (const one of frames) await channel.send(one).catch(() => undefined)
  const late = new Promise((resolve) => setTimeout(resolve, LISTEN_MS))
  await (isEnded ? channel.closed : Promise.race([channel.closed, late]))
  await channel.close().catch(() => undefined)
}

const control = (type: number, value: unknown): Frame => frame({ type, control: encodeControl(value) })
const raw = (type: number, bytes: Uint8Array): Frame => frame({ type, control: bytes })
const pushed = (...entries: readonly Uint8Array[]): Frame[] => entryFrames(NEWS.removed, entries)

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[bit >> 3]! ^= 1 << (bit & 7)
  return changed
}

/** What this admin would say next, made where it has not said it. */
function nextEntries(count: number): Entry[] {
  const elsewhere = copyFor(mesh.cluster, mesh.founder, mesh.time)
  return Array.from({ length: count }, () =>
    elsewhere.commit(composeRotate({ random, wall: () => mesh.time.now }, elsewhere.log.state)),
  )
}

interface State {
  readonly head: Cluster['head']
  readonly members: readonly string[]
}
const stateOf = (): State => ({
  head: mesh.cluster.head,
  members: mesh.cluster.view().members.map(({ peer }) => peer),
})

/** The honest member is served all the while, and hears what is new. */
async function goesOn(): Promise<void> {
  const channel = await honest!.network.open(admin!.network.id, ECHO)
  const answer = new Promise<Frame>((resolve) => channel.onFrame(resolve))
  await channel.send(frame({ type: 9 }))
  expect((await answer).flags).toBe(7)
  await channel.close()
  const { hash } = mesh.cluster.commit(composeRotate({ random, wall: () => mesh.time.now }, mesh.cluster.log.state))
  await until(() => honest!.cluster.head.hash === hash)
}

describe('an admin that is told nonsense by a member', () => {
  it('takes no entry with a turned bit, out of order, twice, or of another cluster, and takes the right one', async () => {
    const before = stateOf()
    const [first, second] = nextEntries(2) as [Entry, Entry]
    const roll = dice(7)
    for (let n = 0; n < CASES; n++)
      await say(MEMBERSHIP_PROTOCOL, pushed(flipped(first.bytes, roll(first.bytes.length * 8))))
    const other = found({ k: 1, n: 1 }, 'other')
    other.cluster.admit({ peer: mesh.others[0]!.id, name: 'x', role: 'admin', site: '' })
    const bodies = [
      pushed(second.bytes),
      pushed(second.bytes, first.bytes),
      pushed(first.bytes.subarray(0, -1)),
      pushed(Buffer.concat([first.bytes, first.bytes])),
      pushed(...all(other.cluster)),
      pushed(...all(other.cluster, 1)),
      // signed by a member that is no admin
      pushed(makeEntry(first.body, [signBody(first.body, mesh.others[0]!)]).bytes),
      pushed(Buffer.from(`{"body":${'['.repeat(200_000)}`)),
      pushed(Buffer.alloc(1 << 20, 0x20)),
    ]
    for (const frames of bodies) await say(MEMBERSHIP_PROTOCOL, frames)
    // an old log is no news
    await say(MEMBERSHIP_PROTOCOL, pushed(...all(mesh.cluster).slice(0, 2)))
    expect(stateOf()).toEqual(before)
    // The control: the same entries as they were made, in their order.
    await say(MEMBERSHIP_PROTOCOL, pushed(first.bytes, second.bytes))
    await until(() => mesh.cluster.head.hash === second.hash)
    await goesOn()
  }, 120_000)

  it('ends the channel for lists that lie about their lengths and maps that are too deep, and remembers nothing of them', async () => {
    const before = stateOf()
    const [first] = nextEntries(1) as [Entry]
    const payload = Buffer.from(first.bytes)
    const sized = (sizes: readonly number[], last: unknown = true): Frame =>
      frame({
        type: NEWS.removed,
        dtype: DTYPE.bytes,
        dims: [payload.length],
        payload,
        control: encodeControl({ sizes, last }),
      })
    const hash = 'ab'.repeat(32)
    const malformed: Frame[] = [
      sized([payload.length + 1]),
      sized([payload.length - 1]),
      sized([2 ** 53 - 1, 1 - 2 ** 53 + payload.length]),
      sized([0, payload.length]),
      sized(Array.from({ length: 2_001 }, () => 1)),
      sized([payload.length], 'yes'),
      sized([Number.NaN]),
      raw(NEWS.removed, Buffer.alloc(100_000, 0x91)),
      raw(
        NEWS.ask,
        Buffer.concat([Buffer.from([0x81, 0xa5]), Buffer.from('heads'), Buffer.from([0xdd, 255, 255, 255, 255])]),
      ),
      raw(NEWS.ask, Buffer.concat([Buffer.alloc(1_100 * 3, Buffer.from([0xdc, 0, 1])), Buffer.from([0xc0])])),
      control(NEWS.ask, { heads: Array.from({ length: 65 }, (_, height) => [height, hash]) }),
      control(NEWS.ask, { heads: [[-1, hash]] }),
      control(NEWS.ask, { heads: [[2 ** 53, hash]] }),
      control(NEWS.ask, { heads: [[0, 'x']] }),
      control(NEWS.head, { height: 1.5, hash }),
      control(NEWS.lacking, { peers: Array.from({ length: 257 }, () => 'x') }),
      control(NEWS.certificates, { sizes: [], last: true, more: 1 }),
      control(NEWS.leave, { reason: 'x'.repeat(10_000) }),
      control(NEWS.heads, { heads: [] }),
      control(NEWS.entries, { sizes: [], last: true }),
      raw(NEWS.leave, Buffer.from([0xc1])),
    ]
    for (const one of malformed) await say(MEMBERSHIP_PROTOCOL, [one], true)
    expect(stateOf()).toEqual(before)
    // The control: what is well-formed is answered.
    const channel = await hostile!.network.open(admin!.network.id, MEMBERSHIP_PROTOCOL)
    const answer = new Promise<Frame>((resolve) =>
      channel.onFrame((got) => (got.type === NEWS.entries ? resolve(got) : undefined)),
    )
    await channel.send(control(NEWS.ask, { heads: [[0, mesh.cluster.id]] }))
    expect((await answer).payload.length).toBeGreaterThan(0)
    await channel.close()
    await goesOn()
  }, 120_000)

  it('stays as it is whatever messages come in whatever order', async () => {
    const before = stateOf()
    const [first] = nextEntries(1) as [Entry]
    const roll = dice(11)
    const values: readonly unknown[] = [
      null,
      {},
      [],
      0,
      -1,
      'x',
      true,
      { heads: [] },
      { height: 0, hash: mesh.cluster.id },
    ]
    const nonsense = (): Frame => {
      const type = roll(256)
      const kind = roll(4)
      if (kind === 0) return raw(type, random.bytes(roll(2_000)))
      if (kind === 1) return control(type, values[roll(values.length)])
      const [entries] = pushed(flipped(first.bytes, roll(first.bytes.length * 8)))
      // A farewell is no nonsense: the one that says it is out then.
      return { ...entries!, type: type === NEWS.leave ? NEWS.entries : type }
    }
    for (let n = 0; n < CASES; n++)
      await say(
        MEMBERSHIP_PROTOCOL,
        Array.from({ length: 1 + roll(4) }, nonsense).filter(({ type }) => type !== NEWS.leave),
      )
    expect(stateOf()).toEqual(before)
    await goesOn()
  }, 120_000)
})

describe('an invite in hands with a program of their own', () => {
  it('is not used by words that are not whole, not in their order, or were said by another, and is good afterwards', async () => {
    const day = 86_400_000
    const own = { role: 'member', site: '', uses: 1, approve: false, expires: mesh.time.now + day } as const
    const { invite, secret } = invites.create(own, mesh.time.now)
    const key = secretHash(secret)
    const names = (joiner: string, nonce: Uint8Array, cluster = mesh.cluster.id): Parameters<typeof enrolMac>[2] => ({
      cluster,
      admin: mesh.cluster.self,
      joiner,
      nonce,
    })
    const self = hostile!.network.id
    const ask = (mac: Uint8Array, nonce: Uint8Array): Frame => enrolFrame('ask', { invite: invite.id, nonce, mac })
    const nonce = random.bytes(32)
    const right = enrolMac(key, 'joiner', names(self, nonce))
    const handIn = enrolFrame('handIn', { secret, name: 'x' })
    const wrong: Frame[][] = [
      // The secret without having shown to hold it, and before.
      [handIn],
      [handIn, ask(right, nonce)],
      // What another has said, in another conversation, to another admin, of another cluster, as the other side says it.
      [ask(enrolMac(key, 'joiner', names(mesh.others[1]!.id, nonce)), nonce), handIn],
      [ask(right, random.bytes(32)), handIn],
      [ask(enrolMac(key, 'joiner', { ...names(self, nonce), admin: mesh.others[1]!.id }), nonce), handIn],
      [ask(enrolMac(key, 'joiner', names(self, nonce, 'ab'.repeat(32))), nonce), handIn],
      [ask(enrolMac(key, 'admin', names(self, nonce)), nonce), handIn],
      [raw(ENROL.ask, Buffer.alloc(100_000, 0x91))],
      [control(ENROL.ask, { invite: invite.id, nonce: random.bytes(31), mac: right })],
      [control(ENROL.ask, { invite: invite.id.toUpperCase(), nonce, mac: right })],
      [control(ENROL.ask, { invite: `${invite.id}' OR 1=1 --`, nonce, mac: right })],
      [control(ENROL.handIn, { secret: [...secret], name: 'x' })],
      [ask(right, nonce), control(ENROL.handIn, { secret, name: 'x'.repeat(65) })],
      [ask(right, nonce), ask(right, nonce)],
    ]
    for (let bit = 0; bit < 256; bit += 16) wrong.push([ask(flipped(right, bit), nonce), handIn])
    for (let bit = 0; bit < 128; bit += 16)
      wrong.push([ask(right, nonce), enrolFrame('handIn', { secret: flipped(secret, bit), name: 'x' })])
    const before = stateOf()
    for (const frames of wrong) {
      await say(ENROL_PROTOCOL, frames)
      expect(invites.list()).toMatchObject([{ left: 1, used_by: [] }])
    }
    expect(stateOf()).toEqual(before)
    // The control: the same invite, of somebody who is no member yet.
    expect(
      invites.redeem({ id: invite.id, peer: 'newcomer', standing: 'new', now: mesh.time.now, secret, name: '' }),
    ).toMatchObject({
      role: 'member',
      again: false,
    })
    await goesOn()
  }, 120_000)
})
