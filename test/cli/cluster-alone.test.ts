/** Commands on the cluster of a home where no peer runs: one at a time, and never beside a peer that is about to start. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { homePaths, lockHome } from '../../src/peer/index.ts'
import { call, json } from './support.ts'

describe('weft cluster without a running peer', () => {
  let home: string
  beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), 'weft-alone-'))))
  afterEach(() => rm(home, { recursive: true, force: true }))
  const run = async (...args: string[]): Promise<Record<string, unknown>> =>
    json((await call([...args, '--json', '--home', home])).stdout)

  it('waits for whoever holds the home before it adds to the log; reading does not wait', async () => {
    expect(await run('cluster', 'create', 'northwind')).toMatchObject({ schema: 'weft.cluster-created/1' })
    const giveBack = await lockHome(homePaths(home, {}))
    let done = false
    const rotated = run('cluster', 'rotate').finally(() => (done = true))
    for (let looked = 0; looked < 2; looked++)
      expect(await run('cluster', 'show')).toMatchObject({ schema: 'weft.cluster/1', height: 0 })
    expect(done).toBe(false)
    await giveBack()
    expect(await rotated).toMatchObject({ schema: 'weft.cluster-changed/1', height: 1, epoch: 2 })
    expect(await run('cluster', 'rotate')).toMatchObject({ height: 2, epoch: 3 })
  })

  it('makes an invite with addresses that lead here, and with no others', async () => {
    const { admin } = await run('cluster', 'create', 'northwind')
    const invite = (address: string): Promise<unknown> => run('invite', 'create', '--address', address)
    const here = `/ip4/192.0.2.7/tcp/7334/p2p/${String(admin)}`
    for (const address of [here, here.replace(/\/p2p.*/, '')])
      expect(await invite(address)).toMatchObject({ schema: 'weft.invite/1', addresses: [here] })
    for (const address of ['/ip4/192.0.2.7/tcp/7334/p2p/nobody', 'nowhere', here.replace('7334', '99999')])
      expect(await invite(address)).toMatchObject({ error: { code: 'WEFT-TRU-160' } })
    expect(await run('invite', 'ls')).toMatchObject({ invites: [{}, {}] })
  })
})
