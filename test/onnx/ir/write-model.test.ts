/** Writing: weights beside the model, piece by piece, whole or not at all, and the engine reads the same from both. */
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import {
  constantsToInitializers,
  OnnxUnwritableError,
  readModel,
  readTensor,
  TensorReadError,
  TensorSizeError,
  withGraph,
  writeModel,
} from '../../../src/onnx/ir/index.ts'
import type { Attribute, Model, TensorValue } from '../../../src/onnx/ir/index.ts'
import { DiskFullError, StoreUnwritableError } from '../../../src/store/index.ts'
import { floats, graph, model, node, tensor, value } from './support/build.ts'
import { expectRefusal, testFolder } from './support/folder.ts'

const at = testFolder()
const engine = createOrtEngine()
const ROWS = 600

const large = (name: string, factor = 1): TensorValue =>
  tensor(
    name,
    'float32',
    [ROWS],
    Float32Array.from({ length: ROWS }, (_, index) => index * factor),
  )

/** Weights of the graph, of a branch, of a Constant and a small one. */
function weighty(): Model {
  const constant: Attribute = { kind: 'tensor', value: large('', 3) }
  const branch = (factor: number): Attribute => ({
    kind: 'graph',
    value: graph({
      nodes: [node('Add', ['a', 'w'], ['t'])],
      outputs: [value('t', [ROWS])],
      initializers: new Map([['w', large('w', factor)]]),
    }),
  })
  return model({
    nodes: [
      node('Constant', [], ['k'], { value: constant }),
      node('Mul', ['x', 'm'], ['s']),
      node('Add', ['s', 'k'], ['p']),
      node('Add', ['p', 'v'], ['a']),
      node('If', ['c'], ['y'], { then_branch: branch(5), else_branch: branch(7) }),
    ],
    inputs: [value('x', [ROWS])],
    outputs: [value('y', [ROWS])],
    initializers: new Map([
      ['m', floats('m', 2)],
      ['c', { ...tensor('c', 'bool', [], [1]) }],
      ['v', large('v')],
    ]),
  })
}

async function run(path: string): Promise<Float32Array> {
  const loaded = await engine.load(path, { threads: 1 })
  const x = { type: 'float32', dims: [ROWS], data: new Float32Array(ROWS).fill(1) } as const
  const results = await loaded.run({ x }, ['y'])
  await loaded.release()
  return results['y']!.data as Float32Array
}

const EXPECTED = Float32Array.from({ length: ROWS }, (_, index) => 2 + index * 9)

describe('weights in a file beside the model', () => {
  it('give the engine what they give it inside, those of branches too', async () => {
    const inside = await writeModel(weighty(), at('inside.onnx'))
    expect(inside.files).toEqual([{ path: at('inside.onnx'), bytes: (await stat(at('inside.onnx'))).size }])
    const outside = await writeModel(weighty(), at('outside.onnx'), { external: 'always' })
    expect(outside.files.map(({ path }) => path)).toEqual([at('outside.onnx'), at('outside.onnx.data')])
    for (const { path, bytes } of outside.files) expect((await stat(path)).size).toBe(bytes)
    expect(await run(at('inside.onnx'))).toEqual(EXPECTED)
    expect(await run(at('outside.onnx'))).toEqual(EXPECTED)
  })

  it('lie where pages begin when they fill one, each once', async () => {
    const page = tensor('page', 'uint8', [4096], new Uint8Array(4096).fill(7))
    const some = [floats('a', 1, 2), page, floats('b', 3), { ...page, name: 'tied' }]
    const written = model({ initializers: new Map(some.map((each) => [each.name, each])) })
    await writeModel(written, at('pages.onnx'), { external: 'always', externalFrom: 1, dataName: 'weights.bin' })
    const { initializers } = (await readModel(at('pages.onnx'))).graph
    const offset = (name: string): number => (initializers.get(name)!.data as { readonly offset: number }).offset
    expect(['a', 'page', 'b', 'tied'].map(offset)).toEqual([0, 4096, 8192, 4096])
    expect((await stat(at('weights.bin'))).size).toBe(8196)
    for (const each of some) expect(await readTensor(initializers.get(each.name)!)).toEqual(await readTensor(each))
  })

  it('are chosen by their size, or as told', async () => {
    const files = async (options: Parameters<typeof writeModel>[2]): Promise<number> =>
      (await writeModel(weighty(), at('chosen.onnx'), options)).files.length
    expect(await files({})).toBe(1)
    expect(await files({ inlineMost: 3 * 4 * ROWS })).toBe(1)
    expect(await files({ inlineMost: 3 * 4 * ROWS - 1 })).toBe(2)
    expect(await files({ inlineMost: 0, external: 'never' })).toBe(1)
    expect(await files({ external: 'always', externalFrom: 4 * ROWS + 1 })).toBe(1)
  })

  it('are the same bytes each time, from memory or from a file, whichever file', async () => {
    const bytes = async (name: string): Promise<Buffer[]> =>
      await Promise.all(['.onnx', '.onnx.data'].map((end) => readFile(at(name + end))))
    await mkdir(at('again'), { recursive: true })
    await writeModel(weighty(), at('first.onnx'), { external: 'always' })
    await writeModel(await readModel(at('first.onnx')), at('again/first.onnx'), { external: 'always' })
    expect(await bytes('again/first')).toEqual(await bytes('first'))
    await writeModel(await readModel(at('first.onnx')), at('joined.onnx'), { external: 'never' })
    await writeModel(weighty(), at('inside.onnx'))
    expect(await readFile(at('joined.onnx'))).toEqual(await readFile(at('inside.onnx')))
  })

  it('can be written over the file that they come from', async () => {
    await writeModel(weighty(), at('over.onnx'), { external: 'always' })
    await writeModel(await readModel(at('over.onnx')), at('over.onnx'), { external: 'never' })
    expect(await run(at('over.onnx'))).toEqual(EXPECTED)
    await writeModel(await readModel(at('over.onnx')), at('over.onnx'), { external: 'always', externalFrom: 1 })
    expect(await run(at('over.onnx'))).toEqual(EXPECTED)
  })

  it('of Constant nodes follow when these are made initializers', async () => {
    const lifted = withGraph(weighty(), constantsToInitializers(weighty().graph))
    expect(lifted.graph.nodes.map(({ opType }) => opType)).not.toContain('Constant')
    await writeModel(lifted, at('lifted.onnx'), { external: 'always' })
    expect((await stat(at('lifted.onnx'))).size).toBeLessThan(4 * ROWS)
    expect(await run(at('lifted.onnx'))).toEqual(EXPECTED)
  })
})

describe('large weights', () => {
  const HUGE = 150 * 2 ** 20

  it('are copied without being held, and go outside by themselves', async () => {
    await writeFile(at('source.bin'), new Uint8Array(HUGE))
    const data = { kind: 'range', path: at('source.bin'), offset: 0, length: HUGE } as const
    const weight: TensorValue = { name: 'w', type: 'uint8', dims: [HUGE], data }
    const before = process.memoryUsage()
    const written = model({ initializers: new Map([['w', weight]]) })
    const { files } = await writeModel(written, at('huge.onnx'))
    expect(files[1]).toEqual({ path: at('huge.onnx.data'), bytes: HUGE })
    await writeModel(written, at('huge.onnx'), { external: 'never' })
    const after = process.memoryUsage()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(HUGE / 4)
    expect((await readModel(at('huge.onnx'))).graph.initializers.get('w')!.data).toMatchObject({ length: HUGE })
    for (const name of ['source.bin', 'huge.onnx', 'huge.onnx.data']) await rm(at(name))
  })

  it('that no file can hold are refused before anything is written', async () => {
    const length = 2 ** 31
    const data = { kind: 'range', path: at('none.bin'), offset: 0, length } as const
    const constant: Attribute = { kind: 'tensor', value: { name: '', type: 'int8', dims: [length], data } }
    const written = model({ nodes: [node('Constant', [], ['k'], { value: constant })] })
    await expectRefusal(writeModel(written, at('over-2g.onnx')), OnnxUnwritableError, /over 2 GiB/)
  })
})

describe('what cannot be written', () => {
  const broken = (weight: Partial<TensorValue>): Model =>
    model({ initializers: new Map([['w', { ...large('w'), ...weight }]]) })
  const gone = { kind: 'range', path: '', offset: 0, length: 4 * ROWS } as const

  it.each<[string, Model, new (...facts: never[]) => Error, RegExp]>([
    ['half a character', model({ name: '\ud800' }), OnnxUnwritableError, /half a character/],
    ['bytes that are not those of the shape', broken({ dims: [ROWS + 1] }), TensorSizeError, /its shape wants/],
    ['bytes of strings', broken({ type: 'string' }), TensorSizeError, /of string and has bytes/],
    ['a source that is gone', broken({ data: { ...gone, path: 'no/such/file' } }), TensorReadError, /ENOENT/],
    ['a source that is too short', broken({ data: { ...gone, path: '/dev/null' } }), TensorReadError, /regular file/],
  ])('leaves nothing behind: %s', async (_, written, kind, words) => {
    await mkdir(at('clean'), { recursive: true })
    await writeFile(at('clean/model.onnx'), 'before')
    await expectRefusal(writeModel(written, at('clean/model.onnx')), kind, words)
    await expectRefusal(writeModel(written, at('clean/model.onnx'), { external: 'always' }), kind, words)
    expect(await readdir(at('clean'))).toEqual(['model.onnx'])
    expect(await readFile(at('clean/model.onnx'), 'utf8')).toBe('before')
  })

  it('a folder that is not there, and a data file elsewhere', async () => {
    await expectRefusal(writeModel(weighty(), at('no/such/folder/m.onnx')), StoreUnwritableError, /cannot use/)
    for (const dataName of ['../w', 'a/w', '/w', '', '.', '..', 'm.onnx']) {
      await expectRefusal(writeModel(weighty(), at('m.onnx'), { dataName }), OnnxUnwritableError, /data file/)
    }
  })
})

const canMount = process.platform === 'linux' && process.getuid?.() === 0

describe.skipIf(!canMount)('a disk that is full (skipped: needs root for a small tmpfs)', () => {
  afterAll(() => {
    execFileSync('umount', [at('small')])
  })

  it('is told, and has no half of a model; the next try succeeds', async () => {
    await mkdir(at('small'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at('small')])
    const weight = tensor('w', 'uint8', [80_000], new Uint8Array(80_000))
    const written = model({ initializers: new Map([['w', weight]]) })
    for (const external of ['never', 'always'] as const) {
      await expectRefusal(
        writeModel(written, at('small/m.onnx'), { external }),
        DiskFullError,
        /no room for 8\d{4} bytes/,
      )
      expect(await readdir(at('small'))).toEqual([])
    }
    await writeModel(weighty(), at('small/m.onnx'), { external: 'always' })
    expect(await run(at('small/m.onnx'))).toEqual(EXPECTED)
  })
})
