/** A name of the catalogue means one model, whatever a mesh says. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ModelManifest } from '../../src/models/index.ts'
import { homePaths } from '../../src/peer/home.ts'
import { Library } from '../../src/peer/library.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { randomModel } from '../pipeline/support/random-model.ts'

let root: string

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-library-listed-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

it('a model of the mesh is taken under a listed name only with the listed digest', async () => {
  const paths = homePaths(root, {})
  await mkdir(paths.partitions, { recursive: true })
  const store = await createBlobStore({ directory: paths.store })
  const stranger: ModelManifest = { ...(await randomModel(store, { type: 'Q8_0' })), model: 'listed' }
  const catalogue = join(root, 'catalogue')
  await mkdir(catalogue)
  const list = (model: string, digest: string): Promise<void> =>
    writeFile(
      join(catalogue, `${model}.json`),
      JSON.stringify({
        schema: 'weft.catalogue/1',
        model,
        license: 'MIT',
        about: '',
        digest,
        sources: [{ from: 'https://example.org/model.gguf' }],
      }),
    )
  await list('listed', 'f'.repeat(64))
  // As a mesh does: by name whatever has the name, by digest only what has the digest.
  const asked: string[] = []
  const library = await Library.open({
    clock: systemClock(),
    store,
    paths,
    catalogues: [catalogue],
    log: () => undefined,
    count: () => undefined,
    fetchManifest: (wanted) => {
      asked.push(wanted)
      return Promise.resolve([stranger.model, stranger.digest, 'unlisted'].includes(wanted) ? stranger : null)
    },
    fetchBlobs: () => Promise.resolve(),
    adopted: () => undefined,
    changed: () => undefined,
  })
  await expect(library.resolve('listed')).rejects.toMatchObject({ name: 'ModelUnknownError' })
  await list('listed', stranger.digest)
  expect((await library.resolve('listed')).digest).toBe(stranger.digest)
  expect((await library.resolve('unlisted')).digest).toBe(stranger.digest)
  expect(asked).toEqual(['f'.repeat(64), stranger.digest, 'unlisted'])
})
