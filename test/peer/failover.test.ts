/** Who takes the blocks of a lost peer. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { MeshPeer, ModelHoldings } from '../../src/mesh/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { Replacements } from '../../src/peer/failover.ts'
import type { FailoverNeeds } from '../../src/peer/failover.ts'
import { failoverOf } from '../../src/peer/request-failover.ts'
import type { RequestFailover } from '../../src/peer/request-failover.ts'
import type { GenerateRequest, RouteSegment } from '../../src/pipeline/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { profile } from '../mesh/support/make-mesh.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'
import { randomModel } from '../pipeline/support/random-model.ts'

const LOST = { peer: 'lost', from: 1, to: 3 }
const { hardware } = profile('any')

let directory: string
let manifest: ModelManifest
let clock: VirtualClock
let peers: Map<string, { readonly rtt: number; readonly held: ModelHoldings[]; readonly quota?: number }>
let several: ReturnType<FailoverNeeds['divide']>
let replacements: Replacements
let keptOut: string | undefined
let draining: string | undefined

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-failover-'))
  manifest = await randomModel(await createBlobStore({ directory }), { type: 'Q8_0' })
})
afterAll(() => rm(directory, { recursive: true, force: true }))

function holding(
  tensors: ModelHoldings['tensors'],
  ready: readonly (readonly [number, number])[] = [],
): ModelHoldings[] {
  const stages = ready.map(([from, to]) => ({ from, to, pid: 1, memory: 1, state: 'ready' as const }))
  return [{ model: manifest.model, digest: manifest.digest, tensors, stages }]
}

beforeEach(() => {
  clock = virtualClock()
  several = undefined
  keptOut = draining = undefined
  peers = new Map([
    ['near', { rtt: 1, held: [] }],
    ['kept', { rtt: 2, held: holding([[0, 4]]) }],
    ['ready', { rtt: 3, held: holding([[1, 3]], [[1, 3]]) }],
    ['whole', { rtt: 0.5, held: holding([[0, 4]], [[0, 4]]) }],
  ])
  replacements = new Replacements({
    self: 'self',
    clock,
    mesh: {
      state: (peer) => (!peers.has(peer) ? 'away' : peer === draining ? 'draining' : 'connected'),
      profiles: () => new Map(),
      holdings: () => new Map([...peers].map(([id, { held }]) => [id, held])),
      peers: () => [...peers].map(([id, { rtt, quota }]) => meshPeer(id, rtt, quota)),
    },
    quarantine: { has: (peer) => peer === keptOut },
    profile: () => ({ ...hardware, memory_quota: 0 }),
    divide: () => several,
  })
})

function meshPeer(id: string, rtt: number, quota = 1e12): MeshPeer {
  const own = { ...hardware, memory_quota: quota }
  return { id, name: id, state: 'connected', addresses: [], rtt_ms: rtt, version: '1', profile: own, models: [] }
}

const chosen = (avoid: readonly string[] = [], allowed?: readonly string[]): string | undefined =>
  replacements.replace(manifest, LOST, new Set(avoid), allowed === undefined ? undefined : new Set(allowed))?.[0]?.peer

describe('the blocks of a lost peer go', () => {
  it('to whoever has exactly them loaded, then to the nearest with their tensors, then to the nearest with room', () => {
    expect(chosen()).toBe('ready')
    peers.delete('ready')
    // In the middle of what is one graph there, it would load again like others that have the tensors.
    expect(chosen()).toBe('whole')
    peers.set('whole', { rtt: 9, held: holding([[0, 4]]) })
    expect(chosen()).toBe('kept')
    peers.set('kept', { rtt: 2, held: holding([[0, 4]]), quota: 0 })
    peers.set('whole', { rtt: 9, held: holding([[0, 4]]), quota: 0 })
    expect(chosen()).toBe('near')
  })

  it('to nobody when their tensors are nowhere, however much room there is', () => {
    for (const peer of ['kept', 'ready', 'whole']) peers.delete(peer)
    several = [{ peer: 'near', from: 1, to: 3 }]
    expect(chosen()).toBeUndefined()
  })

  it('to nobody whom the request has not named', () => {
    expect(chosen([], ['self', 'kept'])).toBe('kept')
    expect(chosen([], ['self'])).toBeUndefined()
    several = [{ peer: 'near', from: 1, to: 3 }]
    expect(chosen([], ['self'])).toBeUndefined()
  })

  it('to several where no single one has room', () => {
    for (const [id, peer] of peers) peers.set(id, { ...peer, held: holding([[0, 4]]), quota: 0 })
    several = [
      { peer: 'near', from: 1, to: 2 },
      { peer: 'kept', from: 2, to: 3 },
    ]
    expect(replacements.replace(manifest, LOST, new Set())).toEqual(several)
  })

  it('last to whoever failed or was lost lately, and not never', async () => {
    expect(chosen(['ready'])).toBe('whole')
    replacements.peerLost('ready')
    expect(chosen()).toBe('whole')
    await clock.advance(1_000)
    expect(chosen()).toBe('whole')
    await clock.advance(1_500)
    expect(chosen()).toBe('ready')
    replacements.peerLost('ready')
    await clock.advance(2_500)
    expect(chosen()).toBe('whole')
    for (const peer of ['near', 'kept', 'whole']) peers.delete(peer)
    expect(chosen()).toBe('ready')
  })
})

it('a placement is repaired where peers of it are gone, and left alone elsewhere', () => {
  const stages = [{ peer: 'origin', from: 0, to: 1 }, LOST, { peer: 'kept', from: 3, to: 4 }]
  expect(replacements.repair(manifest, stages)).toEqual([stages[0], { ...LOST, peer: 'ready' }, stages[2]])
  for (const peer of [...peers.keys()].filter((id) => id !== 'kept')) peers.delete(peer)
  peers.set('kept', { rtt: 2, held: [] })
  expect(replacements.repair(manifest, stages)).toBeUndefined()
})

const ofRequest = (request: Partial<GenerateRequest>, forbidden?: string): RequestFailover =>
  failoverOf(
    {
      self: 'self',
      telemetry: { count: () => undefined },
      replacements,
      site: {
        mayRoute: (peer) => peer !== forbidden,
        admit: ({ peer }) => {
          throw new Error(`the policy keeps ${peer} out`)
        },
      },
      quarantine: {
        has: (peer) => peer === keptOut,
        isListed: (peer) => peer === keptOut,
        refuse: (all) => {
          if ([...all].includes(keptOut ?? '')) throw new Error(`${keptOut} is in quarantine`)
        },
      },
    },
    manifest,
    request,
    { successor: () => undefined },
  )

it('a text waits a minute for somebody to take lost blocks, one that has not begun a moment, and each as long as it says itself', () => {
  const waits = (request: Partial<GenerateRequest>): number[] =>
    [true, false].map((isBegun) => ofRequest(request).patience(isBegun))
  expect(waits({})).toEqual([60_000, 2_500])
  expect(waits({ deadline: 7_000 })).toEqual([7_000, 7_000])
})

it('the kernels of a peer that has gone are those that it told before', () => {
  const told = new Map([['kept', { ...profile('kept'), addresses: [] }]])
  replacements = new Replacements({
    self: 'self',
    clock,
    mesh: { state: () => 'connected', profiles: () => told, holdings: () => new Map(), peers: () => [] },
    profile: () => hardware,
    divide: () => undefined,
  })
  const request = ofRequest({})
  const { kernel } = told.get('kept')!.hardware
  expect([request.kernel('kept'), request.kernel('stranger')]).toEqual([kernel, ''])
  told.clear()
  expect(request.kernel('kept')).toBe(kernel)
})

describe('the route of a text that begins anew', () => {
  const at = [{ peer: 'self', from: 0, to: 1 }, LOST, { peer: 'kept', from: 3, to: 4 }]
  const anew = (placement?: GenerateRequest['placement'], forbidden?: string): readonly RouteSegment[] =>
    ofRequest(placement === undefined ? {} : { placement }, forbidden).anew(at)

  it('has others in the place of whoever is not there or kept out, and is else where it was', () => {
    expect(anew()).toEqual([at[0], { ...LOST, peer: 'ready' }, at[2]])
    peers.set('lost', { rtt: 1, held: [] })
    expect(anew()).toEqual(at)
    keptOut = 'lost'
    expect(anew()).toEqual([at[0], { ...LOST, peer: 'ready' }, at[2]])
  })

  it('does not go over a peer that drains, though that serves what it has', () => {
    peers.set('lost', { rtt: 1, held: [] })
    draining = 'lost'
    expect(replacements.isReachable('lost')).toBe(true)
    expect(anew()[1]).toEqual({ ...LOST, peer: 'ready' })
  })

  it('stays where nobody else may take its blocks: its session waits for somebody', () => {
    const stages = [LOST, { peer: 'kept', from: 3, to: 4 }]
    expect(anew({ model: manifest.model, stages })[1]).toEqual({ ...LOST, peer: 'kept' })
    expect(anew('local')).toEqual(at)
    expect(anew(undefined, 'ready')).toEqual(at)
  })

  it('is refused where one of it is kept out by now and nobody else may take its blocks', () => {
    peers.set('lost', { rtt: 1, held: [] })
    expect(() => anew('local', 'kept')).toThrow('the policy keeps kept out')
    keptOut = 'lost'
    expect(() => anew('local')).toThrow('lost is in quarantine')
    expect(anew()[1]).toEqual({ ...LOST, peer: 'ready' })
  })
})
