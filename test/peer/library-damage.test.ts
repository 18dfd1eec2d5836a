/** A tokenizer whose bytes have rotted in the store is fetched again, not believed. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ModelManifest } from '../../src/models/index.ts'
import { homePaths } from '../../src/peer/home.ts'
import { Library } from '../../src/peer/library.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { ownDefinition } from '../models/support/tokenizers.ts'
import { randomModel } from '../pipeline/support/random-model.ts'

let root: string

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-library-damage-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

it('a rotten tokenizer is counted, thrown away and fetched again; without another holder it is a coded error', async () => {
  const paths = homePaths(root, {})
  const store = await createBlobStore({ directory: paths.store })
  const definition = Buffer.from(JSON.stringify(ownDefinition()))
  const tokenizer = await store.put(definition)
  const manifest: ModelManifest = { ...(await randomModel(store, { type: 'Q8_0' })), tokenizer }
  const rotten = Uint8Array.from(definition)
  // Another letter in a token: sound JSON, and another model.
  rotten[definition.indexOf('"the') + 1]! ^= 1
  await writeFile(store.path(tokenizer.address), rotten)
  let others = false
  const counted: string[] = []
  const library = await Library.open({
    clock: systemClock(),
    store,
    paths,
    catalogues: [],
    log: () => undefined,
    count: (name) => void counted.push(name),
    fetchManifest: () => Promise.resolve(null),
    fetchBlobs: async () => void (others && (await store.put(definition))),
    adopted: () => undefined,
    changed: () => undefined,
  })
  await expect(library.tokenizer(manifest)).rejects.toMatchObject({ code: 'WEFT-STO-001' })
  others = true
  const ids = (await library.tokenizer(manifest)).encode('the whale')
  expect((await library.tokenizer(manifest)).decode(ids)).toBe('the whale')
  expect(counted).toEqual(['blobs_damaged'])
})
