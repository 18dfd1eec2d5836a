/** A model in several GGUF files is the model that it is in one. */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { storeModelFile } from '../../src/models/import/store-file.ts'
import type { StoredFile } from '../../src/models/import/store-file.ts'
import { modelNameOf } from '../../src/models/model-name.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { dataOf, writeGguf } from './support/gguf-writer.ts'
import type { GgufSpec, KeySpec } from './support/gguf-writer.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = await mkdtemp(join(tmpdir(), 'weft-gguf-parts-'))
afterAll(() => rm(base, { recursive: true }))

const TINY = tinyLlama()
/** Each tensor has its own numbers, whatever file it is in. */
const WHOLE = { ...TINY, tensors: TINY.tensors.map((tensor, at) => ({ ...tensor, data: dataOf(tensor, at) })) }
const COUNT = 3
const nameOf = (part: number, count = COUNT): string => `tiny-0000${part}-of-0000${count}.gguf`
const splitKeys = (part: number, tensors = WHOLE.tensors.length): KeySpec[] => [
  { key: 'split.no', type: 'u16', value: part - 1 },
  { key: 'split.count', type: 'u16', value: COUNT },
  { key: 'split.tensors.count', type: 'i32', value: tensors },
]

/** Metadata in the first, every third tensor in each. */
function partOf(part: number, keys: readonly KeySpec[] = splitKeys(part)): GgufSpec {
  const tensors = WHOLE.tensors.filter((_, index) => index % COUNT === part - 1)
  return { ...WHOLE, tensors, keys: [...(part === 1 ? WHOLE.keys : []), ...keys] }
}

let folder: string
let turn = 0
beforeEach(async () => {
  folder = join(base, String(turn++))
  await mkdir(folder)
  for (const part of [1, 2, 3]) await write(part, partOf(part))
})

const write = (part: number, spec: GgufSpec): Promise<void> => writeFile(join(folder, nameOf(part)), writeGguf(spec))

async function stored(file: string): Promise<StoredFile> {
  const store = await createBlobStore({ directory: join(folder, `store-${turn}`) })
  const job = { path: join(folder, file), weights: 'auto', boundary: 'f16' } as const
  return storeModelFile(store, job, { progress: () => undefined, added: () => undefined })
}

test('its shape, its tokenizer and the address of each tensor are the same', async () => {
  await writeFile(join(folder, 'whole.gguf'), writeGguf(WHOLE))
  const [whole, parts] = [await stored('whole.gguf'), await stored(nameOf(1))]
  expect(parts).toEqual(whole)
  expect(whole.content.blocks.flatMap(({ tensors }) => tensors).length).toBeGreaterThan(WHOLE.tensors.length - 2)
})

test('a first file that has the metadata alone is one too', async () => {
  await write(1, { ...partOf(1), tensors: [] })
  await write(2, { ...partOf(2), tensors: WHOLE.tensors.filter((_, index) => index % COUNT !== 2) })
  expect((await stored(nameOf(1))).content.shape.layers).toBeGreaterThan(0)
})

test('its name is that of all', () => {
  expect(modelNameOf('x/Tiny-Q4_0-00001-of-00003.gguf')).toBe('tiny-q4_0')
})

describe('what cannot be one model is refused', () => {
  const UNSUPPORTED = 'WEFT-MOD-003'
  const MALFORMED = 'WEFT-MOD-002'
  test.each<[string, () => Promise<unknown>, string, string, RegExp]>([
    ['a part that is not the first', () => Promise.resolve(), nameOf(2), UNSUPPORTED, /number 2 of 3/],
    [
      'a first part of another name',
      () => rename(join(folder, nameOf(1)), join(folder, 'one.gguf')),
      'one.gguf',
      UNSUPPORTED,
      /number 1 of 3/,
    ],
    ['a part that is missing', () => rm(join(folder, nameOf(3))), nameOf(1), MALFORMED, /not beside the first/],
    ['a part that is another one', () => write(3, partOf(3, splitKeys(2))), nameOf(1), MALFORMED, /number 2 of 3/],
    [
      'a tensor that is there twice',
      () => write(3, partOf(2, splitKeys(3))),
      nameOf(1),
      MALFORMED,
      /another file has it too/,
    ],
    [
      'a tensor too few',
      () => write(1, partOf(1, splitKeys(1, 99))),
      nameOf(1),
      MALFORMED,
      /it is 99, and the files have/,
    ],
    [
      'a part that is cut off',
      async () => writeFile(join(folder, nameOf(2)), writeGguf(partOf(2)).subarray(0, 700)),
      nameOf(1),
      MALFORMED,
      /./,
    ],
    [
      'a part that is a link out of the folder',
      async () => {
        await rename(join(folder, nameOf(2)), join(base, 'elsewhere.gguf'))
        await symlink(join(base, 'elsewhere.gguf'), join(folder, nameOf(2)))
      },
      nameOf(1),
      MALFORMED,
      /leads out of the folder/,
    ],
  ])('%s', async (_, change, file, code, words) => {
    await change()
    const failure = (await stored(file).catch((error: unknown) => error)) as {
      message: string
      why?: string
      code: string
    }
    expect(failure.code).toBe(code)
    expect(`${failure.message} ${failure.why ?? ''}`).toMatch(words)
  })
})
