/** Origins and neighbours that say what no weft says: it costs them their session, and nobody else anything. */
import { describe, expect, it } from 'vitest'
import { encodeControl, frame } from '../../../src/net/index.ts'
import { HOST } from '../../../src/pipeline/host/protocol.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { opened, refusals, REQUEST, rowsFrames, SELF, settled, stageRing } from '../support/ring.ts'

describe('an origin', () => {
  it('that asks for a feed of nonsense is not heeded', async () => {
    const { stranger, host } = stageRing()
    const bad = await stranger('bad')
    await bad.open()
    await bad.say({ type: RING.feed, control: encodeControl({ peer: 1 }) })
    await bad.open({}, { request: 8 })
    expect(opened(host)).toEqual([1, 2])
  })

  it('that is gone when its question is answered ends nobody', async () => {
    const { hub, stranger, ring } = stageRing()
    const bad = await stranger('bad')
    await bad.open()
    hub.tamper((message) => (message.type === RING.accounted ? new Error('the origin is gone') : message))
    const control = encodeControl({ block: 0, side: 'rows', position: 0, count: 1 })
    await bad.say({ type: RING.account, control })
    expect(ring.guests).toBe(1)
  })

  it('cannot have rows passed on to where the site does not let them go: opened, rerouted, or forbidden since', async () => {
    let forbidden = 'forbidden'
    const permit = (peer: string): void => {
      if (peer === forbidden) throw new Error('rows of this site do not go there')
    }
    const { stranger, host, ring } = stageRing({ permit })
    const [guest, next] = [await stranger('guest'), await stranger('next')]
    const over = (peer: string) => [SELF, peer].map((each, at) => ({ peer: each, from: 4 * at, to: 4 * at + 4 }))
    await guest.open({ route: over('forbidden') })
    expect([opened(host), ring.guests]).toEqual([[], 0])
    expect(refusals(guest.heard)).toHaveLength(1)
    // back to its origin they may go, and to whom the site allows
    await guest.open({ route: over('guest') }, { request: 8 })
    await guest.open({ route: over('next') }, { request: 9 })
    expect(opened(host)).toHaveLength(2)
    const control = encodeControl({ from: 0, route: over('forbidden') })
    await guest.say({ type: RING.reroute, request: 9, attempt: 1, control })
    expect(refusals(guest.heard)).toHaveLength(2)
    const local = opened(host).at(-1)!
    host.say(frame({ ...rowsFrames()(0, 1), type: HOST.rows, request: local, payload: new Uint8Array(8) }))
    await settled()
    expect(next.heard.filter(({ type }) => type === RING.rows)).toHaveLength(1)
    forbidden = 'next'
    ring.review()
    await settled()
    expect(ring.guests).toBe(1)
    expect(refusals(guest.heard)).toHaveLength(3)
  })

  it('cannot have rows sent into the session of another, nor where the site does not let them go', async () => {
    const asked: unknown[] = []
    const permit = (...whom: unknown[]): void => {
      asked.push(whom)
      if (whom[0] === 'forbidden') throw new Error('rows of this site do not go there')
    }
    const { stranger, host } = stageRing({ permit })
    const [bad, next, forbidden] = [await stranger('bad'), await stranger('next'), await stranger('forbidden')]
    const route = [SELF, 'next'].map((peer, at) => ({ peer, from: 4 * at, to: 4 * at + 4 }))
    await (await stranger('origin')).open({ route })
    await bad.open({ route }, { request: 8 })
    const local = opened(host).at(-1)!
    host.say(frame({ ...rowsFrames()(0, 1), type: HOST.rows, request: local, payload: new Uint8Array(8) }))
    await settled()
    const before = next.heard.length
    const feed = (peer: string, request: number): Promise<void> =>
      bad.say({ type: RING.feed, request: 8, control: encodeControl({ peer, place: 1, request, from: 0, to: 1 }) })
    await feed('next', REQUEST)
    await feed('forbidden', 9)
    expect(next.heard).toHaveLength(before)
    expect(forbidden.heard).toEqual([])
    await feed('next', 9)
    expect(next.heard.slice(before).map(({ type, request }) => [type, request])).toEqual([[RING.rows, 9]])
    const digest = 'a'.repeat(64)
    expect(asked.slice(-2)).toEqual([
      ['forbidden', digest],
      ['next', digest],
    ])
  })
})
