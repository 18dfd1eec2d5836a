/** A text that begins anew elsewhere than it was: whoever asked is told, and it is counted, as of any stage that is replaced. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { encodeControl } from '../../src/net/index.ts'
import { GREEDY, openSession } from '../../src/pipeline/index.ts'
import { openOutgrowing } from '../../src/pipeline/origin/outgrowing.ts'
import type { RouteSegment } from '../../src/pipeline/origin/route.ts'
import type { Arrival, OriginSession, SessionInit, SessionRequest } from '../../src/pipeline/origin/session.ts'
import { RING } from '../../src/pipeline/ring/protocol.ts'
import { systemRandom } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import { SELF, settled, stageRing } from './support/ring.ts'
import type { StageRing, Stranger } from './support/ring.ts'

const PROMPT = [5, 6, 7]
const BEFORE = [
  { peer: 'gone', from: 0, to: 2 },
  { peer: 'hop', from: 2, to: 4 },
]
const ROUTE = [{ peer: 'hop', from: 0, to: 4 }]

const clock = virtualClock()
let world: StageRing
let hop: Stranger
let counted: Record<string, number>
let kernels: Record<string, string>
let session: OriginSession | undefined

beforeEach(async () => {
  world = stageRing({ clock })
  hop = await world.stranger('hop')
  counted = {}
  kernels = { gone: 'vnni', hop: 'vnni' }
})
afterEach(() => session?.close())

const request: SessionRequest = {
  prompt: PROMPT,
  positions: 20,
  deadline: 600_000,
  sampler: { sampling: GREEDY, logprobs: -1, history: [] },
  signal: new AbortController().signal,
  follow: { start: PROMPT.length, limit: 17, endTokens: new Set() },
}

function opening(at: readonly RouteSegment[] | undefined): Promise<OriginSession> {
  const { ring } = world
  const count = (name: string, by = 1): void => void (counted[name] = (counted[name] ?? 0) + by)
  const init: SessionInit = {
    ...request,
    ...(at === undefined ? {} : { at }),
    digest: 'a'.repeat(64),
    route: ROUTE,
    failover: {
      replace: () => Promise.resolve(undefined),
      relieve: () => undefined,
      isReachable: (peer) => peer === 'hop',
      kernel: (peer) => kernels[peer] ?? '',
      patience: () => 60_000,
    },
  }
  return openSession({ self: SELF, ring, clock, random: systemRandom(), watch: () => () => undefined, count }, init)
}

async function opened(at: readonly RouteSegment[] | undefined): Promise<OriginSession> {
  const open = opening(at)
  await settled()
  const { request: number, attempt } = hop.heard.findLast((heard) => heard.type === RING.open)!
  await hop.say({ type: RING.opened, request: number, attempt, control: encodeControl({ pid: 9 }) })
  session = await open
  return session
}

/** What is there to take now. */
async function told(of: OriginSession): Promise<Arrival | 'nothing'> {
  return Promise.race([of.take(), settled().then(() => 'nothing' as const)])
}

it('tells who was replaced, and counts the stage and the rows that it was fed', async () => {
  const arrival = await told(await opened(BEFORE))
  const route = [{ peer: 'hop', pid: 9, from: 0, to: 4 }]
  expect(arrival).toEqual({
    rerouted: { attempt: 0, lost: ['gone'], route, replayedRows: PROMPT.length, exact: true },
  })
  expect(counted).toMatchObject({ failovers: 1, replayed_rows: PROMPT.length })
  expect(counted['failovers_inexact']).toBeUndefined()
})

it('says where other kernels go on with it', async () => {
  kernels['gone'] = 'avx2'
  expect(await told(await opened(BEFORE))).toMatchObject({ rerouted: { lost: ['gone'], exact: false } })
  expect(counted).toMatchObject({ failovers: 1, failovers_inexact: 1 })
})

it('says nothing where it is computed where it was, nor of one that begins', async () => {
  expect(await told(await opened(ROUTE))).toBe('nothing')
  session?.close()
  expect(await told(await opened(undefined))).toBe('nothing')
  expect(counted['failovers']).toBeUndefined()
})

it('numbers the attempts of both of its sessions one after the other', async () => {
  const rerouted = (attempt: number): Arrival => ({
    rerouted: { attempt, lost: [], route: [], replayedRows: 0, exact: true },
  })
  const token = (id: number): Arrival => ({ token: { id, computeMs: 1 } })
  const given = [
    [rerouted(1), token(1), rerouted(2), token(2)],
    [rerouted(0), token(3), rerouted(1), token(4)],
  ]
  const open = (): Promise<OriginSession> => {
    const arrivals = given.shift()!
    const take = (): Promise<Arrival> => Promise.resolve(arrivals.shift()!)
    return Promise.resolve({ hops: [], take, send: () => Promise.resolve(), close: () => undefined })
  }
  session = await openOutgrowing({ clock, first: 4, rows: 128, open, outgrown: () => undefined }, request)
  const attempts: number[] = []
  for (let tokens = 0; tokens < 4;) {
    const arrival = await session.take()
    if ('token' in arrival) tokens++
    else if ('rerouted' in arrival) attempts.push(arrival.rerouted.attempt)
  }
  expect(attempts).toEqual([1, 2, 3, 4])
})
