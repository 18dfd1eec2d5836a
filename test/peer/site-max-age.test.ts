/** How long a membership is believed that no admin confirms: the policy of the site says it, and who starts the peer may say less. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import {
  adoptClusterHome,
  createCluster,
  composeGenesis,
  decodeEntry,
  foundLog,
  loadOrCreateIdentity,
  memoryLogStore,
  newIdentity,
  sealEntry,
} from '../../src/trust/index.ts'
import { systemRandom } from '../../src/util/index.ts'
import { clusterWarnings } from '../../src/cli/cluster/view.ts'
import { call, json } from '../cli/support.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const HOUR = 3_600_000
const random = systemRandom()

let home: string
let other: string
type LocalPeer = Awaited<ReturnType<typeof createPeer>>
let running: LocalPeer | undefined

/** A member whose log is two hours old, and whose admin is nowhere. */
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'weft-max-age-'))
  await mkdir(join(home, 'keys'), { mode: 0o700 })
  const identity = await loadOrCreateIdentity({ directory: join(home, 'keys') })
  const [root, founder] = [newIdentity(), newIdentity()]
  const needs = { random, wall: () => Date.now() - 2 * HOUR }
  const who = { peer: founder.id, name: '', site: '' }
  const body = composeGenesis(needs, { name: 'north', root: root.id, founder: who, threshold: { k: 1, n: 1 } })
  const store = memoryLogStore()
  const init = { store, log: foundLog(store, sealEntry(body, root, founder)) }
  const admin = createCluster({ ...needs, identity: founder }, init)
  other = newIdentity().id
  for (const peer of [identity.id, other]) admin.admit({ peer, name: '', role: 'site', site: '' })
  const entries = admin.log.entries(0, 10).map(decodeEntry)
  ;(await adoptClusterHome({ random, wall: () => Date.now(), identity }, home, admin.id, entries)).close()
})
afterEach(async () => {
  await running?.stop()
  running = undefined
  await rm(home, { recursive: true })
})

const policy = (rest: object): Promise<void> =>
  writeFile(join(home, 'policy.json'), JSON.stringify({ schema: 'weft.policy/1', rules: [ALL], ...rest }), {
    mode: 0o600,
  })
const ALL = { name: 'all', allow: ['connect', 'place', 'compute', 'fetch', 'route'] }
const start = async (maxAge?: number): Promise<LocalPeer> =>
  (running = await createPeer({
    home,
    listen: null,
    lan: 'off',
    threads: 1,
    ...(maxAge === undefined ? {} : { maxAge }),
  }))
const stale = (peer: LocalPeer): boolean | undefined => peer.status().cluster?.stale

describe('max_age of the policy', () => {
  it('refuses all but news with a code while no admin is heard, and no more when the policy allows it again', async () => {
    await policy({ max_age: '1h', egress: { activations: [other] } })
    const peer = await start()
    expect(stale(peer)).toBe(true)
    await peer.importModel({ source: TINY, name: 'tiny' })
    const self = { model: 'tiny', stages: [{ peer: peer.id, from: 0, to: 8 }] }
    await expect(peer.deploy('tiny', self)).rejects.toMatchObject({ code: 'WEFT-TRU-114', retryable: true })
    expect(clusterWarnings(peer.status())).toEqual([expect.stringContaining('WEFT-TRU-114')])
    expect(json((await call(['policy', 'explain', '--json', '--home', home])).stdout)).toMatchObject({
      max_age: { ms: HOUR },
    })
    await policy({ max_age: '3h' })
    await expect.poll(() => stale(peer), { timeout: 10_000 }).toBe(false)
    const sha256 = peer.status().site?.policy?.sha256
    await policy({})
    await expect.poll(() => peer.status().site?.policy?.sha256, { timeout: 10_000 }).not.toBe(sha256)
    expect(stale(peer)).toBe(false)
  })

  it('is not loosened by whoever starts the peer, who may ask for more', async () => {
    await policy({ max_age: '1h' })
    expect(stale(await start(3 * HOUR))).toBe(true)
    await running?.stop()
    await policy({ max_age: '3h' })
    expect(stale(await start(HOUR))).toBe(true)
    await running?.stop()
    expect(stale(await start(3 * HOUR))).toBe(false)
  })
})
