/** A site that lets nobody place a model there says so before anything is placed: by its name and its rule, and what stands goes on. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { PlacementStage } from '../../src/pipeline/index.ts'
import { crossing, write } from '../pipeline/graph/support/models.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const WAIT = { timeout: 60_000, interval: 50 }

const CONNECT = { name: 'join', allow: ['connect'] }
const ALL = { name: 'all', allow: ['compute', 'fetch', 'place', 'route'] }
const NOT_HERE = { name: 'no-guests', deny: ['place'] }

let folder: string
let [a, b, c]: LocalPeer[] = []
let blocks = 0

async function start(name: string, more: Partial<CreatePeerInit> = {}): Promise<LocalPeer> {
  const network = `place-${folder.slice(-6)}`
  const listen = ['/ip4/127.0.0.1/tcp/0']
  const own = { home: join(folder, name), name, network, listen, lan: 'off', threads: 1, logLevel: 'error' } as const
  return createPeer({ ...own, ...more })
}

/** In force when it returns. */
async function apply(peer: LocalPeer, rules: readonly object[]): Promise<void> {
  const egress = { activations: [a!.id, b!.id, c!.id] }
  const text = JSON.stringify({ schema: 'weft.policy/1', egress, rules: [CONNECT, ...rules] })
  await writeFile(join(peer.home, 'policy.json'), text, { mode: 0o600 })
  const sha256 = createHash('sha256').update(text).digest('hex')
  await vi.waitFor(() => expect(peer.status().site?.policy?.sha256).toBe(sha256), WAIT)
}

const over = (other: LocalPeer): PlacementStage[] => [
  { peer: a!.id, from: 0, to: 1 },
  { peer: other.id, from: 1, to: blocks - 1 },
  { peer: a!.id, from: blocks - 1, to: blocks },
]

const deploy = (stages?: PlacementStage[], model = 'tiny'): Promise<unknown> =>
  a!.deploy(model, stages === undefined ? undefined : { model, stages })

const standing = (): unknown => a!.status().placements?.map(({ epoch, stages }) => ({ epoch, stages }))

async function answered(): Promise<number> {
  let tokens = 0
  const input = { kind: 'text', text: 'The whale' } as const
  for await (const event of a!.generate({ model: 'tiny', input, sampling: GREEDY, maxTokens: 4 }))
    if (event.type === 'token') tokens++
  return tokens
}

function refusedBy({ id }: LocalPeer, name: string, rule: string): object {
  return {
    code: 'WEFT-TRU-072',
    message: `the policy of ${name} (${id}) does not allow to place: rule ${rule}`,
    details: { action: 'place', peer: a!.id, rule, model: 'tiny', site: id },
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-place-'))
  a = await start('a')
  await a.importModel({ source: TINY, name: 'tiny' })
  blocks = (await a.manifest('tiny')).blocks.length
  const bootstrap = a.status().peer.addresses
  ;[b, c] = await Promise.all([start('b', { bootstrap }), start('c', { bootstrap })])
  const here = (): unknown[] => a!.status().peers.filter(({ state }) => state === 'connected')
  await vi.waitFor(() => expect(here()).toHaveLength(2), WAIT)
}, 120_000)

afterAll(async () => {
  for (const peer of [a, b, c]) await peer?.stop({ drain: 0 })
  await rm(folder, { recursive: true })
})

describe('a placement by hand', () => {
  afterEach(() => a!.undeploy('tiny'))

  it('that a site refuses while it is waited for ends then, and what stood before stands again', async () => {
    await apply(c!, [ALL])
    await deploy(over(b!))
    // Nobody gives it the weights, so it is not ready and does not fail.
    for (const peer of [a!, b!]) await apply(peer, [{ ...ALL, allow: ['compute', 'place', 'route'] }])
    const waiting = deploy(over(c!))
    const told = expect(waiting).rejects.toMatchObject(refusedBy(c!, 'c', 'default'))
    await vi.waitFor(() => expect(c!.status().placements?.map(({ stages }) => stages)).toEqual([over(c!)]), WAIT)
    await apply(c!, [{ ...ALL, allow: ['compute', 'fetch', 'route'] }])
    await told
    for (const peer of [a!, b!]) await apply(peer, [ALL])
    expect(a!.status().placements?.map(({ stages }) => stages)).toEqual([over(b!)])
    await apply(c!, [ALL])
  }, 240_000)

  it('on a site that refuses it is refused by the name of that site and its rule; what stands is untouched', async () => {
    // The control: the same deploy, where nothing forbids it.
    await apply(c!, [ALL])
    await deploy(over(c!))
    await deploy(over(b!))
    const before = standing()
    await apply(c!, [ALL, NOT_HERE])
    await expect(deploy(over(c!))).rejects.toMatchObject(refusedBy(c!, 'c', 'no-guests'))
    expect(standing()).toEqual(before)
    expect(await answered()).toBe(4)
    // nobody has heard of it, and the site that refused has written it down
    expect(b!.status().placements?.map(({ stages }) => stages)).toEqual([over(b!)])
    expect(c!.status().counters['policy_refused']).toBeGreaterThan(0)
    expect(a!.status().counters['placements_refused']).toBeGreaterThan(0)
    await apply(c!, [ALL])
    await deploy(over(c!))
  }, 240_000)
})

it('a graph is not placed on a site that refuses, whatever it computes for others', async () => {
  await a!.importModel({ source: await write(folder, 'crossing.onnx', crossing(8)) })
  const all = (await a!.manifest('crossing')).blocks.length
  const stages = [
    { peer: a!.id, from: 0, to: all - 1 },
    { peer: c!.id, from: all - 1, to: all },
  ]
  await apply(c!, [{ ...ALL, allow: ['compute', 'fetch'] }])
  await expect(deploy(stages, 'crossing')).rejects.toMatchObject({ code: 'WEFT-TRU-072', details: { site: c!.id } })
  expect(standing()).toEqual([])
  await apply(c!, [ALL])
  // The control.
  await deploy(stages, 'crossing')
  await a!.undeploy('crossing')
}, 120_000)

describe('a placement that weft chooses', () => {
  let small: LocalPeer
  const stagesOf = (): string[] => [
    ...new Set(small.status().placements?.flatMap(({ stages }) => stages.map(({ peer }) => peer)) ?? []),
  ]

  beforeAll(async () => {
    const manifest = await a!.manifest('tiny')
    const bytes = (manifest.blocks as readonly { memory: number }[]).reduce((sum, { memory }) => sum + memory, 0)
    await a!.stop({ drain: 0 })
    small = a = await start('a', { memory: Math.floor(bytes * 0.9), bootstrap: b!.status().peer.addresses })
    const here = (): unknown[] => small.status().peers.filter(({ state }) => state === 'connected')
    await vi.waitFor(() => expect(here()).toHaveLength(2), WAIT)
  }, 120_000)

  it('goes over those that let it, and where nobody does one of them is named', async () => {
    await apply(c!, [ALL, NOT_HERE])
    await apply(b!, [ALL])
    await deploy()
    expect(stagesOf()).toContain(b!.id)
    expect(stagesOf()).not.toContain(c!.id)
    await small.undeploy('tiny')
    await apply(b!, [{ ...ALL, allow: ['compute', 'fetch'] }])
    await expect(deploy()).rejects.toMatchObject({ code: 'WEFT-TRU-072', details: { action: 'place' } })
    expect(stagesOf()).toEqual([])
    // A question without a placement says so too, and does not wait for one.
    await expect(answered()).rejects.toMatchObject({ code: 'WEFT-TRU-072' })
  }, 120_000)
})
