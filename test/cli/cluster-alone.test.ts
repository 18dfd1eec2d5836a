/** Commands on the cluster of a home where no peer runs: one at a time, and never beside a peer that is about to start. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { homePaths, lockHome } from '../../src/peer/index.ts'
import { loadOrCreateIdentity, openClusterHome, readClusterPin } from '../../src/trust/index.ts'
import { canonicalJson, systemRandom } from '../../src/util/index.ts'
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
      expect(await run('cluster', 'show')).toMatchObject({ schema: 'weft.cluster/1', height: 1 })
    expect(done).toBe(false)
    await giveBack()
    expect(await rotated).toMatchObject({ schema: 'weft.cluster-changed/1', height: 2, epoch: 2 })
    expect(await run('cluster', 'rotate')).toMatchObject({ height: 3, epoch: 3 })
  })

  it('lets in a peer that cannot reach it, by a file that serves nobody else and is believed whole or not at all', async () => {
    const at = async (where: string, ...args: string[]): Promise<Record<string, unknown>> =>
      json((await call([...args, '--json', '--home', where])).stdout)
    const [there, stranger] = [join(home, 'there'), join(home, 'stranger')]
    const id = String((await at(there, 'key', 'id'))['peer'])
    const founded = await run('cluster', 'create', 'northwind')
    const file = join(home, 'station.json')
    const admit = (): Promise<Record<string, unknown>> =>
      run('invite', 'create', '--offline', '--peer', id, '--site', 'station-4', '--out', file)
    expect(await run('invite', 'create', '--offline', '--out', file)).toMatchObject({ schema: 'weft.error/1' })
    expect(await admit()).toMatchObject({ schema: 'weft.admitted/1', peer: id, role: 'member', file })
    // over another file it writes nothing, and elsewhere the same again: the peer is in, and needs its file
    expect(await admit()).toMatchObject({ schema: 'weft.error/1' })
    const again = ['invite', 'create', '--offline', '--peer', id]
    expect(await run(...again, '--site', 'station-4')).toMatchObject({ schema: 'weft.admitted/1' })
    expect(await run(...again, '--role', 'admin')).toMatchObject({ error: { code: 'WEFT-TRU-104' } })
    expect(await run('cluster', 'show')).toMatchObject({ height: 2 })
    const text = await readFile(file, 'utf8')
    const { entries, ...rest } = JSON.parse(text) as { entries: string[] }
    const bad: [string, string][] = [
      [text.slice(0, -20), 'WEFT-TRU-150'],
      [JSON.stringify({ ...rest, entries: [...entries, entries[1]] }), 'WEFT-TRU-102'],
      [JSON.stringify({ ...rest, entries: entries.map((one) => one.slice(0, -8)) }), 'WEFT-TRU-101'],
      [JSON.stringify({ ...rest, entries, cluster: 'ab'.repeat(32) }), 'WEFT-TRU-102'],
      [JSON.stringify({ ...rest, entries, addresses: ['/ip4/192.0.2.7/tcp/1'] }), 'WEFT-TRU-150'],
    ]
    for (const [content, code] of bad) {
      await writeFile(join(home, 'bad.json'), content)
      expect(await at(there, 'join', join(home, 'bad.json'))).toMatchObject({ error: { code } })
    }
    expect(await at(stranger, 'join', file)).toMatchObject({ error: { code: 'WEFT-TRU-154' } })
    for (const where of [there, stranger]) expect(await readClusterPin(where)).toBeUndefined()
    expect(await at(there, 'join', file)).toMatchObject({
      schema: 'weft.joined/1',
      cluster: founded['id'],
      role: 'member',
      site: 'station-4',
      members: 2,
    })
  })

  it('binds no invite to a peer that it would not let in, and leaves nobody behind without an admin', async () => {
    const { admin } = await run('cluster', 'create', 'northwind')
    const there = join(home, 'there')
    const id = String(json((await call(['key', 'id', '--json', '--home', there])).stdout)['peer'])
    const file = join(home, 'station.json')
    const address = ['--address', '/ip4/192.0.2.7/tcp/7334']
    const bound = (peer: string): Promise<unknown> => run('invite', 'create', '--peer', peer, ...address)
    expect(await bound(id)).toMatchObject({ schema: 'weft.invite/1', peer: id })
    expect(await bound(String(admin))).toMatchObject({ error: { code: 'WEFT-TRU-104' } })
    await run('invite', 'create', '--offline', '--peer', id, '--out', file)
    expect(json((await call(['join', file, '--json', '--home', there])).stdout)).toMatchObject({ members: 2 })
    expect(await bound(id)).toMatchObject({
      error: { code: 'WEFT-TRU-104', message: expect.stringContaining('is a member already') as string },
    })
    expect(await run('cluster', 'leave')).toMatchObject({
      error: { code: 'WEFT-TRU-104', message: expect.stringContaining('no admin would') as string },
    })
    await run('revoke', id, '--reason', 'lost')
    expect(await bound(id)).toMatchObject({
      error: { code: 'WEFT-TRU-104', message: expect.stringContaining('does not come back') as string },
    })
    expect(await run('invite', 'ls')).toMatchObject({ invites: [{ peer: id }] })

    // the one that is out, once it has heard of it: what it can do, and what it need not do
    const { entries } = (await run('cluster', 'export')) as { entries: unknown[] }
    const identity = await loadOrCreateIdentity({ directory: join(there, 'keys') })
    const own = await openClusterHome({ identity, random: systemRandom(), wall: () => Date.now() }, there)
    await own.cluster.merge(entries.map((entry) => Buffer.from(canonicalJson(entry))))
    own.close()
    const { stderr } = await call(['join', file, '--home', there])
    expect(stderr).toMatch(/WEFT-TRU-171[^]*was removed from it[^]*move keys\/identity\.key away/)
    expect((await call(['cluster', 'leave', '--home', there])).stderr).toMatch(/had been removed from it before/)
    expect(await run('cluster', 'leave')).toMatchObject({ schema: 'weft.cluster-left/1' })
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
