/** weft split of a file: the manifest, the files that it names, and what happens when there is nothing to cut. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createOrtEngine, OnnxCutsError } from '../../src/onnx/index.ts'
import type { WeftError } from '../../src/errors.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { splitModel } from '../../src/peer/index.ts'
import type { FileSplitManifest } from '../../src/peer/index.ts'
import { floats, model, node, tensorType } from '../onnx/cut/support/build.ts'
import { crossing, f32, lopsided, write } from '../pipeline/graph/support/models.ts'

let folder: string
let home: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-split-file-'))
  home = join(folder, 'home')
})

afterAll(() => rm(folder, { recursive: true }))

const split = async (file: string, out: string, more: object): Promise<FileSplitManifest> =>
  (await splitModel({ home, model: file, out: join(folder, out), ...more })) as FileSplitManifest

describe('weft split of a file', () => {
  it('writes partitions that another program chains by name, and says where each value goes', async () => {
    const path = await write(folder, 'crossing.onnx', crossing())
    const made = await split(path, 'three', { parts: 3, check: true })
    expect(JSON.parse(await readFile(join(folder, 'three', 'manifest.json'), 'utf8'))).toEqual(made)
    expect(made).toMatchObject({ model: 'crossing.onnx', optimization: 'all', check: { equal: true } })
    const { balance } = made
    expect(balance).toMatchObject({ exact: true, cuts: made.partitions.slice(1).map(({ blocks }) => blocks[0]) })
    expect(balance!.bound_ms).toBeLessThanOrEqual(balance!.slowest_ms)
    expect(balance!.above).toBeCloseTo(balance!.slowest_ms / balance!.bound_ms - 1)
    expect(made.partitions.map(({ memory }) => memory)).toEqual(balance!.memory)
    const pool = new Map<string, AnyTensor>([
      ['x', f32([2, 8])],
      ['late', f32([2, 8], 3)],
    ])
    const inputs = Object.fromEntries(pool)
    for (const part of made.partitions) {
      const file = join(folder, 'three', part.file)
      expect(
        createHash('sha256')
          .update(await readFile(file))
          .digest('hex'),
      ).toBe(part.sha256)
      const graph = await createOrtEngine().load(file, { threads: 1, optimization: made.optimization })
      const feeds = Object.fromEntries(part.inputs.map(({ name }) => [name, pool.get(name)!]))
      const results = await graph.runAny(
        feeds,
        part.outputs.map(({ name }) => name),
      )
      for (const [name, tensor] of Object.entries(results)) pool.set(name, tensor)
      await graph.release()
    }
    const whole = await createOrtEngine().load(path, { threads: 1, optimization: made.optimization })
    const expected = await whole.runAny(inputs, ['y', 'early'])
    for (const [name, tensor] of Object.entries(expected)) expect(pool.get(name)).toEqual(tensor)
    await whole.release()
    const first = made.partitions[0]!.outputs
    expect(first.some(({ to }) => to.length > 0)).toBe(true)
    expect(
      made.partitions
        .flatMap(({ outputs }) => outputs.filter((each) => each.of_graph).map(({ name }) => name))
        .toSorted(),
    ).toEqual(['early', 'y'])
  })

  it('cuts where it is told, and again into the same folder', async () => {
    const path = await write(folder, 'crossing.onnx', crossing())
    const made = await split(path, 'told', { cuts: [2, 4] })
    expect(made.partitions.map(({ blocks }) => blocks)).toEqual([
      [0, 2],
      [2, 4],
      [4, made.blocks],
    ])
    await split(path, 'told', { cuts: [3] })
    expect((await readdir(join(folder, 'told'))).toSorted()).toEqual([
      'manifest.json',
      'partition-0.onnx',
      'partition-1.onnx',
    ])
    await expect(split(path, 'told', { cuts: [99] })).rejects.toMatchObject({ code: OnnxCutsError.info.code })
    expect(await readdir(join(folder, 'told'))).toHaveLength(3)
  })

  it('says why there is nothing to cut', async () => {
    const one = model({
      nodes: [node('MatMul', ['x', 'w'], ['y'])],
      inputs: { x: tensorType('float32', [1, 2]) },
      outputs: { y: tensorType('float32', [1, 2]) },
      initializers: [floats('w', [2, 2], [1, 2, 3, 4])],
    })
    const made = await split(await write(folder, 'one.onnx', one), 'one', { parts: 2 })
    expect(made).toMatchObject({ verdict: 'do-not-split', why: expect.stringContaining('no two nodes') })
    expect(made.partitions).toHaveLength(1)
  })

  it('keeps each partition under a limit, and says the least that is needed and the best that can be had', async () => {
    const path = await write(folder, 'lopsided.onnx', lopsided())
    const whole = await split(path, 'lopsided', { parts: 2 })
    expect(whole).toMatchObject({ verdict: 'do-not-split', best: { cuts: [expect.any(Number)], exact: true } })
    expect(whole.partitions).toHaveLength(1)
    expect(whole).not.toHaveProperty('balance')
    const rows = await write(folder, 'crossing.onnx', crossing())
    const least = await split(rows, 'tight', { parts: 2, memory: 1 }).catch((error: unknown) => error)
    expect(least).toMatchObject({ code: 'WEFT-INF-097', info: { exit: 6 }, details: { parts: 2, limit: 1 } })
    expect(await readdir(folder)).not.toContain('tight')
    const { least: memory } = (least as WeftError).details as { readonly least: number }
    const tight = await split(rows, 'tight', { parts: 2, memory })
    expect(Math.max(...tight.partitions.map((part) => part.memory))).toBe(memory)
    await expect(split(rows, 'tight', { cuts: [1], memory })).rejects.toMatchObject({ code: 'WEFT-INF-097' })
  })

  it('a model that cannot be compared is written with a word about it, and not at all with --check', async () => {
    const x = tensorType('float32', [2, 4])
    const foreign = model(
      {
        nodes: [
          ...Array.from({ length: 6 }, (_, at) => node('MatMul', [at === 0 ? 'x' : `v${at}`, 'w'], [`v${at + 1}`])),
          node('Unheard', ['v6'], ['y'], {}, 'nobody'),
        ],
        inputs: { x },
        outputs: { y: x },
        initializers: [
          floats(
            'w',
            [4, 4],
            Array.from({ length: 16 }, (_, index) => index / 9),
          ),
        ],
      },
      {
        opsets: new Map([
          ['', 21],
          ['nobody', 1],
        ]),
      },
    )
    const path = await write(folder, 'foreign.onnx', foreign)
    expect((await split(path, 'foreign', { parts: 2 })).unchecked).toContain('Unheard')
    await expect(split(path, 'checked', { parts: 2, check: true })).rejects.toMatchObject({ code: 'WEFT-INF-106' })
    expect(await readdir(folder)).not.toContain('checked')
  })

  it('what is no ONNX file is refused, and the folder is left as it was', async () => {
    await writeFile(join(folder, 'text.onnx'), 'no model')
    await expect(split(join(folder, 'text.onnx'), 'text', { parts: 2 })).rejects.toMatchObject({ info: { exit: 8 } })
    expect(await readdir(folder)).not.toContain('text')
  })
})
