/** Who is asked to take over from a peer that leaves, and what becomes of the answer. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { errorData } from '../../src/errors.ts'
import { decodeControl, encodeControl } from '../../src/net/index.ts'
import { KvFullError } from '../../src/pipeline/host/errors.ts'
import { GREEDY, openSession } from '../../src/pipeline/index.ts'
import { findSuccessor } from '../../src/pipeline/origin/hand-over.ts'
import type { Arrival, OriginSession } from '../../src/pipeline/origin/session.ts'
import { RING } from '../../src/pipeline/ring/protocol.ts'
import { systemRandom } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import { SELF, settled, stageRing } from './support/ring.ts'
import type { StageRing, Stranger } from './support/ring.ts'

type Arguments = Parameters<typeof findSuccessor>

it('is anybody before the one that leaves, whom the mesh may still take for the readiest', async () => {
  const route = ['a', 'c', 'a'].map((peer, at) => ({ peer, from: at, to: at + 1 }))
  let asked: readonly string[] = []
  const failover: Pick<Arguments[1]['failover'], 'replace'> = {
    replace: (_, avoid) => {
      asked = [...avoid].toSorted()
      return Promise.resolve(undefined)
    },
  }
  const init = { failover } as Arguments[1]
  const following = { route, avoid: new Set(['b']), signal: new AbortController().signal } as unknown as Arguments[2]
  expect(await findSuccessor({} as Arguments[0], init, following, route[1]!)).toBeUndefined()
  expect(asked).toEqual(['b', 'c'])
})

describe('an answer whose stage leaves', () => {
  const ROUTE = [{ peer: 'hop', from: 0, to: 4 }]
  const clock = virtualClock()
  let world: StageRing
  let hop: Stranger
  let session: OriginSession | undefined
  let counted: Record<string, number>
  /** Who takes over, in the order in which they are asked. */
  let takers: string[]
  let kernels: Record<string, string>

  beforeEach(async () => {
    world = stageRing({ clock })
    hop = await world.stranger('hop')
    counted = {}
    takers = []
    kernels = { hop: 'vnni', next: 'vnni', other: 'vnni' }
  })
  afterEach(() => session?.close())

  async function says(by: Stranger, to: number, type: number, control: object): Promise<void> {
    await settled()
    const { request, attempt } = by.heard.findLast((heard) => heard.type === to)!
    await by.say({ type, request, attempt, control: encodeControl(control) })
  }

  async function leaving(): Promise<OriginSession> {
    const count = (name: string, by = 1): void => void (counted[name] = (counted[name] ?? 0) + by)
    const needs = { self: SELF, ring: world.ring, clock, random: systemRandom(), watch: () => () => undefined, count }
    const open = openSession(needs, {
      prompt: [5, 6, 7],
      positions: 20,
      deadline: 600_000,
      sampler: { sampling: GREEDY, logprobs: -1, history: [] },
      signal: new AbortController().signal,
      follow: { start: 3, limit: 17, endTokens: new Set() },
      digest: 'a'.repeat(64),
      route: ROUTE,
      failover: {
        replace: (_, avoid) => {
          const peer = takers.find((taker) => !avoid.has(taker)) ?? takers[0]
          return Promise.resolve(peer === undefined ? undefined : [{ peer, from: 0, to: 4 }])
        },
        relieve: () => undefined,
        isReachable: () => true,
        kernel: (peer) => kernels[peer] ?? '',
        patience: () => 60_000,
      },
    })
    await says(hop, RING.open, RING.opened, { pid: 9 })
    session = await open
    await says(hop, RING.open, RING.leaving, {})
    return session
  }

  it('goes on at one with other kernels, which computes all of it itself: told, and counted', async () => {
    kernels['next'] = 'avx2'
    const next = await world.stranger('next')
    takers = ['next']
    const taken = (await leaving()).take()
    // Nothing is copied: the successor is opened beside the stage, and fed what was sent to it.
    expect(decodeControl(next.heard.find(({ type }) => type === RING.open)!.control)).toMatchObject({ shadow: true })
    await says(next, RING.open, RING.opened, { pid: 10 })
    await says(next, RING.reroute, RING.rerouted, { taken: 0 })
    const told: Arrival[] = [await taken]
    while (!('rerouted' in told.at(-1)!)) told.push(await session!.take())
    expect(told.at(-1)).toMatchObject({ rerouted: { attempt: 1, lost: ['hop'], exact: false, route: [{ pid: 10 }] } })
    expect(counted).toMatchObject({ hand_overs: 1, failovers: 1, failovers_inexact: 1 })
  })

  it('stays where it is where the first does not take it, until that peer has gone', async () => {
    const next = await world.stranger('next')
    takers = ['next']
    await leaving()
    await says(next, RING.open, RING.error, errorData(new KvFullError(2, 1)))
    await settled()
    expect(next.heard.filter(({ type }) => type === RING.open)).toHaveLength(1)
    expect(session!.hops).toMatchObject([{ peer: 'hop' }])
    expect(counted['hand_overs']).toBeUndefined()
  })

  it('is handed over all the same when its route changes while the successor is being fed', async () => {
    const next = await world.stranger('next')
    takers = ['next']
    await leaving()
    await settled()
    const shadows = (): number => next.heard.filter(({ type }) => type === RING.open).length
    expect(shadows()).toBe(1)
    // A channel has ended: the same route over new ones, and what the successor was fed for the one before is of no use.
    await says(hop, RING.open, RING.broken, { peer: 'next', why: 'its connection ended', gone: false })
    await says(hop, RING.reroute, RING.rerouted, { taken: 0 })
    expect(next.heard.filter(({ type }) => type === RING.close)).toHaveLength(1)
    expect(shadows()).toBe(2)
    await says(next, RING.open, RING.opened, { pid: 10 })
    // Nothing has come since the last attempt, so that the next one waits a moment.
    await settled()
    await clock.advance(1_000)
    await says(next, RING.reroute, RING.rerouted, { taken: 0 })
    expect(session!.hops).toMatchObject([{ peer: 'next', pid: 10 }])
    expect(counted).toMatchObject({ hand_overs: 1, failovers: 1 })
  })
})
