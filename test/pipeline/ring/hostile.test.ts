/** Origins and neighbours that say what no weft says: it costs them their session, and nobody else anything. */
import { describe, expect, it } from 'vitest'
import { encodeControl } from '../../../src/net/index.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { opened, stageRing } from '../support/ring.ts'

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
})
