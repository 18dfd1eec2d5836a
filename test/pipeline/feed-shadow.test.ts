/** A hop that feeds the shadow of the next one, while the session goes on. */
import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { DTYPE, frame } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { HOST } from '../../src/pipeline/host/protocol.ts'
import { feedShadow, passOn } from '../../src/pipeline/ring/onward.ts'
import type { OnwardNeeds } from '../../src/pipeline/ring/onward.ts'
import { middleHop } from './support/middle-hop.ts'

const WIDTH = 4
const FEED = { peer: 'd', place: 2, request: 77, from: 0, to: 6 }

/** What the host of the hop has computed. */
function computed(position: number, rows: number): Frame {
  const payload = new Uint8Array(rows * WIDTH * 2).fill(position + 1)
  return frame({ type: HOST.rows, request: 1, position, rows, dtype: DTYPE.f16, dims: [rows, WIDTH], payload })
}

function watched(): { readonly needs: OnwardNeeds; rowsOf: (peer: string) => number } {
  const sent = new Map<string, number>()
  const ignore = (): void => undefined
  const send = (peer: string, message: Frame): Promise<void> => {
    expect(message.position).toBe(sent.get(peer) ?? 0)
    sent.set(peer, message.position + message.rows)
    return Promise.resolve()
  }
  return {
    needs: { send, sayAgain: ignore, failed: ignore, broken: ignore },
    rowsOf: (peer) => sent.get(peer) ?? 0,
  }
}

it('gives it the rows that were on their way here when they were asked for', async () => {
  const [hop, { needs, rowsOf }] = [middleHop(), watched()]
  passOn(needs, hop, 'c', computed(0, 4))
  const fed = feedShadow(needs, hop, FEED)
  await setImmediate()
  passOn(needs, hop, 'c', computed(4, 1))
  await setImmediate()
  passOn(needs, hop, 'c', computed(5, 1))
  passOn(needs, hop, 'c', computed(6, 1))
  await fed
  expect(rowsOf('d')).toBe(6)
  expect(rowsOf('c')).toBe(7)
})

it('waits no longer than the session lasts, and sends nothing that is not there', async () => {
  const [hop, { needs, rowsOf }] = [middleHop(), watched()]
  passOn(needs, hop, 'c', computed(0, 4))
  const fed = feedShadow(needs, hop, FEED)
  hop.kept.close()
  await fed
  expect(rowsOf('d')).toBe(0)
})

it('feeds nobody by a route that is no longer the session’s', async () => {
  const [hop, { needs, rowsOf }] = [middleHop(), watched()]
  passOn(needs, hop, 'c', computed(0, 4))
  const fed = feedShadow(needs, hop, FEED)
  hop.reroute(hop.origin, 1, 1, hop.route)
  // It does not wait for rows that are of no use to it.
  await fed
  passOn(needs, hop, 'c', computed(4, 2))
  expect(rowsOf('d')).toBe(0)
})

it('has one feed of a shadow under way and one that waits, of so many shadows at a time', async () => {
  const [hop, { needs, rowsOf }] = [middleHop(), watched()]
  const feed = (shadow: number, to = 1): Promise<unknown> =>
    feedShadow(needs, hop, { ...FEED, peer: `shadow ${shadow}`, request: shadow, to }).catch((error: unknown) => error)
  const open = Array.from({ length: 8 }, (_, at) => feed(at + 1))
  const again = feedShadow(needs, hop, { ...FEED, peer: 'shadow 1', request: 1, from: 1, to: 2 })
  expect(await feed(1)).toMatchObject({ why: 'the shadow is being fed already' })
  expect(await feed(9)).toMatchObject({ why: '8 shadows are being fed already' })
  passOn(needs, hop, 'c', computed(0, 2))
  await Promise.all([...open, again])
  for (let shadow = 9; shadow < 100; shadow++) expect(await feed(shadow)).toBeUndefined()
  expect([rowsOf('shadow 1'), rowsOf('shadow 8'), rowsOf('shadow 99')]).toEqual([2, 1, 1])
})
