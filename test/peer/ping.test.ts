/** The deadline of a ping runs on the clock that the peer was given, and ends with the ping. */
import { describe, expect, it } from 'vitest'
import type { Network } from '../../src/net/index.ts'
import { LocalPeer } from '../../src/peer/local-peer.ts'
import type { LocalPeerNeeds } from '../../src/peer/local-peer.ts'
import { createTelemetry } from '../../src/telemetry/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'

const OTHER = '12D3KooWEf4nckrFjHpj8Rs9rv8Liyy8qLKk8haY54asdqCDGkRj'

function peerWith(clock: VirtualClock, ping: Network['ping']): LocalPeer {
  const needs = { self: 'self', home: '/nowhere', clock, network: { ping }, telemetry: createTelemetry({ clock }) }
  return new LocalPeer(needs as unknown as LocalPeerNeeds)
}

/** The other side is frozen: only the signal ends the wait. */
const silent: Network['ping'] = (_peer, _bytes, signal) =>
  new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })

describe('ping', () => {
  it('gives up on a silent peer after five seconds of the clock, with a code', async () => {
    const clock = virtualClock()
    let outcome: unknown = 'waits'
    const first = peerWith(clock, silent).ping(OTHER, { count: 2 })[Symbol.asyncIterator]().next()
    void first.then(
      (reply) => (outcome = reply),
      (error: unknown) => (outcome = error),
    )
    await clock.advance(4_999)
    expect(outcome).toBe('waits')
    await clock.advance(1)
    expect(outcome).toMatchObject({ code: 'WEFT-DSC-006', why: 'no echo came within 5 s' })
    expect(clock.waiting()).toBe(0)
  })

  it('leaves no timer when it is answered, nor when its caller has had enough', async () => {
    const clock = virtualClock()
    const replies: number[] = []
    const all = (async () => {
      for await (const { ms } of peerWith(clock, () => Promise.resolve(3)).ping(OTHER, { count: 3 })) replies.push(ms)
    })()
    await clock.advance(1_000)
    await all
    expect(replies).toEqual([3, 3, 3])
    expect(clock.waiting()).toBe(0)

    const enough = new AbortController()
    const waits = peerWith(clock, silent).ping(OTHER, {}, enough.signal)[Symbol.asyncIterator]().next()
    const refused = expect(waits).rejects.toThrow('enough')
    await clock.advance(10)
    enough.abort(new Error('enough'))
    await refused
    expect(clock.waiting()).toBe(0)
  })
})
