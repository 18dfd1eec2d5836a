/** What comes from people and from the wire about ways to peers: taken apart, or refused. */
import { streamPair } from '@libp2p/utils'
import { afterEach, describe, expect, test } from 'vitest'
import { isCircuit, parseAddress, relayOf, withoutPeer } from '../../src/net/addresses.ts'
import { answerSchema, CIRCUIT_PROTOCOL, outerSchema, questionSchema, talkOver } from '../../src/net/circuit-wire.ts'
import { MAX_CIRCUIT_MESSAGE } from '../../src/net/constants.ts'
import { BadAddressError, encodeControl, frame } from '../../src/net/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { joined, networkPool } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

const [RELAY, PEER] = [newIdentity().id, newIdentity().id]
const DIRECT = '/ip4/192.0.2.7/tcp/7334'
const CIRCUIT = `${DIRECT}/p2p/${RELAY}/p2p-circuit`

describe('an address', () => {
  test.each([
    [DIRECT, DIRECT, null],
    [`${DIRECT}/p2p/${PEER}`, DIRECT, PEER],
    [CIRCUIT, CIRCUIT, null],
    [`${CIRCUIT}/p2p/${PEER}`, CIRCUIT, PEER],
    [`/dns/weft.example/tcp/1/p2p/${RELAY}/p2p-circuit/p2p/${PEER}`, undefined, PEER],
  ])('%s has its parts', (text, plain, peer) => {
    expect(parseAddress(text)?.peer).toBe(peer)
    expect(parseAddress(text)?.plain).toBe(plain ?? withoutPeer(text))
    expect(isCircuit(text)).toBe(text.includes('circuit'))
  })

  test.each([
    `${DIRECT}/p2p-circuit/p2p/${PEER}`,
    `/p2p/${RELAY}/p2p-circuit/p2p/${PEER}`,
    `${CIRCUIT}/p2p/${RELAY}/p2p-circuit/p2p/${PEER}`,
    `${CIRCUIT}/p2p/${PEER}/tcp/1`,
    `${CIRCUIT}/`,
    `${DIRECT}/p2p/${RELAY}/p2p-circuit/p2p/not-an-id`,
    `${CIRCUIT}/p2p/${PEER}${'x'.repeat(255)}`,
  ])('%s is refused', (text) => expect(parseAddress(text)).toBeUndefined())

  test('of a circuit names its relay', () => {
    expect(relayOf(`${CIRCUIT}/p2p/${PEER}`)).toEqual({ peer: RELAY, address: DIRECT })
    expect(relayOf(DIRECT)).toBeUndefined()
  })

  test('through a relay is neither listened on nor announced, and is kept only with the peer that it leads to', async () => {
    const way = `${CIRCUIT}/p2p/${PEER}`
    await expect(pool.add({ listen: [way] })).rejects.toBeInstanceOf(BadAddressError)
    await expect(pool.add({ announce: [way] })).rejects.toBeInstanceOf(BadAddressError)
    await expect(pool.add({ bootstrap: [CIRCUIT] })).rejects.toBeInstanceOf(BadAddressError)
    const one = await pool.add({ listen: null })
    expect(one.addresses()).toEqual([])
    expect(() => one.keep(CIRCUIT)).toThrow(BadAddressError)
  })
})

describe('the talk before a circuit', () => {
  test.each([
    ['a map of another kind', encodeControl({ ok: true })],
    ['an id that is none', encodeControl({ to: '../../etc' })],
    ['no map', new Uint8Array([1, 2, 3])],
    ['too much', encodeControl({ to: PEER, rest: 'x'.repeat(MAX_CIRCUIT_MESSAGE) })],
  ])('refuses %s', async (_what, message) => {
    const [near, far] = await streamPair()
    const heard = talkOver(far).hear(questionSchema)
    near.send(new Uint8Array([(message.length & 127) | 128, message.length >> 7]))
    near.send(message)
    await expect(heard).rejects.toThrow()
  })

  test('says what it means, and leaves the stream as it is', async () => {
    const [near, far] = await streamPair()
    const [one, other] = [talkOver(near), talkOver(far)]
    await one.say({ to: PEER })
    expect(await other.hear(questionSchema)).toEqual({ to: PEER })
    await other.say({ ok: false, why: 'no' })
    expect(await one.hear(answerSchema)).toEqual({ ok: false, why: 'no' })
    one.bytes().send(new Uint8Array([7]))
    const bytes = other.bytes()
    expect(
      await new Promise((resolve) => bytes.addEventListener('message', ({ data }) => resolve(data.subarray()))),
    ).toEqual(new Uint8Array([7]))
  })

  test('of whoever says something else ends, and the relay goes on', async () => {
    const relay = await pool.add()
    const one = await pool.add({ bootstrap: [relay.addresses()[0]!] })
    await joined(one, relay)
    for (let round = 0; round < 2; round++) {
      const channel = await one.open(relay.id, CIRCUIT_PROTOCOL)
      await channel.send(frame({ type: 1 }))
      expect(await channel.closed).toBeInstanceOf(Error)
    }
    expect(await one.ping(relay.id, 10)).toBeGreaterThan(0)
    expect(relay.reach().relaying.circuits).toBe(0)
  })
})

describe('where a peer is seen behind its translator', () => {
  test.each([
    ['127.0.0.1', 22],
    ['0.0.0.0', 80],
    ['224.0.0.251', 5353],
    ['255.255.255.255', 9],
    ['::1', 80],
    ['relay.example', 80],
    ['192.0.2.7', 0],
    ['192.0.2.7', 65_536],
    ['192.0.2.7', 80.5],
    ['192.0.2.7/tcp/80', 80],
  ])('is not %s with port %d: nobody is sent there', (host, port) => {
    expect(outerSchema.safeParse({ host, port }).success).toBe(false)
  })

  test('is an address of the internet, or of a network at home', () => {
    for (const host of ['192.0.2.7', '10.77.0.3', '223.255.0.1'])
      expect(outerSchema.parse({ host, port: 40_000 })).toEqual({ host, port: 40_000 })
  })
})
