/** Graph models in parts under the policy of a site: `auto` leaves out whom it forbids, and values of guests do not pass it by. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { loadOrCreateIdentity } from '../../src/trust/index.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { crossing, f32, write } from '../pipeline/graph/support/models.ts'
import { isLong } from '../whole.ts'

const WIDTH = 32
const WAIT = { timeout: 60_000, interval: 50 }
const NAMES = ['site', 'friend', 'outsider'] as const
let folder: string
let [site, friend, outsider]: LocalPeer[] = []
let blocks = 0
const inputs: ReadonlyMap<string, AnyTensor> = new Map([
  ['x', f32([2, WIDTH])],
  ['late', f32([2, WIDTH], 100)],
])

async function start(name: string, bootstrap: readonly string[]): Promise<LocalPeer> {
  return createPeer({
    home: join(folder, name),
    name,
    network: `infer-policy-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    lan: 'off',
    threads: 1,
    logLevel: 'silent',
  })
}

function policyFor(...named: readonly string[]): string {
  const rules = [
    { name: 'all', allow: ['connect', 'relay', 'compute', 'place', 'fetch'] },
    { name: 'named', allow: ['route'], peers: named },
  ]
  return JSON.stringify({ schema: 'weft.policy/1', egress: { activations: named }, rules })
}

/** In force when it returns. */
async function apply(...named: readonly string[]): Promise<void> {
  const text = policyFor(...named)
  await writeFile(join(folder, 'site', 'policy.json'), text, { mode: 0o600 })
  const sha256 = createHash('sha256').update(text).digest('hex')
  await vi.waitFor(() => expect(site!.status().site?.policy?.sha256).toBe(sha256), WAIT)
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-infer-policy-'))
  const ids: string[] = []
  for (const name of NAMES) {
    await mkdir(join(folder, name, 'keys'), { recursive: true, mode: 0o700 })
    ids.push((await loadOrCreateIdentity({ directory: join(folder, name, 'keys') })).id)
  }
  await writeFile(join(folder, 'site', 'policy.json'), policyFor(ids[1]!), { mode: 0o600 })
  site = await start('site', [])
  const { addresses } = site.status().peer
  friend = await start('friend', addresses)
  outsider = await start('outsider', addresses)
  await vi.waitFor(() => {
    for (const peer of [site!, friend!, outsider!])
      expect(peer.status().peers.filter(({ state }) => state === 'connected')).toHaveLength(2)
  }, WAIT)
  await site.importModel({ source: await write(folder, 'crossing.onnx', crossing(WIDTH)) })
  blocks = (await site.manifest('crossing')).blocks.length
}, 120_000)

afterAll(async () => {
  for (const peer of [site, friend, outsider]) await peer?.stop({ drain: 0 })
  await rm(folder, { recursive: true })
})

describe.runIf(isLong)('a graph model in parts under a policy', () => {
  it('is computed without whom the policy forbids, and with it when the policy allows', async () => {
    const without = await site!.infer('crossing', inputs, { stages: 'auto' })
    expect(new Set(without.route.map(({ peer }) => peer))).toEqual(new Set([site!.id, friend!.id]))
    await apply(friend!.id, outsider!.id)
    const all = await site!.infer('crossing', inputs, { stages: 'auto' })
    expect(new Set(all.route.map(({ peer }) => peer))).toEqual(new Set([site!.id, friend!.id, outsider!.id]))
    expect([...all.outputs]).toEqual([...without.outputs])
  }, 240_000)

  it('of a guest does not carry values from this site to whom its policy forbids; to others it does', async () => {
    const stages = [
      { peer: site!.id, from: 0, to: 4 },
      { peer: outsider!.id, from: 4, to: blocks },
    ]
    await apply(friend!.id)
    await expect(friend!.infer('crossing', inputs, { stages })).rejects.toMatchObject({ code: 'WEFT-TRU-072' })
    await apply(friend!.id, outsider!.id)
    const made = await friend!.infer('crossing', inputs, { stages })
    expect(made.route.map(({ peer }) => peer)).toEqual([site!.id, outsider!.id])
  }, 240_000)
})
