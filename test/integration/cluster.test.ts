/** The ceremony of a private cluster between real processes: found, invite, join, serve, remove in mid-answer, restart. */
import { cp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isLong } from '../whole.ts'
import { json, weft } from '../cli/support.ts'
import type { Outcome } from '../cli/support.ts'
import type { ClusterOutcome } from '../../src/peer/index.ts'
import { answer, codeOf, counter, createLab, endProcess, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const LONG = 160
/** Nobody has the block, or whoever had it went away. */
const NOT_YET = ['WEFT-INF-030', 'WEFT-INF-033']

describe.runIf(isLong)('a private cluster', () => {
  let lab: Lab

  beforeEach(async () => void (lab = await createLab()))
  afterEach(() => lab.stop())

  const command = (name: string, ...args: string[]): Promise<Outcome> => weft([...args, '--home', lab.home(name)])
  const documented = async (name: string, ...args: string[]): Promise<Record<string, unknown>> =>
    json((await command(name, ...args, '--json')).stdout)
  const invited = async (by: string, joiner: string, ...options: string[]): Promise<Record<string, unknown>> => {
    const { token } = await documented(by, 'invite', 'create', ...options)
    return documented(joiner, 'join', token as string, '--name', joiner)
  }
  const connected = async (peer: RealPeer): Promise<string[]> =>
    (await peer.access.status()).peers.filter(({ state }) => state === 'connected').map(({ id }) => id)
  const start = (name: string): Promise<RealPeer> => lab.start(name)

  it('is joined by invites, serves, and goes on with the same text when a member is removed in mid-answer', async () => {
    const created = await documented('a', 'cluster', 'create', 'northwind', '--name', 'a', '--site', 'hq')
    expect(created).toMatchObject({ schema: 'weft.cluster-created/1', threshold: { k: 1, n: 1 }, root_key: null })
    let a = await start('a')
    const { token } = await documented('a', 'invite', 'create', '--site', 'st-marys')
    // of two who come with one invite at the same moment one gets in
    const both = await Promise.all(['b', 'x'].map((name) => documented(name, 'join', token as string, '--name', name)))
    const inside = both.filter(({ schema }) => schema === 'weft.joined/1')
    expect(inside).toHaveLength(1)
    expect(both.find(({ schema }) => schema === 'weft.error/1')).toMatchObject({ error: { code: 'WEFT-TRU-153' } })
    expect(inside[0]).toMatchObject({ cluster: created['id'], name: 'northwind', role: 'member', site: 'st-marys' })
    const second = inside[0]!['peer'] === undefined || both[0] === inside[0] ? 'b' : 'x'
    expect(await invited('a', 'c')).toMatchObject({ schema: 'weft.joined/1', members: 3 })

    let [b, c] = await Promise.all([start(second), start('c')])
    await joined([a, b, c])
    const status = await b.access.status()
    expect(status.peer.network).toBe('northwind')
    expect(status.cluster).toMatchObject({ role: 'member', epoch: 1, members: 3, stale: false })
    expect(status.peers.find(({ id }) => id === a.id)).toMatchObject({ role: 'admin', site: 'hq' })

    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    const stages = placement('tiny', [
      [a, 0, 1],
      [b, 1, 4],
      [c, 4, 7],
      [a, 7, 8],
    ])
    await a.access.deploy('tiny', stages, () => undefined)
    for (const folder of ['cluster', 'keys', 'peers', 'state'])
      await cp(join(lab.home('c'), folder), join(lab.home('c-old'), folder), { recursive: true })
    const expected = await answer(a, greedy('tiny', LONG, { placement: 'local' }))
    let revoked: Promise<ClusterOutcome> | undefined
    const got = await answer(a, greedy('tiny', LONG), (count) => {
      if (count === 20) revoked = a.access.cluster({ do: 'revoke', peer: c.id, reason: 'laptop lost' })
    })
    expect(got.error).toBeUndefined()
    expect(got.ids).toEqual(expected.ids)
    expect(got.reroutes.length).toBeGreaterThan(0)
    expect(got.reroutes.at(-1)?.route.map(({ peer }) => peer)).not.toContain(c.id)
    expect(await revoked).toMatchObject({ schema: 'weft.cluster-changed/1', peer: c.id, epoch: 2 })

    await until(
      'nobody speaks to it',
      async () => (await connected(a)).length === 1 && (await connected(b)).length === 1,
    )
    expect((await counter(a, 'members_cut')) + (await counter(c, 'members_cut'))).toBeGreaterThan(0)
    await until('it knows', async () => (await c.access.status()).cluster?.role === null)
    expect(await connected(c)).toEqual([])
    const refused = await answer(c, greedy('tiny', 4, { placement: stages, deadline: 3_000 }))
    expect(codeOf(refused.error)).toMatch(/^WEFT-/)
    expect(refused.ids).toEqual([])

    // it comes again after a restart, and meets members that have been restarted
    await Promise.all([a, b, c].map((peer) => endProcess(peer.child)))
    ;[a, b, c] = await Promise.all([start('a'), start(second), start('c')])
    await joined([a, b])
    expect((await a.access.status()).cluster).toMatchObject({ epoch: 2, members: 2 })
    expect(await connected(c)).toEqual([])
    // its stages come back one after the other: an answer that finds nobody yet for a block is asked for again
    await until('it serves again', async () => {
      const { ids, error } = await answer(a, greedy('tiny', 8))
      if (error === undefined) expect(ids).toEqual(expected.ids.slice(0, 8))
      else expect(NOT_YET).toContain(codeOf(error))
      return error === undefined
    })
    expect((await command('b', 'join', token as string)).status).not.toBe(0)
    const shown = await documented('a', 'cluster', 'show', '--verify')
    expect(shown).toMatchObject({ verified: 5, removed: [{ id: c.id, reason: 'laptop lost' }], forks: [] })
    // nor is the log from before: whoever has taken in the removal cuts it off before it can say a word
    await endProcess(c.child)
    c = await lab.start('c-old', ['--bootstrap', a.addresses[0]!])
    await until('it is cut off at the door', async () => (await counter(a, 'members_refused')) > 0)
    expect(await connected(c)).toEqual([])
    // what the removed one kept is no way back: its log is the cluster's, and ends with its own removal
    const log = await readFile(join(lab.home('c'), 'cluster', 'cluster.json'), 'utf8')
    expect(JSON.parse(log)).toMatchObject({ cluster: created['id'] })
  }, 180_000)
})
