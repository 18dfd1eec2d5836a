/** An admin's home that is put back from an older copy, its invites with it: those that were used since are no way in. */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'
import { clusterPlaces, openInviteBook } from '../../src/trust/index.ts'
import { systemRandom } from '../../src/util/index.ts'
import { call, json } from '../cli/support.ts'
import { foundClusterHomes } from './support/cluster-homes.ts'

const WAIT = { timeout: 60_000, interval: 50 }

let folder: string
const running: LocalPeer[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-put-back-'))
  await foundClusterHomes(folder, [
    { name: 'admin', role: 'admin' },
    { name: 'bob', role: 'member' },
  ])
})
afterEach(async () => {
  for (const peer of running.splice(0)) await peer.stop({ drain: 0 })
  await rm(folder, { recursive: true })
})

async function start(name: string, more: Partial<CreatePeerInit> = {}): Promise<LocalPeer> {
  const own = { home: join(folder, name), listen: ['/ip4/127.0.0.1/tcp/0'], lan: 'off', threads: 1 } as const
  const peer = await createPeer({ ...own, logLevel: 'error', ...more })
  running.push(peer)
  return peer
}

async function stop(peer: LocalPeer): Promise<void> {
  running.splice(running.indexOf(peer), 1)
  await peer.stop({ drain: 0 })
}

/** A token for so many that was made where the admin listens now. */
async function invited(admin: LocalPeer, uses = 1): Promise<string> {
  const action = { do: 'invite', role: 'member', site: '', lifetime: 3_600_000, approve: false, uses } as const
  const made = (await admin.cluster!.run(action)) as unknown as { token: string }
  return made.token
}

const joins = async (name: string, token: string): Promise<Record<string, unknown>> =>
  json((await call(['join', token, '--name', name, '--json', '--home', join(folder, name)])).stdout)
const codeOf = (document: Record<string, unknown>): unknown => (document as { error?: { code: string } }).error?.code

async function met(peer: LocalPeer, other: LocalPeer): Promise<void> {
  const ids = (): string[] =>
    peer
      .status()
      .peers.filter(({ state }) => state === 'connected')
      .map(({ id }) => id)
  await vi.waitFor(() => expect(ids()).toContain(other.id), WAIT)
}

it('has ended the invites that were open then, once it has heard what it has forgotten; new ones are good', async () => {
  let admin = await start('admin')
  const listen = admin.status().peer.addresses.map((address) => address.replace(/\/p2p\/.*$/, ''))
  const [used, open] = [await invited(admin), await invited(admin, 2)]
  await stop(admin)
  await cp(join(folder, 'admin'), join(folder, 'copy'), { recursive: true })

  admin = await start('admin', { listen })
  const bob = await start('bob', { bootstrap: admin.status().peer.addresses })
  await met(admin, bob)
  expect(await joins('carol', used)).toMatchObject({ schema: 'weft.joined/1' })
  await vi.waitFor(() => expect(bob.status().cluster?.members).toBe(3), WAIT)
  await stop(admin)
  await rm(join(folder, 'admin'), { recursive: true })

  // The control: the copy knows of no use, and would let in whoever has found the token.
  const book = openInviteBook(clusterPlaces(join(folder, 'copy')).invites, systemRandom())
  expect(book.list().map(({ left }) => left)).toEqual([1, 2])
  book.close()
  admin = await start('copy', { listen })
  const left = async (): Promise<unknown> =>
    ((await admin.cluster!.run({ do: 'invites' })) as unknown as { invites: { left: number }[] }).invites.map(
      (one) => one.left,
    )
  await vi.waitFor(() => expect(admin.status().cluster?.members).toBe(3), WAIT)
  await vi.waitFor(async () => expect(await left()).toEqual([0, 0]), WAIT)
  expect(admin.status().counters).toMatchObject({ invites_voided: 2 })
  expect(codeOf(await joins('thief', used))).toBe('WEFT-TRU-153')
  expect(codeOf(await joins('dora', open))).toBe('WEFT-TRU-153')
  expect(await joins('dora', await invited(admin))).toMatchObject({ schema: 'weft.joined/1', members: 4 })
}, 240_000)
