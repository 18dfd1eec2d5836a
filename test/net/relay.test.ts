/** Peers that cannot dial each other, over a third one: who may, how much, and how the direct way comes back. */
import { afterEach, describe, expect, test } from 'vitest'
import { GUEST_LIMITS, MEMBER_LIMITS } from '../../src/net/constants.ts'
import { decodeControl, DTYPE, frame, PeerUnreachableError } from '../../src/net/index.ts'
import type { Channel, Membership, Network, NetworkInit } from '../../src/net/index.ts'
import { connectedIds, joined, networkPool, openMembership, until } from './helpers.ts'
import type { TestInit } from './helpers.ts'
import { startProxy } from './proxy.ts'
import type { Proxy } from './proxy.ts'

const pool = networkPool()
const proxies: Proxy[] = []
afterEach(async () => {
  await pool.stopAll()
  await Promise.all(proxies.splice(0).map((proxy) => proxy.stop()))
})

const ECHO = '/test/echo/1'
const pathTimes = { headStart: 200, look: 100, patience: 300, firstReturn: 60, lastReturn: 200, quiet: 500 }
type Counted = Record<string, number>

/** Answers every frame; counts what it counts. */
async function peer(init: TestInit = {}): Promise<Network & { readonly counted: Counted }> {
  const counted: Counted = {}
  const count = (name: string, by = 1): void => void (counted[name] = (counted[name] ?? 0) + by)
  const one = await pool.add({ pathTimes, telemetry: { count, observe: () => undefined }, ...init })
  one.handle(ECHO, 'compute', (channel) => channel.onFrame((got) => channel.send({ ...got, flags: 7 })))
  return Object.assign(one, { counted })
}

/** One that only dials, joined with these relays. */
async function outgoing(relays: readonly Network[], init: TestInit = {}): ReturnType<typeof peer> {
  const one = await peer({ listen: null, bootstrap: relays.map(address), ...init })
  for (const relay of relays) await joined(one, relay)
  return one
}

/** One that others reach by this proxy alone. */
async function behind(proxy: Proxy, init: Partial<NetworkInit>): ReturnType<typeof peer> {
  const listen = [`/ip4/127.0.0.1/tcp/${await freePort()}`]
  proxy.target = Number(listen[0]!.split('/').at(-1))
  return peer({ listen, announce: [proxy.address], ...init })
}

async function freePort(): Promise<number> {
  const one = await startProxy()
  await one.stop()
  return Number(one.address.split('/').at(-1))
}

async function proxied(): Promise<Proxy> {
  const proxy = await startProxy()
  proxies.push(proxy)
  return proxy
}

const address = (one: Network): string => one.addresses()[0]!
const isRelayed = (one: Network, other: Network): boolean | undefined =>
  one.connected().find(({ id }) => id === other.id)?.relayed

async function trip(channel: Channel, bytes: number): Promise<void> {
  const answered = Promise.withResolvers<number>()
  channel.onFrame((got) => answered.resolve(got.payload.length + got.flags))
  void channel.closed.then((reason) => answered.reject(reason ?? new Error('closed')))
  const payload = new Uint8Array(bytes)
  const [got] = await Promise.all([
    answered.promise,
    channel.send(frame({ type: 3, request: bytes, dtype: DTYPE.bytes, dims: [bytes], payload })),
  ])
  expect(got).toBe(bytes + 7)
}

/** A channel that works; of two circuits that both sides have made at once, one goes again. */
async function working(from: Network, to: Network): Promise<Channel> {
  for (;;) {
    try {
      const channel = await from.open(to.id, ECHO)
      await trip(channel, 1_000)
      return channel
    } catch {
      await joined(from, to)
    }
  }
}

/** Why a peer cannot be reached. */
async function whyNot(from: Network, to: Network): Promise<string> {
  const error = await from.open(to.id, ECHO).then(
    () => expect.fail('it was reached'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(PeerUnreachableError)
  return String((error as PeerUnreachableError).why)
}

describe('two that only dial', () => {
  test('exchange frames of any size through a relay that both have dialled, and a second time', async () => {
    const r = await peer()
    const a = await outgoing([r])
    const b = await outgoing([r])
    await until(() => b.reach().circuits.length > 0)
    expect(b.reach()).toMatchObject({
      reachability: 'private',
      circuits: [`${address(r)}/p2p-circuit/p2p/${b.id}`],
    })
    a.keep(b.reach().circuits[0]!)
    await joined(a, b)
    for (const bytes of [1, 1_000_000]) await trip(await a.openLane(b.id, ECHO), bytes)
    await trip(await b.open(a.id, ECHO), 70_000)
    expect([isRelayed(a, b), isRelayed(b, a), isRelayed(a, r)]).toEqual([true, true, false])
    expect(r.reach().relaying).toEqual({ reservations: 2, circuits: 1 })
    expect(r.counted).toMatchObject({ relay_circuits: 1, relay_reservations: 2 })
    expect(r.counted['relay_bytes']).toBeGreaterThan(2_000_000)
    expect(a.counted).toMatchObject({ relayed_connections: 1, lanes_missed: 1 })
    await a.stop()
    await until(() => r.reach().relaying.circuits === 0 && r.reach().relaying.reservations === 1)
    // who knows nothing but this way dials the relay as well
    const c = await outgoing([], { bootstrap: b.reach().circuits })
    await joined(c, b)
    expect(connectedIds(c)).toContain(r.id)
  })

  test('find a common relay with no address at all, and another one when it dies', async () => {
    const relays = await Promise.all([peer(), peer(), peer()])
    const a = await outgoing(relays)
    const b = await outgoing(relays)
    await trip(await a.open(b.id, ECHO), 10)
    await until(() => b.reach().circuits.length === 2)
    // relays are asked one soon after the other: of two circuits one is ended again
    await until(() => relays.reduce((sum, relay) => sum + relay.reach().relaying.circuits, 0) === 1)
    const used = relays.findIndex((relay) => relay.reach().relaying.circuits === 1)
    const lost = new Promise<string>((resolve) => a.on({ disconnected: (who) => who === b.id && resolve(who) }))
    await relays[used]!.stop()
    await lost
    await working(a, b)
    // its place there is taken at the third
    await until(() => b.reach().circuits.length === 2)
    expect(b.reach().circuits.some((one) => one.includes(relays[used]!.id))).toBe(false)
  })
})

describe('a relay refuses', () => {
  test('everything when it is switched off, and says so', async () => {
    const r = await peer({ relay: 'off' })
    const [a, b] = [await outgoing([r]), await outgoing([r])]
    expect(await whyNot(a, b)).toContain('it is no relay')
    await until(() => (r.counted['relay_refused'] ?? 0) >= 3)
    expect(b.reach().circuits).toEqual([])
    expect(r.reach().relaying).toEqual({ reservations: 0, circuits: 0 })
  })

  test('whom its membership does not admit, at either end, and who the far end does not let in', async () => {
    const barred = new Set<string>()
    const membership: Membership = { ...openMembership, admits: (who, what) => what !== 'relay' || !barred.has(who) }
    const r = await peer({ membership })
    const [a, b] = [await outgoing([r]), await outgoing([r])]
    for (const one of [a, b]) {
      barred.add(one.id)
      expect(await whyNot(a, b)).toContain('not for this peer')
      barred.clear()
    }
    const closed = await outgoing([r], {
      membership: { ...openMembership, admits: (who) => who !== a.id },
    })
    expect(await whyNot(a, closed)).toContain('does not let this one in')
    expect(r.reach().relaying.circuits).toBe(0)
  })

  test('more than it may carry, and peers that it does not know', async () => {
    const r = await peer({ relayLimits: { reservations: 1, circuitsPerPeer: 1, bytes: 200_000 } })
    const [a, b, c] = [await outgoing([r]), await outgoing([r]), await outgoing([r])]
    await until(() => r.counted['relay_reservations'] === 1 && (r.counted['relay_refused'] ?? 0) >= 2)
    await trip(await a.open(b.id, ECHO), 10)
    expect(await whyNot(a, c)).toContain('too many circuits of one peer')
    const stranger = await peer()
    expect(await whyNot(a, stranger)).toContain('it is not connected to that peer')
    // the circuit ends with the bytes that it may have, and another takes its place
    await expect(trip(await a.open(b.id, ECHO), 250_000)).rejects.toThrow()
    await joined(a, b)
    await trip(await a.open(b.id, ECHO), 10)
    expect(r.counted['relay_circuits']).toBeGreaterThanOrEqual(2)
  })

  test('strangers in an open mesh sooner than members', async () => {
    const told = async (networkKey?: Uint8Array): Promise<unknown> => {
      const key = networkKey === undefined ? {} : { networkKey }
      const r = await peer(key)
      const channel = await (await outgoing([r], key)).open(r.id, '/weft/relay/1')
      const answer = new Promise((resolve) => channel.onFrame(({ control }) => resolve(decodeControl(control))))
      await channel.send(frame({ type: 1 }))
      return answer
    }
    expect(await told()).toEqual(GUEST_LIMITS)
    expect(await told(new Uint8Array(32).fill(1))).toEqual(MEMBER_LIMITS)
    expect(MEMBER_LIMITS.circuits).toBeGreaterThan(GUEST_LIMITS.circuits)
  })

  test('those of another network, who cannot even speak to it', async () => {
    const r = await peer({ networkKey: new Uint8Array(32).fill(1) })
    const stranger = await peer({ networkKey: new Uint8Array(32).fill(2), listen: null, bootstrap: [address(r)] })
    await until(() => stranger.refusals().length > 0)
    expect(stranger.refusals()[0]).toMatchObject({ code: 'WEFT-DSC-001' })
    expect(r.reach().relaying.reservations).toBe(0)
  })

  test('to hold what nobody reads: who sends is made to wait', async () => {
    const r = await peer()
    const [a, b] = [await outgoing([r]), await outgoing([r])]
    b.handle('/test/deaf/1', 'compute', (channel) => channel.onFrame(() => new Promise(() => undefined)))
    const channel = await a.open(b.id, '/test/deaf/1')
    const payload = new Uint8Array(1 << 20)
    let sent = 0
    const sending = (async () => {
      for (; sent < 64; sent++)
        await channel.send(frame({ type: 1, dtype: DTYPE.bytes, dims: [payload.length], payload }))
    })().catch(() => undefined)
    let before = -1
    while (r.counted['relay_bytes'] !== before) {
      before = r.counted['relay_bytes'] ?? 0
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    expect(sent).toBeLessThan(40)
    // other streams of the circuit go on
    await trip(await a.open(b.id, ECHO), 1_000)
    channel.abort(new Error('enough'))
    await sending
  })
})

describe('a direct way', () => {
  test.each([
    ['cut', 2],
    ['freeze', 1],
  ] as const)('that is lost (%s) is replaced by a relay, and taken again, times %i', async (how, rounds) => {
    const r = await peer()
    const proxy = await proxied()
    const a = await behind(proxy, { bootstrap: [address(r)] })
    const b = await outgoing([r])
    const left: string[] = []
    b.on({ disconnected: (who) => left.push(who) })
    b.keep(a.addresses()[0]!)
    await joined(a, b)
    await joined(a, r)
    for (let round = 1; round <= rounds; round++) {
      expect(isRelayed(b, a)).toBe(false)
      proxy[how]()
      await until(() => isRelayed(b, a) === true && isRelayed(a, b) === true)
      const channel = await working(b, a)
      proxy.mend()
      // what is under way over the relay is not cut off; it ends when nothing more comes
      while (isRelayed(b, a) !== false || isRelayed(a, b) !== false) await trip(channel, 1_000)
      await trip(channel, 1_000)
      await channel.closed
      await until(() => r.reach().relaying.circuits === 0)
      await trip(await b.open(a.id, ECHO), 1_000)
      expect(b.counted['direct_returns']).toBeGreaterThanOrEqual(round)
    }
    // with a relay at hand, a way that says nothing any more is left without a loss
    expect(left).toHaveLength(how === 'freeze' ? 0 : 2)
    expect(connectedIds(b)).toContain(a.id)
  })
})

describe('whether others can dial a peer', () => {
  test('is found out by asking those that it has dialled, and what they cannot is replaced by a relay', async () => {
    const r = await peer()
    const proxy = await proxied()
    const one = await behind(proxy, { bootstrap: [address(r)] })
    await until(() => one.reach().reachability === 'public')
    expect(one.reach().circuits).toEqual([])
    expect(proxy.arrived).toBe(1)
    expect(r.counted['dial_backs']).toBe(1)
    // whoever has been dialled knows without asking; alone nobody knows
    expect(r.reach().reachability).toBe('public')
    expect((await peer()).reach().reachability).toBe('unknown')
    const blocked = await proxied()
    const other = await behind(blocked, {})
    blocked.cut()
    other.keep(address(r))
    await until(() => other.reach().circuits.length === 1)
    expect(other.reach().reachability).toBe('private')
  })

  test('is not asked again at once, and only what was announced is dialled', async () => {
    const r = await peer()
    const proxy = await proxied()
    const one = await behind(proxy, { bootstrap: [address(r)] })
    await until(() => one.reach().reachability === 'public')
    const channel = await one.open(r.id, '/weft/dial-back/1')
    const answer = new Promise<number>((resolve) => channel.onFrame((got) => resolve(got.type)))
    await channel.send(frame({ type: 1 }))
    expect(await answer).toBe(3)
    expect(proxy.arrived).toBe(1)
    const wrong = await one.open(r.id, '/weft/dial-back/1')
    await wrong.send(frame({ type: 9 }))
    expect(await wrong.closed).toBeInstanceOf(Error)
  })
})
