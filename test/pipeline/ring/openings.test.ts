/** Sessions that are being opened, and how many of them: whatever an origin asks meanwhile, nothing is left behind. */
import { beforeEach, describe, expect, it } from 'vitest'
import { encodeControl, frame } from '../../../src/net/index.ts'
import { HOST } from '../../../src/pipeline/host/protocol.ts'
import type { StageHost } from '../../../src/pipeline/host/stage-host.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { closed, opened, opening, recordedHost, refusals, REQUEST, SELF, settled, stageRing } from '../support/ring.ts'
import type { RecordedHost, StageRing, Stranger } from '../support/ring.ts'

/** Loading ends when a test says so, each in turn. */
let loading: PromiseWithResolvers<StageHost>[]
let host: RecordedHost
let own: StageRing
let origin: Stranger

beforeEach(async () => {
  loading = []
  host = recordedHost()
  const load = (): Promise<StageHost> => {
    loading.push(Promise.withResolvers<StageHost>())
    return loading.at(-1)!.promise
  }
  own = stageRing({}, { host: load })
  origin = await own.stranger('origin')
})

async function loaded(): Promise<void> {
  for (const each of loading.splice(0)) each.resolve(host)
  await settled()
}

/** All that the host has opened it has been told to close. */
async function expectNothingLeft(): Promise<void> {
  await origin.say({ type: RING.close })
  expect(own.ring.guests).toBe(0)
  expect(closed(host)).toEqual(opened(host))
}

const OPEN_ALREADY = { code: 'WEFT-INF-031', why: 'the session is open already' }

describe('a session that is asked for twice', () => {
  it('while its blocks are loaded is opened once', async () => {
    await origin.open()
    await origin.open()
    expect(refusals(origin.heard)).toEqual([OPEN_ALREADY])
    await loaded()
    expect(opened(host)).toEqual([1])
    await expectNothingLeft()
  })

  it('while its host takes it is opened once', async () => {
    const busy = Promise.withResolvers<void>()
    host.busy = busy.promise
    await origin.open()
    await loaded()
    await origin.open()
    busy.resolve()
    await loaded()
    expect(refusals(origin.heard)).toEqual([OPEN_ALREADY])
    await expectNothingLeft()
  })

  it('for a later attempt is opened for that one alone', async () => {
    await origin.open()
    await origin.open({}, { attempt: 1 })
    await loaded()
    expect(opened(host)).toEqual([1])
    const told = origin.heard.filter(({ type }) => type === RING.opened)
    expect(told.map(({ attempt }) => attempt)).toEqual([1])
    await origin.say({ type: RING.close, attempt: 1 })
    await expectNothingLeft()
  })

  it('after it was closed again is opened once', async () => {
    await origin.open()
    await origin.say({ type: RING.close })
    await origin.open()
    await loaded()
    expect(opened(host)).toEqual([1])
    await expectNothingLeft()
  })
})

it('a shadow that takes a place frees what was there', async () => {
  await origin.open()
  await origin.open({ shadow: true }, { request: 8 })
  await loaded()
  const route = [{ peer: SELF, from: 0, to: 4 }]
  await origin.say({ type: RING.reroute, attempt: 1, control: encodeControl({ from: 0, route, of: 8 }) })
  expect(closed(host)).toEqual([1])
  expect(own.ring.guests).toBe(1)
  await expectNothingLeft()
})

describe('one peer', () => {
  const MOST = 64

  it('has so many sessions at most, those that are being opened included', async () => {
    for (let at = 0; at < 100; at++) await origin.channel.send(frame({ ...opening(), request: REQUEST + at }))
    await settled()
    expect(loading).toHaveLength(MOST)
    await loaded()
    expect(own.ring.guests).toBe(MOST)
    expect(host.sessions(HOST.open)).toHaveLength(MOST)
    expect(refusals(origin.heard)).toHaveLength(100 - MOST)
    const other = await own.stranger('other')
    await other.open({}, { request: 1_000 })
    await loaded()
    expect(own.ring.guests).toBe(MOST + 1)
  })
})

describe('the number of a session', () => {
  const OTHERS = { code: 'WEFT-INF-031', why: 'another origin has a session of this number here' }

  it('that another origin has, or is about to have, is refused', async () => {
    const other = await own.stranger('other')
    await origin.open()
    await other.open()
    expect(refusals(other.heard)).toEqual([OTHERS])
    await loaded()
    await other.open()
    expect(refusals(other.heard)).toEqual([OTHERS, OTHERS])
    expect(opened(host)).toEqual([1])
    await origin.say({ type: RING.close })
    await other.open()
    await loaded()
    expect(opened(host)).toEqual([1, 2])
  })

  it('is not taken by a reroute either', async () => {
    const other = await own.stranger('other')
    await origin.open()
    await other.open({ shadow: true }, { request: 8 })
    await loaded()
    const route = [{ peer: SELF, from: 0, to: 4 }]
    await other.say({ type: RING.reroute, attempt: 1, control: encodeControl({ from: 0, route, of: 8 }) })
    expect(refusals(other.heard)).toEqual([OTHERS])
  })
})
