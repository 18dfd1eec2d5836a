/** What sessions of others bring is kept within bounds, and an owner's own files are none of it. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { BlobRequest } from '../../src/mesh/index.ts'
import { FetchedAdapters } from '../../src/peer/fetched-adapters.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import type { Clock } from '../../src/util/index.ts'

let directory: string
let store: BlobStore
let fetched: FetchedAdapters
let asked: string[]
let now: number
const files = new Map<string, Buffer>()

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-fetched-'))
  store = await createBlobStore({ directory })
  ;[now, asked] = [0, []]
  fetched = new FetchedAdapters({
    clock: { now: () => now } as Clock,
    store,
    keeper: { makeRoom: (bytes) => Promise.resolve(void asked.push(`room for ${bytes}`)) },
    mesh: () => ({
      async fetchTensors(blobs, peers) {
        for (const { address } of blobs) {
          asked.push(`of ${peers.join()}`)
          await store.put(files.get(address)!)
        }
      },
    }),
    most: 1_000,
  })
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function made(bytes: number): Promise<BlobRequest> {
  const content = randomBytes(bytes)
  const elsewhere = await createBlobStore({ directory: join(directory, 'elsewhere') })
  const blob = await elsewhere.put(content)
  files.set(blob.address, content)
  return blob
}

it('are fetched once, from the origin, when there is room for them', async () => {
  const one = await made(400)
  await fetched.get(one, 'origin')
  await fetched.get(one, 'another')
  expect(asked).toEqual(['room for 400', 'of origin'])
})

it('go, the one that was used longest ago first, when others come; what is in use stays, and then the new one is refused', async () => {
  const [one, two, three] = [await made(400), await made(400), await made(400)]
  await fetched.get(one, 'origin')
  await fetched.get(two, 'origin')
  await expect(fetched.get(three, 'origin')).rejects.toMatchObject({ code: 'WEFT-STO-020' })
  now += 61_000
  await fetched.get(one, 'origin')
  await fetched.get(three, 'origin')
  expect(await Promise.all([one, two, three].map(({ address }) => store.has(address)))).toEqual([true, false, true])
})

it('do not push out what the owner has put there', async () => {
  const own = await store.put(randomBytes(600))
  await fetched.get(own, 'origin')
  for (let count = 0; count < 4; count++) {
    now += 61_000
    await fetched.get(await made(600), 'origin')
  }
  expect(await store.has(own.address)).toBe(true)
})
