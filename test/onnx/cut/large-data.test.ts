/** Weights beyond what one buffer holds, and beyond 4 GiB in their file: they are read where they lie and copied in pieces. */
import { open, mkdir, readFile, stat, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { expect, it } from 'vitest'
import { createOrtEngine, runCheck, splitOnnx } from '../../../src/onnx/index.ts'
import { readModel, readTensor, writeModel } from '../../../src/onnx/ir/index.ts'
import type { Model, SparseTensorValue, TensorValue } from '../../../src/onnx/ir/index.ts'
import { encodeModel } from '../../../src/onnx/ir/write-graph.ts'
import { isWhole } from '../../whole.ts'
import { testFolder } from '../ir/support/folder.ts'
import { model, node, tensorType } from './support/build.ts'

const at = testFolder()
const WIDTH = 1024
/** 2.3 GiB of float32. */
const ROWS = 600_000
const TABLE_BYTES = ROWS * WIDTH * 4
const MATRIX_BYTES = WIDTH * WIDTH * 4
/** Where the weights lie in a file that has holes. */
const OFFSETS = { table: 4096, first: 4.25 * 2 ** 30, second: 5 * 2 ** 30, third: 5.5 * 2 ** 30 } as const
/** What is written densely: the table's part, and what a run needs. */
const ROOM = 3 * TABLE_BYTES
/** A copy of the table in JavaScript would be seen. */
const MOST_MEMORY = 512 << 20

const external = (name: string, dims: readonly number[]): TensorValue => ({
  name,
  type: 'float32',
  dims,
  data: { kind: 'range', path: '', offset: 0, length: dims.reduce((product, size) => product * size, 4) },
})

const input = tensorType('float32', ['rows', WIDTH])
const indices = tensorType('int64', ['rows'])

function large(): Model {
  return model({
    inputs: { x: input, ids: indices },
    outputs: { y: input },
    initializers: [
      external('table', [ROWS, WIDTH]),
      ...['first', 'second', 'third'].map((name) => external(name, [WIDTH, WIDTH])),
    ],
    nodes: [
      node('Gather', ['table', 'ids'], ['rows']),
      node('Add', ['rows', 'x'], ['a']),
      node('MatMul', ['a', 'first'], ['b']),
      node('Tanh', ['b'], ['c']),
      node('MatMul', ['c', 'second'], ['d']),
      node('Tanh', ['d'], ['e']),
      node('MatMul', ['e', 'third'], ['f']),
      node('Tanh', ['f'], ['y']),
    ],
  })
}

/** The model in a file whose weights lie where OFFSETS says, in one that has holes; the ends of each are not zero. */
async function writeLarge(path: string): Promise<void> {
  const whole = large()
  const stored = new Map(
    [...whole.graph.initializers.values()].map((tensor) => {
      const offset = OFFSETS[tensor.name as keyof typeof OFFSETS]
      const length = tensor.name === 'table' ? TABLE_BYTES : MATRIX_BYTES
      return [tensor, { location: 'large.data', offset, length }]
    }),
  )
  await writeFile(path, Buffer.concat(encodeModel(path, whole, stored).pieces as Uint8Array[]))
  const data = await open(at('large.data'), 'w')
  for (const { offset, length } of stored.values()) {
    const ends = Float32Array.from({ length: WIDTH }, (_, index) => Math.sin(index + offset / 2 ** 28) / 8)
    await data.write(new Uint8Array(ends.buffer), 0, ends.byteLength, offset)
    await data.write(new Uint8Array(ends.buffer), 0, ends.byteLength, offset + length - ends.byteLength)
  }
  await data.close()
}

it.runIf(isWhole)(
  'a model with 2.3 GiB in one tensor and weights beyond 4 GiB of its file is read, cut, written, and gives equal bits',
  async ({ skip }) => {
    const { bavail, bsize } = await statfs(tmpdir())
    if (bavail * bsize < ROOM) skip(`the disk has no ${ROOM} bytes left`)
    const path = at('large.onnx')
    await writeLarge(path)
    const whole = await readModel(path)
    const last = whole.graph.initializers.get('third')!
    expect(last.data).toMatchObject({ kind: 'range', offset: OFFSETS.third, length: MATRIX_BYTES })
    const values = (await readTensor(last, { maxBytes: MATRIX_BYTES })) as Float32Array
    expect(values.at(-1)).toBe(Math.fround(Math.sin(WIDTH - 1 + OFFSETS.third / 2 ** 28) / 8))
    const out = at('parts')
    await mkdir(out)
    const before = process.memoryUsage()
    let most = 0
    const engine = createOrtEngine()
    const look = (): void => {
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      most = Math.max(most, arrayBuffers + heapUsed - before.arrayBuffers - before.heapUsed)
    }
    const looking = setInterval(look, 20)
    const plan = await splitOnnx({ check: (task) => runCheck({ engine }, task) }, path, {
      out,
      parts: 3,
      optimization: 'off',
    })
    clearInterval(looking)
    look()
    expect(most).toBeLessThan(MOST_MEMORY)
    expect(plan.check).toMatchObject({ kind: 'equal' })
    expect(plan.partitions.length).toBeGreaterThan(1)
    // The table goes to one part, and as it is: its ends are where they were.
    const first = await readModel(`${out}/${plan.partitions[0]!.file}`)
    const { data } = first.graph.initializers.get('table')!
    if (data.kind !== 'range') throw new Error('the table is not beside its model')
    expect(data.length).toBe(TABLE_BYTES)
    const file = await open(`${out}/${plan.partitions[0]!.data!}`)
    const end = new Float32Array(WIDTH)
    await file.read(new Uint8Array(end.buffer), 0, end.byteLength, data.offset + TABLE_BYTES - end.byteLength)
    await file.close()
    expect(end.at(-1)).toBe(Math.fround(Math.sin(WIDTH - 1 + OFFSETS.table / 2 ** 28) / 8))
  },
  300_000,
)

it('a sparse initializer that would have 2.3 GiB is read and written as the few values that it has', async () => {
  const values: TensorValue = {
    name: 'thin',
    type: 'float32',
    dims: [2],
    data: { kind: 'bytes', bytes: new Uint8Array(Float32Array.of(1.5, -2).buffer) },
  }
  const places = {
    kind: 'bytes',
    bytes: new Uint8Array(BigInt64Array.of(3n, BigInt(ROWS * WIDTH - 1)).buffer),
  } as const
  const thin: SparseTensorValue = {
    values,
    indices: { name: '', type: 'int64', dims: [2], data: places },
    dims: [ROWS, WIDTH],
  }
  const plain = model({
    inputs: { ids: indices },
    outputs: { y: input },
    nodes: [node('Gather', ['thin', 'ids'], ['y'])],
  })
  const whole = { ...plain, graph: { ...plain.graph, sparseInitializers: new Map([['thin', thin]]) } }
  await writeModel(whole, at('thin.onnx'))
  expect((await stat(at('thin.onnx'))).size).toBeLessThan(1_000)
  const again = await readModel(at('thin.onnx'))
  expect(again.graph.sparseInitializers.get('thin')).toMatchObject({ dims: [ROWS, WIDTH] })
  await writeModel(again, at('again.onnx'))
  expect(await readFile(at('again.onnx'))).toEqual(await readFile(at('thin.onnx')))
})
