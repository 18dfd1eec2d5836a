/** What somebody who knows the door of a cluster, and is no member, is told: nothing of its name, its size and its members. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { decodeControl } from '../../src/net/index.ts'
import { newIdentity, openInviteBook } from '../../src/trust/index.ts'
import type { Cluster } from '../../src/trust/index.ts'
import { until } from '../net/helpers.ts'
import { random } from '../trust/support/cluster.ts'
import { members, run } from './support/members.ts'
import type { Running } from './support/members.ts'
import { PROTOCOLS, stranger } from './support/stranger.ts'
import type { Heard, Stranger } from './support/stranger.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function admin(): Promise<{ readonly a: Running; readonly cluster: Cluster }> {
  const { cluster, founder } = members(3, 'northwind')
  const folder = await mkdtemp(join(tmpdir(), 'weft-stranger-'))
  const invites = openInviteBook(join(folder, 'invites.sqlite'), random)
  const a = await run(cluster, founder, { invites })
  cleanups.push(
    () => rm(folder, { recursive: true, force: true }),
    () => a.stop(),
  )
  return { a, cluster }
}

async function visitor(cluster: Cluster, identity = newIdentity()): Promise<Stranger> {
  const one = await stranger(identity, cluster.id, cluster.doorKey)
  cleanups.push(() => one.stop())
  return one
}

/** What stands in the log, and no outsider may read. */
function secretsOf(cluster: Cluster): string[] {
  const { name, members: all, head } = cluster.view()
  const others = all.filter(({ peer }) => peer !== cluster.self).map(({ peer }) => peer)
  return [name, 'a secret name', 'founder', 'm0', head.hash, ...others]
}

function wordsOf(heard: readonly Heard[]): string {
  return heard.map(({ bytes }) => Buffer.concat(bytes).toString('latin1')).join('\n')
}

const typesOf = (heard: readonly Heard[], protocol: string): Set<number> =>
  new Set(heard.filter((one) => one.protocol === protocol).flatMap(({ frames }) => frames.map(({ type }) => type)))

describe('a stranger who knows the door', () => {
  test('asks every protocol, dialling and dialled, and is told nothing of the cluster', async () => {
    const { a, cluster } = await admin()
    const one = await visitor(cluster)
    expect(PROTOCOLS).toEqual(expect.arrayContaining(['/weft/hello/1', '/weft/membership/1', '/weft/enrol/1']))
    await one.visit(a.address)
    expect(one.verdicts).toEqual([{ verdict: 'refused', code: 'WEFT-DSC-011' }])
    // it has a log that nobody knows: it is asked which, without a head of ours
    await until(() => typesOf(one.heard, '/weft/membership/1').has(6))
    a.network.keep(one.address)
    await until(() => one.verdicts.length > 1)

    expect(typesOf(one.heard, '/weft/membership/1')).toEqual(new Set([6]))
    expect(typesOf(one.heard, '/weft/enrol/1')).toEqual(new Set([2]))
    const other = new Set(one.heard.filter(({ frames }) => frames.length > 0).map(({ protocol }) => protocol))
    expect([...other].sort()).toEqual(['/weft/enrol/1', '/weft/hello/1', '/weft/membership/1'])
    const said = one.heard
      .filter(({ protocol, called }) => protocol === '/weft/hello/1' && called)
      .flatMap(({ frames }) => frames.map(({ control }) => decodeControl(control) as Record<string, unknown>))
      .filter((value) => 'software' in value)
    expect(said[0]).toMatchObject({ name: '', network: '', epoch: 0, addresses: [] })
    expect(said[0]).not.toHaveProperty('log')
    const words = wordsOf(one.heard)
    for (const secret of secretsOf(cluster)) expect(words).not.toContain(secret)
  })

  test('and the control: the same program with the identity of a member is told all of it', async () => {
    const { a, cluster } = await admin()
    const member = newIdentity()
    cluster.admit({ peer: member.id, name: 'one more', role: 'member', site: '' })
    const one = await visitor(cluster, member)
    void one.visit(a.address).catch(() => undefined)
    await until(() => typesOf(one.heard, '/weft/membership/1').has(3))
    const words = wordsOf(one.heard)
    // the first entry, with the name, is what every question begins behind
    const behind = secretsOf(cluster).filter((secret) => !['northwind', 'founder', 'a secret name'].includes(secret))
    for (const secret of behind) expect(words).toContain(secret)
  })
})
