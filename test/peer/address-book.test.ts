import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { AddressBook, rememberPeers } from '../../src/peer/address-book.ts'
import { systemClock } from '../../src/util/index.ts'

test('whoever has joined a cluster and has never run finds the admin again, and the next one beside it', async () => {
  const root = await mkdtemp(join(tmpdir(), 'weft-book-'))
  const folder = join(root, 'home', 'peers')
  const clock = systemClock()
  try {
    const way = `/ip4/192.0.2.7/tcp/7334/p2p/RELAY/p2p-circuit`
    await rememberPeers(folder, clock, [{ id: 'admin', addresses: [way] }])
    await rememberPeers(folder, clock, [{ id: 'other', addresses: [] }])
    const { peers } = await AddressBook.open(folder, clock, () => undefined)
    expect(peers).toEqual([
      { id: 'admin', addresses: [way] },
      { id: 'other', addresses: [] },
    ])
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
})
