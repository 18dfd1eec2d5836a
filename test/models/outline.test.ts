/** What a header tells of a model, before any of its tensors is read. */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { LLAMA_70B, writeMadeUp } from '../../bench/support/made-up-model.ts'
import { importModel, outlineInChild } from '../../src/models/index.ts'
import { outlineModel } from '../../src/models/import/outline.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const clock = systemClock()
let root: string

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-outline-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

it.each([true, false])('is the manifest without addresses; with a tied head: %s', async (tied) => {
  const path = join(root, `tied-${tied}.gguf`)
  await writeFile(path, writeGguf(tinyLlama({ tied })))
  const store = await createBlobStore({ directory: join(root, 'store') })
  const needs = { store, clock, directory: root, downloads: join(root, 'downloads') }
  const manifest = await importModel(needs, { source: path, weights: 'int8' })
  const { shape, license, blocks } = await outlineModel({ outline: path, weights: 'int8' })
  expect({ shape, license }).toEqual({ shape: manifest.shape, license: manifest.license })
  const bare = manifest.blocks.map(({ tensors, ...block }) => ({
    ...block,
    tensors: tensors.map(({ name, type, shape: dims, bytes }) => ({ name, type, shape: dims, bytes })),
  }))
  expect(blocks).toEqual(bare)
})

it('takes no more of a large file than its header, in a child', async () => {
  const path = join(root, 'large.gguf')
  const size = await writeMadeUp(path, { ...LLAMA_70B, vocabulary: 1_000, type: () => 'Q4_0' }, true)
  expect(size).toBeGreaterThan(2 ** 35)
  expect((await stat(path)).blocks * 512).toBeLessThan(2 ** 20)
  const { blocks } = await outlineInChild({ clock, codeCache: join(root, 'code') }, { outline: path, weights: 'auto' })
  expect(blocks).toHaveLength(82)
  expect(blocks.reduce((sum, block) => sum + block.bytes, 0)).toBeGreaterThan(2 ** 35)
})

it('refuses a file that lies, under its own code', async () => {
  const path = join(root, 'cut.gguf')
  await writeFile(path, writeGguf(tinyLlama()).subarray(0, 6_000))
  await expect(
    outlineInChild({ clock, codeCache: join(root, 'code') }, { outline: path, weights: 'auto' }),
  ).rejects.toMatchObject({ code: 'WEFT-MOD-002' })
})
