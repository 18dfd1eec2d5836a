/** Origins and neighbours that say what no weft says: it costs them their session, and nobody else anything. */
import { describe, expect, it } from 'vitest'
import { encodeControl, frame } from '../../../src/net/index.ts'
import { HOST } from '../../../src/pipeline/host/protocol.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { opened, REQUEST, rowsFrames, SELF, settled, stageRing } from '../support/ring.ts'

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
    expect(asked).toEqual([
      ['forbidden', 'a'.repeat(64)],
      ['next', 'a'.repeat(64)],
    ])
  })
})
