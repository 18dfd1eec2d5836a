/** The deadline of an answer that takes several sessions is one: the later ones get what is left of it. */
import { afterEach, expect, it } from 'vitest'
import { decodeControl, encodeControl } from '../../src/net/index.ts'
import { GREEDY, openSession, PrefixNames } from '../../src/pipeline/index.ts'
import { openDecoding } from '../../src/pipeline/graph/decode/session.ts'
import type { FlowOpen } from '../../src/pipeline/graph/mesh/protocol.ts'
import type { FlowService } from '../../src/pipeline/graph/mesh/service.ts'
import { openOutgrowing } from '../../src/pipeline/origin/outgrowing.ts'
import type { Arrival, OriginSession, SessionRequest } from '../../src/pipeline/origin/session.ts'
import { RING } from '../../src/pipeline/ring/protocol.ts'
import { systemRandom } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import { SELF, settled, stageRing } from './support/ring.ts'

const DEADLINE_MS = 600_000

const request = (more: Partial<SessionRequest> = {}): SessionRequest => ({
  prompt: [5, 6, 7],
  positions: 20,
  deadline: DEADLINE_MS,
  sampler: { sampling: GREEDY, logprobs: -1, history: [] },
  signal: new AbortController().signal,
  follow: { start: 3, limit: 17, endTokens: new Set() },
  ...more,
})

let session: OriginSession | undefined
afterEach(() => session?.close())

it('a session that begins later ends when the first would have, and tells its hops and whoever asked the truth of it', async () => {
  const clock = virtualClock()
  const { ring, stranger } = stageRing({ clock })
  const hop = await stranger('hop')
  await clock.advance(DEADLINE_MS)
  const failover = {
    replace: () => Promise.resolve(undefined),
    relieve: () => undefined,
    isReachable: () => true,
    kernel: () => '',
    patience: () => 0,
  }
  const needs = {
    self: SELF,
    ring,
    clock,
    random: systemRandom(),
    watch: () => () => undefined,
    count: () => undefined,
  }
  const route = [{ peer: 'hop', from: 0, to: 4 }]
  const opening = openSession(needs, {
    ...request({ since: clock.now() - DEADLINE_MS + 1_000 }),
    digest: 'a'.repeat(64),
    route,
    failover,
    names: new PrefixNames(new Uint8Array(32), 'of this test'),
  })
  await settled()
  const { control, request: number } = hop.heard.find(({ type }) => type === RING.open)!
  expect(decodeControl(control)).toMatchObject({ deadline: 1_000 })
  await hop.say({ type: RING.opened, request: number, control: encodeControl({ pid: 9 }) })
  session = await opening
  const arrival = session.take()
  const ended = expect(arrival).rejects.toMatchObject({ code: 'WEFT-INF-032', details: { milliseconds: DEADLINE_MS } })
  await clock.advance(1_000)
  await ended
})

it('so does a decoder export that begins again elsewhere', async () => {
  const clock = virtualClock()
  await clock.advance(DEADLINE_MS)
  const told: FlowOpen[] = []
  // A peer that takes everything and says nothing.
  const flow = {
    listen: () => () => undefined,
    send: (_peer: string, { control }: { readonly control: FlowOpen }) => Promise.resolve(void told.push(control)),
    close: () => undefined,
  } as unknown as FlowService
  const outputs = [{ name: 'logits', to: [], ofGraph: true }]
  const part = { peer: 'far', blocks: [0, 1], skeleton: new Uint8Array(1), weights: [], inputs: [], outputs } as const
  const opening = openDecoding(
    { self: SELF, clock, flow, random: systemRandom(), watch: () => () => undefined },
    {
      digest: 'a'.repeat(64),
      optimization: 'all',
      parts: [part],
      layout: { inputs: [], caches: [], logits: 'logits' },
      chunkRows: 8,
      session: request({ since: clock.now() - DEADLINE_MS + 1_000 }),
    },
  )
  expect(told).toMatchObject([{ deadline: 1_000 }])
  const ended = expect(opening).rejects.toMatchObject({ code: 'WEFT-INF-032', details: { milliseconds: DEADLINE_MS } })
  await clock.advance(1_000)
  await ended
})

it('a text that outgrows its first context goes on with what is left, from where it is', async () => {
  const clock = virtualClock()
  const asked: SessionRequest[] = []
  const at = [{ peer: 'moved', pid: 3, from: 0, to: 4 }]
  const open = (own: SessionRequest): Promise<OriginSession> => {
    asked.push(own)
    let [next, given] = [0, 0]
    const arrivals: Arrival[] = []
    return Promise.resolve({
      hops: at,
      send: async (ids, position) => {
        given = position + ids.length
        if (given < own.prompt.length) arrivals.push({ takenTo: given })
      },
      take: async () => arrivals.shift() ?? { token: { id: 100 + next++, computeMs: 1 } },
      close: () => undefined,
    })
  }
  await clock.advance(5_000)
  session = await openOutgrowing({ clock, first: 4, rows: 128, open, outgrown: () => undefined }, request())
  await session.take()
  await session.take()
  await clock.advance(DEADLINE_MS / 2)
  await session.take()
  expect(asked).toHaveLength(2)
  expect(asked.map(({ since, deadline }) => [since, deadline])).toEqual([
    [5_000, DEADLINE_MS],
    [5_000, DEADLINE_MS],
  ])
  expect(asked.map((own) => own.at)).toEqual([undefined, at])
})
