/** A skeleton comes from a stranger and is read where our own blobs lie: it must not reach for them. */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { graphFile } from '../../src/models/index.ts'
import type { GraphManifest } from '../../src/models/index.ts'
import { stageTask } from '../../src/models/graph/stage.ts'
import { readModel, writeModel } from '../../src/onnx/index.ts'
import { addressOfHashes, createBlobStore } from '../../src/store/index.ts'
import { crossing } from '../pipeline/graph/support/models.ts'

let folder: string

const addressOf = (bytes: Uint8Array): string => addressOfHashes(createHash('sha256').update(bytes).digest())

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-skeleton-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('that names a blob beside it as its data is refused, at its origin and at a peer that gets a part', async () => {
  const directory = join(folder, 'store')
  const store = await createBlobStore({ directory })
  const secret = await store.put(new Uint8Array(1 << 20).fill(7))
  const beside = basename(store.path(secret.address))
  const made = join(folder, 'made.onnx')
  const mark = '00000000'
  const model = { ...crossing(32), producer: { name: mark, version: '' } }
  await writeModel(model, made, { external: 'always', dataName: 'd'.repeat(beside.length) })
  const template = (await readFile(made)).toString('latin1').replaceAll('d'.repeat(beside.length), beside)
  // Blobs lie in a thousand folders by their addresses; a stranger tries names until the two are neighbours.
  const near = dirname(store.path(secret.address))
  const tries = Array.from({ length: 50_000 }, (_, index) => String(index).padStart(mark.length, '0'))
  const variant = (name: string): Buffer => Buffer.from(template.replace(mark, name), 'latin1')
  const found = tries.find((name) => dirname(store.path(addressOf(variant(name)))) === near)
  const bytes = variant(found!)
  const skeleton = await store.put(bytes)
  expect(dirname(store.path(skeleton.address))).toBe(near)
  // A file of one's own may have its data there.
  await expect(readModel(store.path(skeleton.address))).resolves.toMatchObject({ producer: { name: found } })

  const manifest = { digest: 'f'.repeat(64), blocks: [{ tensors: [{ ...skeleton, name: 'skeleton' }] }] }
  const whole = graphFile(store, manifest as unknown as GraphManifest, join(folder, 'cache'))
  await expect(whole).rejects.toMatchObject({ name: 'ExternalDataOutsideError' })
  const part = {
    kind: 'put-together',
    skeleton: store.path(skeleton.address),
    weights: [],
    path: join(folder, 'part.onnx'),
    store: directory,
  } as const
  await expect(stageTask(part)).rejects.toMatchObject({ name: 'ExternalDataOutsideError' })
})
