/** How much a peer holds for a stage host that is busy: what its neighbours send waits with them. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { HOST, RUN } from '../../../src/pipeline/host/protocol.ts'
import { FirstHop } from '../../../src/pipeline/origin/first-hop.ts'
import { MAX_FRAME_ROWS, RING } from '../../../src/pipeline/ring/protocol.ts'
import { rowsFrames, settled, stageRing } from '../support/ring.ts'

describe('rows', () => {
  it('are taken from a channel no faster than the host takes them', async () => {
    const { stranger, host } = stageRing()
    const origin = await stranger('origin')
    await origin.open()
    const rows = rowsFrames()
    const busy = Promise.withResolvers<void>()
    host.busy = busy.promise
    for (let at = 0; at < 50; at++) await origin.say(rows(0, 1, { flags: RUN.rewind }))
    // The channels of this test hold one frame; those of the network eight, or eight MiB.
    expect(host.sessions(HOST.run)).toHaveLength(1)
    host.busy = undefined
    busy.resolve()
    await settled()
    await setImmediate()
    expect(host.sessions(HOST.run)).toHaveLength(50)
  })

  it('of a host that fails cost the session, and not the channel', async () => {
    const { stranger, host, ring } = stageRing()
    const origin = await stranger('origin')
    await origin.open()
    host.busy = Promise.reject(new Error('the host has gone'))
    host.busy.catch(() => undefined)
    await origin.say(rowsFrames()(0, 1))
    host.busy = undefined
    expect(ring.guests).toBe(0)
    await origin.open({}, { request: 8 })
    expect(ring.guests).toBe(1)
  })

  it('come in frames of so many at most', async () => {
    const { stranger, host } = stageRing()
    const origin = await stranger('origin')
    await origin.open()
    const rows = rowsFrames()
    await origin.say(rows(0, MAX_FRAME_ROWS))
    await origin.say(rows(MAX_FRAME_ROWS, MAX_FRAME_ROWS + 1))
    expect(host.sessions(HOST.run)).toHaveLength(1)
    expect(origin.heard.at(-1)!.type).toBe(RING.broken)
  })
})

it('an origin that has many rows to give gives them in several frames, and what comes meanwhile behind them', async () => {
  const sent: [position: number, rows: number][] = []
  const first = new FirstHop(async ({ position, dims }) => {
    sent.push([position, dims[0]!])
    await setImmediate()
  })
  first.append(Array.from({ length: 2 * MAX_FRAME_ROWS + 1 }, () => 1))
  const given = first.giveNext(1, 0, Infinity)
  first.append([2])
  await Promise.all([given, first.giveNext(1, 0, Infinity)])
  expect(sent).toEqual([
    [0, MAX_FRAME_ROWS],
    [MAX_FRAME_ROWS, MAX_FRAME_ROWS],
    [2 * MAX_FRAME_ROWS, 1],
    [2 * MAX_FRAME_ROWS + 1, 1],
  ])
})
