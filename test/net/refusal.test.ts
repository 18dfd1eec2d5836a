import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import {
  BadAddressError,
  frame,
  IncompatibleVersionError,
  NotAdmittedError,
  OtherNetworkError,
  OwnIdentityError,
  PeerUnreachableError,
  PendingApprovalError,
  PortInUseError,
  RemovedPeerError,
} from '../../src/net/index.ts'
import type { Network } from '../../src/net/index.ts'
import { createRefusalBook, JUST_JOINED_MS } from '../../src/net/refusals.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import { connectedIds, joined, networkPool, until, openMembership } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
const codes = (one: Network): string[] => one.refusals().map((refusal) => refusal.code)
const address = (one: Network): string => one.addresses()[0]!

describe('what was seen and not joined', () => {
  test('a peer with another network key is listed on both sides, one with the right key joins', async () => {
    const a = await pool.add({ networkKey: key(1) })
    const wrong = await pool.add({ networkKey: key(2), bootstrap: [address(a)] })
    const none = await pool.add({ bootstrap: [address(a)] })
    for (const one of [wrong, none]) {
      await until(() => codes(one).includes(OtherNetworkError.info.code))
      expect(one.refusals()[0]).toMatchObject({ id: a.id, code: 'WEFT-DSC-001' })
      expect(one.refusals()[0]!.hint).toContain('--network-key')
    }
    await until(() => codes(a).includes(OtherNetworkError.info.code))
    expect(a.refusals().find((one) => one.code === 'WEFT-DSC-001')!.address).toContain('/ip4/127.0.0.1')
    // After them: of a host that has just joined, a handshake that failed is told for its own end alone (below, by a virtual clock).
    const right = await pool.add({ networkKey: key(1), networkName: 'called otherwise', bootstrap: [address(a)] })
    await joined(a, right)
    expect(connectedIds(a)).toEqual([right.id])
  })

  test('open meshes of different names are different networks', async () => {
    const a = await pool.add({ networkName: 'one' })
    const b = await pool.add({ networkName: 'two', bootstrap: [address(a)] })
    await until(() => codes(b).includes('WEFT-DSC-001') && codes(a).includes('WEFT-DSC-001'))
    expect(connectedIds(b)).toEqual([])
  })

  test('versions without an overlap are refused on both sides, this one and the one before are spoken', async () => {
    const a = await pool.add({ protocolVersions: { min: 1, max: 2 } })
    const before = await pool.add({ protocolVersions: { min: 1, max: 1 }, bootstrap: [address(a)] })
    const next = await pool.add({ protocolVersions: { min: 2, max: 3 }, bootstrap: [address(a)] })
    const far = await pool.add({ protocolVersions: { min: 3, max: 4 }, bootstrap: [address(a)] })
    await joined(a, before)
    await joined(a, next)
    expect(before.connected()[0]!.protocol).toBe(1)
    expect(next.connected()[0]!.protocol).toBe(2)
    await until(() => codes(far).includes(IncompatibleVersionError.info.code))
    await until(() => a.refusals().some((one) => one.id === far.id))
    expect(a.refusals().find((one) => one.id === far.id)!.why).toContain('3 to 4')
    expect(far.refusals()[0]!.why).toContain('1 to 2')
  })

  test('our own identity on another machine is told on both sides', async () => {
    const identity = newIdentity()
    const a = await pool.add({ identity })
    const plain = address(a).replace(/\/p2p\/.*/, '')
    const b = await pool.add({ identity, bootstrap: [plain] })
    for (const one of [a, b]) {
      await until(() => codes(one).includes(OwnIdentityError.info.code))
      expect(one.refusals()[0]!.id).toBe(identity.id)
    }
  })

  test('an identity that a third peer already talks to is refused there, and told why', async () => {
    const identity = newIdentity()
    const third = await pool.add()
    const first = await pool.add({ identity, bootstrap: [address(third)] })
    await joined(third, first)
    const copy = await pool.add({ identity, bootstrap: [address(third)] })
    await until(() => codes(copy).includes(OwnIdentityError.info.code))
    await until(() => codes(third).includes(OwnIdentityError.info.code))
    expect(third.connected()).toHaveLength(1)
    expect(connectedIds(first)).toEqual([third.id])
  })

  test('reaching ourselves is no news', async () => {
    const a = await pool.add()
    a.keep(address(a).replace(/\/p2p\/.*/, ''))
    a.keep(address(a))
    const b = await pool.add({ bootstrap: [address(a)] })
    await joined(a, b)
    expect(codes(a).filter((code) => code !== PeerUnreachableError.info.code)).toEqual([])
  })

  test('a peer that nobody answers for is listed with its address, attempts and next try', async () => {
    const a = await pool.add({ bootstrap: ['/ip4/127.0.0.1/tcp/9'] })
    await until(() => a.refusals().some((one) => one.why.includes('2 times')))
    expect(a.refusals()[0]).toMatchObject({ code: 'WEFT-DSC-006', address: '/ip4/127.0.0.1/tcp/9' })
    expect(a.refusals()[0]!.why).toMatch(/next try in \d+ s/)
    expect(a.refusals()).toHaveLength(1)
  })

  test('something that is no weft at all is told from nobody', async () => {
    const server = createServer((socket) => socket.end('220 mail ready\r\n'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const a = await pool.add({ bootstrap: [`/ip4/127.0.0.1/tcp/${port}`] })
    await until(() => a.refusals().length > 0)
    expect(a.refusals()[0]!.code).toMatch(/^WEFT-DSC-/)
    server.close()
  })

  test('whom the membership does not admit is refused, and told so', async () => {
    const stranger = newIdentity()
    const a = await pool.add({ membership: { ...openMembership, epoch: 3, admits: (peer) => peer !== stranger.id } })
    const b = await pool.add({ identity: stranger, bootstrap: [address(a)] })
    await until(() => codes(b).includes(NotAdmittedError.info.code) && codes(a).includes(NotAdmittedError.info.code))
    expect(connectedIds(a)).toEqual([])
    await expect(a.open(b.id, '/test/1')).rejects.toBeInstanceOf(PeerUnreachableError)
  })

  test('whom a policy keeps out is told that, and not by which rule, whoever dials; who refuses sees the rule', async () => {
    const rule = 'no-guests-at-night'
    const guest = newIdentity()
    const membership = {
      ...openMembership,
      admits: (peer: string) => peer !== guest.id,
      keptOutBy: (peer: string) => (peer === guest.id ? rule : undefined),
    }
    const a = await pool.add({ membership })
    const b = await pool.add({ identity: guest, bootstrap: [address(a)] })
    await until(() => codes(b).includes('WEFT-DSC-013') && codes(a).includes('WEFT-DSC-013'))
    expect(a.refusals()).toMatchObject([{ id: b.id, why: expect.stringContaining(`rule ${rule}`) as string }])
    expect(JSON.stringify(b.refusals())).not.toContain(rule)
    expect(b.refusals()[0]).toMatchObject({ hint: expect.stringContaining('weft policy explain') as string })
    // the other way round: the one that refuses dials
    const c = await pool.add({ identity: newIdentity(), membership })
    await b.stop()
    const again = await pool.add({ identity: guest })
    c.keep(address(again))
    await until(() => codes(again).includes('WEFT-DSC-013') && codes(c).includes('WEFT-DSC-013'))
    expect(JSON.stringify(again.refusals())).not.toContain(rule)
  })

  test('a purpose that the membership does not admit ends the channel, and the peer stays', async () => {
    const a = await pool.add({
      membership: { ...openMembership, epoch: 0, admits: (_peer, purpose) => purpose !== 'compute' },
    })
    const b = await pool.add({ bootstrap: [address(a)] })
    let served = 0
    a.handle('/test/compute/1', 'compute', () => served++)
    a.handle('/test/fetch/1', 'fetch', () => served++)
    await joined(a, b)
    const refused = await b.open(a.id, '/test/compute/1')
    await refused.send(frame({ type: 1 })).catch(() => undefined)
    expect(await refused.closed).toBeInstanceOf(Error)
    const fine = await b.open(a.id, '/test/fetch/1')
    await until(() => served === 1)
    await fine.close()
    expect(connectedIds(b)).toEqual([a.id])
  })

  test('entries are dropped once the peer has joined', async () => {
    const identity = newIdentity()
    const first = await pool.add({ identity, networkKey: key(9) })
    const listen = [address(first).replace(/\/p2p\/.*/, '')]
    const b = await pool.add({ networkKey: key(1), bootstrap: [address(first)] })
    await until(() => codes(b).includes('WEFT-DSC-001'))
    await first.stop()
    const again = await pool.add({ identity, networkKey: key(1), listen })
    await joined(b, again)
    expect(b.refusals()).toEqual([])
  })
})

describe('lan confirm', () => {
  test('a newcomer waits until a person has decided, and then joins at once', async () => {
    const seen: string[] = []
    const a = await pool.add({ lan: 'confirm', events: { pending: (peer, name) => seen.push(`${peer} ${name}`) } })
    const b = await pool.add({ name: 'newcomer', bootstrap: [address(a)] })
    await until(() => codes(b).includes(PendingApprovalError.info.code))
    await until(() => seen.length > 0)
    expect(seen).toEqual([`${b.id} newcomer`])
    expect(codes(a)).toEqual([PendingApprovalError.info.code])
    await expect(b.open(a.id, '/test/1', AbortSignal.timeout(300))).rejects.toThrow()
    expect(connectedIds(a)).toEqual([])
    a.decide(b.id, true)
    await joined(a, b)
    expect(codes(a)).toEqual([])
    expect(codes(b)).toEqual([])
  })

  test('one that is turned away is told, and stays out at its next try', async () => {
    const a = await pool.add({ lan: 'confirm' })
    const b = await pool.add({ bootstrap: [address(a)] })
    await until(() => codes(a).includes(PendingApprovalError.info.code))
    a.decide(b.id, false)
    await until(() => codes(b).includes(NotAdmittedError.info.code))
    await until(() => codes(a).includes(NotAdmittedError.info.code))
    expect(connectedIds(b)).toEqual([])
    a.decide(b.id, true)
    await joined(a, b)
  })

  test('whoever was approved before, or is dialled by name, does not wait', async () => {
    const friend = newIdentity()
    const a = await pool.add({ lan: 'confirm', approved: [friend.id] })
    const b = await pool.add({ identity: friend, lan: 'confirm', bootstrap: [address(a)] })
    await joined(a, b)
    const c = await pool.add()
    a.keep(address(c).replace(/\/p2p\/.*/, ''))
    await joined(a, c)
  })

  test('both sides may ask', async () => {
    const a = await pool.add({ lan: 'confirm' })
    const b = await pool.add({ lan: 'confirm', knownPeers: [{ id: a.id, addresses: a.addresses() }] })
    await until(() => codes(a).includes(PendingApprovalError.info.code))
    await until(() => codes(b).includes(PendingApprovalError.info.code))
    // each side says what is to be done on its own, and once that is done, on the other
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const)
      expect(one.refusals()[0]!.hint).toContain(`weft peers approve ${other.id}`)
    b.decide(a.id, true)
    await until(() => b.refusals()[0]?.hint.includes('approve, there') === true)
    a.decide(b.id, true)
    await joined(a, b)
    expect([...codes(a), ...codes(b)]).toEqual([])
  })

  test('a newcomer is on show for as long as it waits, however long that is', async () => {
    const real = systemClock()
    let ahead = 0
    const timers = new Set<{ readonly at: number; readonly action: () => void }>()
    // Long timers wait for the jump; the short ones of the greeting are real.
    const clock: Clock = {
      ...real,
      now: () => real.now() + ahead,
      after: (ms, action) => {
        if (ms < 60_000) return real.after(ms, action)
        const timer = { at: real.now() + ahead + ms, action }
        timers.add(timer)
        return () => void timers.delete(timer)
      },
    }
    const jump = (ms: number): void => {
      ahead += ms
      for (const timer of timers) if (timer.at <= clock.now() && timers.delete(timer)) timer.action()
    }
    const a = await pool.add({ lan: 'confirm', clock })
    const b = await pool.add({ bootstrap: [address(a)] })
    await until(() => codes(a).includes(PendingApprovalError.info.code))
    for (let minutes = 0; minutes < 60; minutes += 6) jump(6 * 60_000)
    expect(a.refusals()).toMatchObject([{ id: b.id, code: 'WEFT-DSC-005' }])
    a.decide(b.id, true)
    await joined(a, b)
  })
})

describe('the book of refusals', () => {
  const from = (port: number): { id: null; address: string } => ({ id: null, address: `/ip4/192.0.2.7/tcp/${port}` })
  const other = new OtherNetworkError('/ip4/192.0.2.7/tcp/41000')
  const joins = '/ip4/192.0.2.7/tcp/7334'

  test('a handshake that was given up is not told of a host whose peer joins before or after', async () => {
    const clock = virtualClock()
    const told: string[] = []
    const book = createRefusalBook({ clock, tell: ({ address }) => told.push(address ?? '') })
    expect(book.add(from(41_000), other)).toBe(true)
    book.forget('a', [joins])
    expect(book.list()).toEqual([])
    expect(book.add(from(41_001), other)).toBe(false)
    expect(book.list()).toEqual([])
    expect(told).toHaveLength(1)
  })

  test('a peer that comes again is told of as news once, and each time as an attempt', () => {
    const [news, again]: [string[], string[]] = [[], []]
    const note =
      (all: string[]) =>
      ({ id }: { id: string | null }): void =>
        void all.push(id ?? '')
    const book = createRefusalBook({ clock: virtualClock(), tell: note(news), again: note(again) })
    for (let time = 0; time < 5; time++) book.add({ id: 'b', address: joins }, new RemovedPeerError('b'))
    book.add({ id: 'b', address: joins }, other)
    expect([news, again]).toEqual([
      ['b', 'b'],
      ['b', 'b', 'b', 'b'],
    ])
    expect(book.list()).toHaveLength(1)
  })

  test('another peer of that host with another key is listed at its next try, and other hosts at once', async () => {
    const clock = virtualClock()
    const book = createRefusalBook({ clock, tell: () => undefined })
    book.forget('a', [joins])
    expect(book.add({ id: null, address: '/ip4/192.0.2.8/tcp/41000' }, other)).toBe(true)
    expect(book.add({ id: 'b', address: joins }, other)).toBe(true)
    await clock.advance(JUST_JOINED_MS + 1)
    expect(book.add(from(41_002), other)).toBe(true)
    expect(book.list()).toHaveLength(3)
  })
})

describe('listening', () => {
  test('a port that is in use is a coded error when it was named, and no trouble when it was not', async () => {
    const a = await pool.add()
    const taken = address(a).replace(/\/p2p\/.*/, '')
    await expect(pool.add({ listen: [taken] })).rejects.toBeInstanceOf(PortInUseError)
    const [b, c] = [await pool.add({ listen: [] }), await pool.add({ listen: [] })]
    const port = (one: Network): string => /tcp\/(\d+)/.exec(address(one))![1]!
    expect(port(b)).not.toBe(port(c))
    expect(Number(port(c))).toBeGreaterThan(0)
  })

  test('an address that is none is told before anything starts', async () => {
    await expect(pool.add({ listen: ['127.0.0.1:80'] })).rejects.toBeInstanceOf(BadAddressError)
    await expect(pool.add({ bootstrap: ['/ip4/300.1.1.1/tcp/1'] })).rejects.toBeInstanceOf(BadAddressError)
    const a = await pool.add()
    for (const bad of ['', '/ip4/1.2.3.4/udp/5', '/ip4/1.2.3.4/tcp/70000', `/dns4/${'x'.repeat(300)}/tcp/1`])
      expect(() => a.keep(bad)).toThrow(BadAddressError)
  })
})
