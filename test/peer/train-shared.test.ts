/** Examples leave for peers that share a run's steps where both sites let them, and for nobody else. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'

const WAIT = { timeout: 30_000, interval: 50 }
const CONNECT = { name: 'join', allow: ['connect'] }
const DATA = { name: 'records', allow: ['data'], data: ['rows-*'] }

let folder: string
let peers: LocalPeer[]

async function start(name: string, bootstrap: readonly string[]): Promise<LocalPeer> {
  const network = `shared-${folder.slice(-6)}`
  const listen = ['/ip4/127.0.0.1/tcp/0']
  return createPeer({ home: join(folder, name), name, network, listen, bootstrap, lan: 'off', threads: 1 })
}

/** In force when it returns. */
async function apply(peer: LocalPeer, rules: readonly object[], rest: object = {}): Promise<void> {
  const text = JSON.stringify({ schema: 'weft.policy/1', rules, ...rest })
  await writeFile(join(peer.home, 'policy.json'), text, { mode: 0o600 })
  const sha256 = createHash('sha256').update(text).digest('hex')
  await vi.waitFor(() => expect(peer.status().site?.policy?.sha256).toBe(sha256), WAIT)
}

let runs = 0
async function train(): Promise<string> {
  const [a, b] = peers as [LocalPeer, LocalPeer]
  const out = join(folder, `run-${++runs}`)
  const request = { plan: join(folder, 'plan.json'), out, resume: false, threads: 1, peers: [b.id] }
  try {
    const { sharers } = await a.train(request)
    return sharers.map(({ peer, shares }) => `${peer === b.id ? 'b' : peer} ${shares}`).join()
  } catch (error) {
    return `${(error as { code?: string }).code} ${(error as Error).message}`
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-shared-'))
  const rows = Array.from({ length: 40 }, (_, row) => `${row % 7},${row % 3},${row % 2}`)
  await writeFile(join(folder, 'rows.csv'), `a,b,c\n${rows.join('\n')}\n`)
  const plan = {
    schema: 'weft.train-plan/1',
    name: 'rows-2026',
    task: 'binary',
    data: { kind: 'csv', path: 'rows.csv' },
    target: { column: 'c' },
    model: { kind: 'linear' },
    optimizer: { kind: 'sgd', lr: 0.1 },
    epochs: 1,
    batch: 10,
    accumulate: 2,
  }
  await writeFile(join(folder, 'plan.json'), JSON.stringify(plan))
  const a = await start('a', [])
  peers = [a, await start('b', a.status().peer.addresses)]
  await vi.waitFor(() => expect(a.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
}, 60_000)

afterAll(async () => {
  await Promise.all(peers.map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

it('goes to nobody whom the policy of the origin does not let have data, and to nobody whose own lets it compute nothing', async () => {
  const [a, b] = peers as [LocalPeer, LocalPeer]
  // The control of all that follows.
  expect(await train()).toBe('b 4')
  const before = b.status().counters['training_sessions']
  await apply(a, [CONNECT, { name: 'prompts', allow: ['route'] }], { egress: { activations: [b.id] } })
  expect(await train()).toMatch(/^WEFT-TRU-072 .*data/)
  await apply(a, [CONNECT, DATA], { egress: { data: [b.id] } })
  expect(await train()).toBe('b 4')
  await apply(a, [CONNECT, { ...DATA, data: ['others'] }], { egress: { data: [b.id] } })
  expect(await train()).toMatch(/^WEFT-TRU-072/)
  await apply(a, [CONNECT, DATA], { egress: { data: [b.id] } })
  await apply(b, [CONNECT])
  expect(await train()).toMatch(/^WEFT-TRU-072/)
  expect(b.status().counters['training_sessions']).toBe((before ?? 0) + 1)
  await apply(b, [CONNECT, { name: 'guests', allow: ['compute'], peers: [a.id] }])
  expect(await train()).toBe('b 4')
}, 120_000)
