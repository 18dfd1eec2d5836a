/** Who moves a placement, and that all agree on where: real records of real meshes, over a network in memory and a clock by hand. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { MeshPlacement } from '../../src/mesh/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { Replanning } from '../../src/peer/replanning.ts'
import type { ReplanMode } from '../../src/peer/replanning.ts'
import { decisionOrder } from '../../src/placement/index.ts'
import type { Stage } from '../../src/placement/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { createWorld, profile } from '../mesh/support/make-mesh.ts'
import type { TestPeer, World } from '../mesh/support/make-mesh.ts'
import { randomModel } from '../pipeline/support/random-model.ts'

const MODEL = 'm'
const MINUTE = 60_000

let directory: string
let manifest: ModelManifest
let last: number
let world: World
let members: Member[]

/** A peer that loads what placements give to it, and looks after them. */
interface Member extends TestPeer {
  readonly replanning: Replanning
  readonly moves: string[]
  readonly left: string[]
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-replanning-'))
  manifest = { ...(await randomModel(await createBlobStore({ directory }), { type: 'Q8_0' })), model: MODEL }
  last = manifest.blocks.length
})
afterAll(() => rm(directory, { recursive: true, force: true }))
beforeEach(() => {
  world = createWorld()
  members = []
})
afterEach(async () => {
  for (const { replanning } of members) replanning.stop()
  await world.end()
})

interface Told {
  readonly blockMs: number
  readonly memory?: number
  readonly mode?: ReplanMode
}

const measured = ({ blockMs, memory = 2 ** 31 }: Told): Parameters<typeof profile>[1] => {
  const { hardware } = profile('any')
  const speed = { digest: manifest.digest, block_ms: blockMs, prefill_ms: blockMs }
  const models = [{ ...speed, predicted_block_ms: blockMs, predicted_prefill_ms: blockMs, error: 0 }]
  return { hardware: { ...hardware, memory_quota: memory, models } }
}

async function member(name: string, told: Told): Promise<Member> {
  const peer = await world.peer()
  const moves: string[] = []
  const left: string[] = []
  const replanning = new Replanning({
    self: peer.id,
    clock: world.clock,
    mesh: peer.mesh,
    placing: {
      placements: () => peer.mesh.placements(),
      publish: ({ digest, model }, init) => peer.mesh.publishPlacement(model, { ...init, digest }),
    },
    mode: told.mode ?? 'on',
    quiet: undefined,
    telemetry: { count: (counter, by = 1) => void peer.counters.set(counter, (peer.counters.get(counter) ?? 0) + by) },
    probation: { look: () => undefined },
    manifest: (digest) => (digest === manifest.digest ? manifest : undefined),
    isUsing: () => true,
    leave: (_digest, peers) => void left.push(...peers),
    emit: (event, data) => {
      if (event === 'placement.replanned') moves.push(String(data['action']))
    },
    log: () => undefined,
  })
  const member = { ...peer, replanning, moves, left } as Member
  members.push(member)
  peer.mesh.on({ changed: (kind) => kind === 'placement' && void world.clock.after(200, () => void load(member)) })
  await load(member)
  world.hub.connectAll()
  await peer.mesh.announceManifest(manifest)
  await peer.mesh.publishProfile(profile(name, measured(told)))
  replanning.start()
  await world.clock.advance(500)
  return member
}

/** Everybody has the tensors; what stands is loaded. */
async function load({ id, mesh }: TestPeer): Promise<void> {
  const given = mesh.placements().flatMap(({ stages, replicas }) => [...stages, ...replicas])
  const stages = given
    .filter(({ peer }) => peer === id)
    .map(({ from, to }) => ({ from, to, pid: 1, memory: 1, state: 'ready' as const }))
  await mesh.publishHoldings([{ model: MODEL, digest: manifest.digest, tensors: [[0, last]], stages }])
}

const on = (peer: TestPeer): Stage[] => [
  { peer: 'origin', from: 0, to: 1 },
  { peer: peer.id, from: 1, to: last - 1 },
  { peer: 'origin', from: last - 1, to: last },
]

async function place(by: Member, stages: Stage[], kind: MeshPlacement['kind'] = 'chosen'): Promise<void> {
  const note = { origin: by.id, objective: 'latency' as const }
  await by.mesh.publishPlacement(MODEL, { digest: manifest.digest, kind, stages, note })
  await world.clock.advance(1_000)
}

/** What every one of them says stands, if they agree. */
function standing(of: readonly Member[] = members): readonly Stage[] | undefined {
  const all = of.map(({ mesh }) => JSON.stringify(mesh.placement(MODEL)))
  expect(new Set(all).size).toBe(1)
  return of[0]!.mesh.placement(MODEL)?.stages
}

const moves = (of: readonly Member[] = members): string[] => of.flatMap((member) => member.moves)
/** Embedding and head fit, and no block beside them. */
const ends = (): number =>
  manifest.blocks.reduce((sum, block) => sum + (block.kind === 'decoder' ? 0 : block.memory), 0) + 1

describe('a faster peer joins', () => {
  let home: Member
  let slow: Member

  const begin = async (mode: ReplanMode = 'on', kind: MeshPlacement['kind'] = 'chosen'): Promise<Member> => {
    home = await member('home', { blockMs: 1, memory: ends(), mode })
    slow = await member('slow', { blockMs: 10, mode })
    await place(home, on(slow), kind)
    return member('fast', { blockMs: 2, mode })
  }

  it('one of all acts, once to load and once to switch, and answers under way are told to leave', async () => {
    const fast = await begin()
    await world.clock.advance(10_000)
    expect(standing()).toEqual(on(fast))
    // The clock by hand runs faster than signatures are made: a second one may act before it hears of the first.
    expect(new Set(moves())).toEqual(new Set(['prepare', 'switch']))
    expect(home.mesh.placement(MODEL)?.replicas).toEqual([{ peer: slow.id, from: 1, to: last - 1 }])
    for (const { left } of members) expect(new Set(left)).toEqual(new Set([slow.id]))
    const before = moves().length
    expect(members.reduce((sum, { counters }) => sum + (counters.get('replans') ?? 0), 0)).toBe(before)
    await world.clock.advance(2 * MINUTE)
    expect(moves()).toHaveLength(before)
  })

  it('and whoever is first in order does nothing: the next one acts, later', async () => {
    const fast = await begin()
    const epoch = home.mesh.placement(MODEL)!.epoch
    const [first] = decisionOrder(
      MODEL,
      epoch,
      members.map(({ id }) => id),
    )
    const lazy = members.find(({ id }) => id === first)!
    lazy.replanning.stop()
    await world.clock.advance(20_000)
    expect(standing()).toEqual(on(fast))
    expect(lazy.moves).toEqual([])
    expect(new Set(moves())).toEqual(new Set(['prepare', 'switch']))
  })

  it('and two act at once: one of both stands, and both go on from it', async () => {
    const fast = await begin()
    // Every frame takes so long that nobody hears of the other in time.
    let cut = true
    world.hub.tamper((frame) => (cut ? undefined : frame))
    await world.clock.advance(9_000)
    expect(moves().filter((action) => action === 'prepare').length).toBeGreaterThanOrEqual(2)
    cut = false
    await world.clock.advance(30_000)
    expect(standing()).toEqual(on(fast))
    await world.clock.advance(MINUTE)
    expect(standing()).toEqual(on(fast))
  })

  it.each<[string, ReplanMode, MeshPlacement['kind'], string | undefined]>([
    ['placed by hand', 'on', 'hand', 'pinned'],
    ['only to be shown', 'preview', 'chosen', 'prepare'],
    ['switched off', 'off', 'chosen', 'quiet'],
  ])('and nothing moves that is %s', async (_, mode, kind, why) => {
    await begin(mode, kind)
    await world.clock.advance(1.5 * MINUTE)
    expect(standing()).toEqual(on(slow))
    expect(moves()).toEqual([])
    const { decision } = home.replanning.view(home.mesh.placement(MODEL)!)!
    expect(decision.action === 'keep' ? decision.heldBy : decision.action).toBe(why)
  })
})

it('what does not fit the model is not weighed, and hinders no other', async () => {
  const [home, slow] = [await member('home', { blockMs: 1, memory: ends() }), await member('slow', { blockMs: 10 })]
  const view = (): unknown => home.replanning.view(home.mesh.placement(MODEL)!)
  await place(home, [...on(slow).slice(0, 1), { peer: slow.id, from: 1, to: last + 7 }])
  expect(view()).toBeUndefined()
  await place(home, [{ peer: slow.id, from: 0, to: last }])
  expect(view()).toBeUndefined()
  await place(home, on(slow))
  expect(view()).toBeDefined()
})

it('a partition: each side goes on with what it has, and after it all agree, once and for all', async () => {
  const [a, b, c, d] = [
    await member('a', { blockMs: 1, memory: ends() }),
    await member('b', { blockMs: 5 }),
    await member('c', { blockMs: 5 }),
    await member('d', { blockMs: 1, memory: ends() }),
  ]
  await place(a, on(b))
  for (const left of [a, b]) for (const right of [c, d]) world.hub.disconnect(left.id, right.id)
  await world.clock.advance(10_000)
  // The side without a holder repairs with its next request, as Placing does; the other needs nothing.
  expect(moves()).toEqual([])
  await place(d, on(c))
  await world.clock.advance(MINUTE)
  expect(standing([a, b])).toEqual(on(b))
  expect(standing([c, d])).toEqual(on(c))
  world.hub.connectAll()
  await world.clock.advance(30_000)
  expect(standing()).toEqual(on(c))
  await world.clock.advance(1.5 * MINUTE)
  expect(standing()).toEqual(on(c))
  expect(moves()).toEqual([])
})
