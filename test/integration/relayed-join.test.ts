/**
 * A site with outgoing connections only founds a cluster: who is invited hands the invite in through another member, and is met
 * that way from then on, until it is removed. Real processes; neither of the two listens on anything.
 */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { json, weft } from '../cli/support.ts'
import { isLong } from '../whole.ts'
import { answer, counter, createLab, endProcess, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

describe.runIf(isLong)('an admin that nobody can dial', () => {
  let lab: Lab
  beforeAll(async () => void (lab = await createLab()))
  afterAll(() => lab.stop())

  const documented = async (name: string, ...args: string[]): Promise<Record<string, unknown>> =>
    json((await weft([...args, '--home', lab.home(name), '--json'])).stdout)
  const connected = async (peer: RealPeer): Promise<string[]> =>
    (await peer.access.status()).peers.filter(({ state }) => state === 'connected').map(({ id }) => id)

  it('lets a site in through a relay, computes with it, and shuts it out', async () => {
    await documented('a', 'cluster', 'create', 'northwind', '--name', 'a')
    let a = await lab.start('a')
    const first = await documented('a', 'invite', 'create')
    await documented('r', 'join', first['token'] as string, '--name', 'r')
    const r = await lab.start('r')
    await joined([a, r])
    await endProcess(a.child)

    const outgoing = ['--listen', 'none', '--bootstrap', r.addresses[0]!]
    a = await lab.start('a', outgoing)
    await until('it has a way', async () => ((await a.access.status()).peer.reach?.circuits.length ?? 0) > 0)
    const { token, addresses } = await documented('a', 'invite', 'create', '--role', 'site', '--site', 'far')
    expect((addresses as string[]).every((one) => one.includes(`/p2p/${r.id}/p2p-circuit/p2p/${a.id}`))).toBe(true)
    expect(await documented('j', 'join', token as string, '--name', 'j')).toMatchObject({
      schema: 'weft.joined/1',
      role: 'site',
      members: 3,
    })
    // it knows no more than what its invite said
    const j = await lab.start('j', ['--listen', 'none', '--lan', 'off'])
    await joined([a, r, j])
    expect((await counter(a, 'relayed_connections')) + (await counter(j, 'relayed_connections'))).toBeGreaterThan(0)
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    const stages = placement('tiny', [
      [a, 0, 2],
      [j, 2, 6],
      [a, 6, 8],
    ])
    await a.access.deploy('tiny', stages, () => undefined)
    const alone = await answer(a, greedy('tiny', 24, { placement: 'local' }))
    expect(await answer(a, greedy('tiny', 24))).toMatchObject({ ids: alone.ids, error: undefined })

    for (const folder of ['cluster', 'keys', 'peers', 'state'])
      await cp(join(lab.home('j'), folder), join(lab.home('j-old'), folder), { recursive: true })
    await a.access.cluster({ do: 'revoke', peer: j.id, reason: 'lost' })
    await until('nobody speaks to it', async () => !(await connected(a)).includes(j.id))
    await endProcess(j.child)
    await lab.start('j-old', outgoing)
    await until('it is refused at the relay', async () => (await counter(r, 'members_refused')) > 0)
    expect(await connected(r)).toEqual([a.id])
    expect((await documented('x', 'join', token as string))['error']).toMatchObject({ code: 'WEFT-TRU-153' })
  }, 300_000)
})
