/** What happens to a cluster stands in the audit log of each of its sites: who let in or put out whom, and who came with which invite. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { enrol } from '../../src/mesh/index.ts'
import { runPeer } from '../../src/peer/create-peer.ts'
import type { RunningPeer } from '../../src/peer/create-peer.ts'
import {
  adoptClusterHome,
  auditPlaces,
  checkAuditFile,
  decodeToken,
  foundClusterHome,
  loadOrCreateIdentity,
  newIdentity,
  viewsOf,
} from '../../src/trust/index.ts'
import type { Identity, InviteToken } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'

const clock = systemClock()
const random = systemRandom()
const WAIT = { timeout: 30_000, interval: 50 }

let folder: string
const running: RunningPeer[] = []

const needs = (identity: Identity) => ({ identity, random, clock, wall: () => clock.wall() })

async function homeOf(name: string): Promise<{ readonly home: string; readonly identity: Identity }> {
  const home = join(folder, name)
  await mkdir(join(home, 'keys'), { recursive: true, mode: 0o700 })
  return { home, identity: await loadOrCreateIdentity({ directory: join(home, 'keys') }) }
}

async function start(home: string, name: string, bootstrap: readonly string[] = []): Promise<RunningPeer> {
  const started = await runPeer({
    home,
    name,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    lan: 'off',
    bootstrap,
    threads: 1,
    logLevel: 'error',
  })
  running.push(started)
  return started
}

/** Who, what, target, result and code of what the log of a site says of its cluster and its invites. */
function written({ peer }: RunningPeer): (readonly (string | null | undefined)[])[] {
  const checked = checkAuditFile(peer.id, auditPlaces(peer.home), [])
  expect(checked.report.trouble).toBeNull()
  return viewsOf(checked)
    .filter(({ what }) => /^(membership|invite)\./.test(what))
    .map(({ who, what, target, result, facts }) => [who, what, target, result, facts?.['code'] as string | undefined])
}

beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'weft-cluster-audit-'))))

afterAll(async () => {
  for (const { peer } of running) await peer.stop({ drain: 0 })
  await rm(folder, { recursive: true })
})

describe('the audit log of a site of a cluster', () => {
  it('says who came with which invite, who let in and put out whom, at every site', async () => {
    const admin = await homeOf('admin')
    const init = { name: 'north', threshold: { k: 1, n: 1 }, founder: { name: '', site: '' }, root: newIdentity() }
    ;(await foundClusterHome(needs(admin.identity), admin.home, init)).close()
    const a = await start(admin.home, 'admin')
    const made = await a.peer.cluster!.run({
      do: 'invite',
      role: 'member',
      site: 'hq',
      lifetime: 60_000,
      uses: 1,
      approve: false,
    })
    if (made.schema !== 'weft.invite/1') throw new Error('no invite')
    const token: InviteToken = decodeToken(made.token)

    const member = await homeOf('member')
    const joined = await enrol(needs(member.identity), { token, name: 'b' })
    ;(await adoptClusterHome(needs(member.identity), member.home, token.cluster, joined.entries)).close()
    const [late, guesser, other] = [newIdentity(), newIdentity(), newIdentity()]
    await expect(enrol(needs(late), { token, name: 'late' })).rejects.toMatchObject({ code: 'WEFT-TRU-153' })
    const guess = { ...token, secret: random.bytes(16) }
    await expect(enrol(needs(guesser), { token: guess, name: 'g' })).rejects.toThrow()
    const b = await start(member.home, 'member', a.peer.status().peer.addresses)
    await vi.waitFor(() => expect(b.peer.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
    await a.peer.cluster!.run({ do: 'admit', peer: other.id, name: 'c', role: 'device', site: '' })
    await a.peer.cluster!.run({ do: 'revoke', peer: other.id, reason: 'lost' })

    const [by, invite] = [`peer:${admin.identity.id}`, `invite:${made.id}`]
    await vi.waitFor(() => expect(written(b)).toHaveLength(2), WAIT)
    const changes = [
      [by, 'membership.admit', `peer:${other.id}`, 'ok', undefined],
      [by, 'membership.revoke', `peer:${other.id}`, 'ok', undefined],
    ]
    expect(written(b)).toEqual(changes)
    await vi.waitFor(() => expect(written(a)).toHaveLength(6), WAIT)
    expect(written(a)).toEqual([
      [by, 'membership.admit', `peer:${member.identity.id}`, 'ok', undefined],
      [`peer:${member.identity.id}`, 'invite.use', invite, 'ok', undefined],
      [`peer:${late.id}`, 'invite.use', invite, 'refused', 'WEFT-TRU-153'],
      ['stranger', 'invite.use', null, 'refused', 'unproven'],
      ...changes,
    ])
  }, 60_000)
})
