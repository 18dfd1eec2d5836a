/** How long a session waits for somebody to take lost blocks, what it says meanwhile, and how it ends where nobody comes. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { decodeControl, encodeControl } from '../../src/net/index.ts'
import { GREEDY, openSession } from '../../src/pipeline/index.ts'
import type { RouteSegment } from '../../src/pipeline/origin/route.ts'
import type { Arrival, OriginSession, SessionInit } from '../../src/pipeline/origin/session.ts'
import { RING } from '../../src/pipeline/ring/protocol.ts'
import { systemRandom } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'
import { SELF, settled, stageRing } from './support/ring.ts'
import type { StageRing, Stranger } from './support/ring.ts'

const DEADLINE_MS = 600_000
const OPENING_MS = 2_500
const RUNNING_MS = 60_000
const ROUTE = [{ peer: 'hop', from: 0, to: 4 }]

let clock: VirtualClock
let world: StageRing
let hop: Stranger
let there: Set<string>
let taker: readonly RouteSegment[] | undefined
let session: OriginSession | undefined

beforeEach(async () => {
  clock = virtualClock()
  world = stageRing({ clock })
  hop = await world.stranger('hop')
  there = new Set(['hop'])
  taker = undefined
})
afterEach(() => session?.close())

function opening(more: Partial<SessionInit> = {}): Promise<OriginSession> {
  const { ring } = world
  const count = (): undefined => undefined
  return openSession(
    { self: SELF, ring, clock, random: systemRandom(), watch: () => () => undefined, count },
    {
      prompt: [5, 6, 7],
      positions: 20,
      deadline: DEADLINE_MS,
      sampler: { sampling: GREEDY, logprobs: -1, history: [] },
      signal: new AbortController().signal,
      follow: { start: 3, limit: 17, endTokens: new Set() },
      digest: 'a'.repeat(64),
      route: ROUTE,
      failover: {
        replace: () => Promise.resolve(taker),
        relieve: () => undefined,
        isReachable: (peer) => there.has(peer),
        kernel: () => '',
        patience: (isBegun) => (isBegun ? RUNNING_MS : OPENING_MS),
      },
      ...more,
    },
  )
}

/** What a peer answers to the last of its frames of a type. */
async function answers(by: Stranger, to: number, type: number, control: object): Promise<void> {
  await settled()
  const { request, attempt } = by.heard.findLast((heard) => heard.type === to)!
  await by.say({ type, request, attempt, control: encodeControl(control) })
}

async function begun(more: Partial<SessionInit> = {}): Promise<OriginSession> {
  const open = opening(more)
  await answers(hop, RING.open, RING.opened, { pid: 9 })
  session = await open
  return session
}

async function loseHop(): Promise<void> {
  there.delete('hop')
  world.ring.peerLost('hop')
  await settled()
}

/** What came until it ended or nothing more comes. */
function following(of: OriginSession): {
  readonly told: Arrival[]
  ended: { code?: string; details?: object } | undefined
} {
  const seen: ReturnType<typeof following> = { told: [], ended: undefined }
  const follow = async (): Promise<void> => {
    for (;;) seen.told.push(await of.take())
  }
  follow().catch((error: unknown) => (seen.ended = error as { code: string }))
  return seen
}

it('a text that is under way says that it waits, and goes on with whoever comes within a minute', async () => {
  const seen = following(await begun())
  await loseHop()
  await clock.advance(1_000)
  expect(seen.told).toEqual([])
  await clock.advance(1_000)
  expect(seen.told).toMatchObject([{ waiting: { code: 'WEFT-INF-033', details: { peer: 'hop', from: 0, to: 4 } } }])
  await clock.advance(50_000)
  expect(seen.ended).toBeUndefined()
  const back = await world.stranger('back')
  there.add('back')
  taker = [{ peer: 'back', from: 0, to: 4 }]
  await clock.advance(200)
  await answers(back, RING.open, RING.opened, { pid: 10 })
  await settled()
  expect(seen.told.at(-1)).toMatchObject({ rerouted: { attempt: 1, lost: ['hop'] } })
  await clock.advance(20_000)
  expect(seen.ended).toBeUndefined()
})

it('one that nobody goes on with ends after that minute', async () => {
  const seen = following(await begun())
  await loseHop()
  await clock.advance(RUNNING_MS - 200)
  expect(seen.ended).toBeUndefined()
  await clock.advance(400)
  expect(seen.ended).toMatchObject({ code: 'WEFT-INF-033', details: { peer: 'hop', seconds: 60 } })
})

it('one whose deadline comes before that is told that nobody came, and not of the deadline', async () => {
  const seen = following(await begun({ deadline: 10_000 }))
  await clock.advance(1_000)
  await loseHop()
  await clock.advance(8_000)
  expect(seen.ended).toBeUndefined()
  await clock.advance(1_000)
  expect(seen.ended).toMatchObject({ code: 'WEFT-INF-033', details: { seconds: 8.9 } })
})

it('one that has not begun ends soon: nothing of it is lost', async () => {
  const open = opening()
  const ended = expect(open).rejects.toMatchObject({ code: 'WEFT-INF-033', details: { seconds: 2.5 } })
  await settled()
  await loseHop()
  await clock.advance(OPENING_MS)
  await ended
})

it('one that goes on in another session has begun before it is open there', async () => {
  const open = opening({ at: ROUTE })
  let failed: { code?: string } | undefined
  open.catch((error: unknown) => (failed = error as { code: string }))
  await settled()
  await loseHop()
  await clock.advance(RUNNING_MS - 200)
  expect(failed).toBeUndefined()
  await clock.advance(400)
  expect(failed).toMatchObject({ code: 'WEFT-INF-033' })
  expect(decodeControl(hop.heard[0]!.control)).toMatchObject({ deadline: DEADLINE_MS })
})

it('whoever takes long to be ready for a text is asked last after ten seconds, and longer when nobody else is there', async () => {
  const avoided: ReadonlySet<string>[] = []
  const to = (peer: string): readonly RouteSegment[] => [{ peer, from: 0, to: 4 }]
  const slow = await world.stranger('slow')
  const other = await world.stranger('other')
  const seen = following(
    await begun({
      failover: {
        replace: (_, avoid) => {
          avoided.push(new Set(avoid))
          return Promise.resolve(avoid.has('slow') && there.has('other') ? to('other') : to('slow'))
        },
        relieve: () => undefined,
        isReachable: (peer) => there.has(peer),
        kernel: () => '',
        patience: () => RUNNING_MS,
      },
    }),
  )
  there.add('slow')
  await loseHop()
  const openings = (of: Stranger): number => of.heard.filter(({ type }) => type === RING.open).length
  await clock.advance(9_000)
  expect([openings(slow), openings(other)]).toEqual([1, 0])
  await clock.advance(2_000)
  // Nobody else is there: it goes on with what it fetches.
  expect([openings(slow), avoided.at(-1)]).toEqual([2, new Set(['slow'])])
  there.add('other')
  await clock.advance(31_000)
  expect(openings(other)).toBe(1)
  await answers(other, RING.open, RING.opened, { pid: 10 })
  await settled()
  expect(seen.told.at(-1)).toMatchObject({ rerouted: { attempt: 3, route: [{ peer: 'other' }] } })
  expect(seen.ended).toBeUndefined()
})
