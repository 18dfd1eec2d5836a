import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tensorMemory } from '../../src/models/index.ts'
import { rowMatmul } from '../../src/models/llama/row-matmul.ts'
import { packRows, rotate, rotationOf } from '../../src/models/llama/row-weights.ts'
import type { PackedRows } from '../../src/models/llama/row-weights.ts'
import { createOrtEngine, GraphBuilder, WeightFile } from '../../src/onnx/index.ts'

const THREADS = [1, 2]
const engine = createOrtEngine()
let directory: string
let made = 0

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-rows-'))
})

afterAll(() => rm(directory, { recursive: true, force: true }))

/** What the kernel makes of rows, [rows, inputs] to [rows, outputs]. */
type Kernel = (x: Float32Array) => Promise<Float32Array>

async function kernel(pack: (file: WeightFile) => Promise<PackedRows>, threads: number): Promise<Kernel> {
  const name = `matrix-${made++}`
  const file = await WeightFile.create(join(directory, `${name}.weights`), `${name}.weights`)
  const matrix = await pack(file)
  await file.close()
  const builder = new GraphBuilder()
  const y = rowMatmul(builder, name, builder.input('x', 'f32', ['rows', matrix.inputs]), matrix)
  builder.node('Identity', [y], {}, { outputs: ['y'] })
  builder.output('y', 'f32', ['rows', matrix.outputs])
  const path = join(directory, `${name}.onnx`)
  await writeFile(path, builder.finish(name))
  const graph = await engine.load(path, { threads })
  return async (x) => {
    const dims = [x.length / matrix.inputs, matrix.inputs]
    return (await graph.run({ x: { type: 'float32', dims, data: x } }, ['y']))['y']!.data as Float32Array
  }
}

function packFloats(weights: Float32Array, inputs: number): (file: WeightFile) => Promise<PackedRows> {
  const source = {
    type: 'F32' as const,
    bytes: new Uint8Array(weights.buffer),
    outputs: weights.length / inputs,
    inputs,
  }
  return (file) => packRows(file, [source], rotationOf(inputs)!)
}

/** Numbers in [-1, 1), the same each time. */
function noise(count: number, seed: number): Float32Array {
  let state = seed
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return state / 2 ** 31
  })
}

describe('integers', () => {
  const outputs = 24
  /** Extremes that saturate 16-bit pairs where a kernel has them, and something in between. */
  const patterns: readonly ((at: number) => number)[] = [
    () => 127,
    () => -127,
    (at) => (at % 2 === 0 ? 127 : -127),
    (at) => (at % 4 < 2 ? 127 : -127),
    (at) => (at === 0 ? 127 : ((at * 7919) % 255) - 127),
  ]

  it.each([
    [32, 1],
    [576, 1],
    [576, 2],
    [1536, 2],
    [5632, 1],
    [5632, 2],
  ])('of all extremes over %i inputs are multiplied without saturation, on %i threads', async (inputs, threads) => {
    const rotation = rotationOf(inputs)!
    const weights = (input: number, output: number): number => patterns[output % patterns.length]!(input)
    const run = await kernel(async (file) => {
      const quants = new Uint8Array(inputs * outputs)
      for (const at of quants.keys()) quants[at] = weights(Math.floor(at / outputs), at % outputs) + 128
      return {
        kind: 'rows',
        outputs,
        inputs,
        rotation,
        quants: await file.append('u8', [inputs, outputs], quants),
        scales: await file.append('f32', [outputs], new Float32Array(outputs).fill(1)),
      }
    }, threads)
    // What the rotation turns into the pattern: the matrix is its own inverse but for its size.
    const x = new Float32Array(patterns.length * inputs)
    for (const at of x.keys()) x[at] = patterns[Math.floor(at / inputs)]!(at % inputs) / rotation
    rotate(x, rotation)
    const y = await run(x)
    const step = Math.fround(1 / 127)
    for (const [row, pattern] of patterns.entries()) {
      for (let output = 0; output < outputs; output++) {
        let sum = 0
        for (let input = 0; input < inputs; input++) sum += pattern(input) * weights(input, output)
        expect(y[row * outputs + output]).toBe(Math.fround(Math.fround(Math.fround(sum) * step) * 127))
      }
    }
  })
})

describe('rows', () => {
  it.each([
    [576, 192],
    [1536, 96],
    [5632, 64],
    [96, 40],
  ])('of %i inputs have the same bits in any company and on any number of threads', async (inputs, outputs) => {
    const most = 64
    const x = noise(most * inputs, 1)
    for (let at = 0; at < inputs; at++) x[5 * inputs + at] = x[5 * inputs + at]! * 1e4
    x[7 * inputs + 3] = 25_000
    const weights = noise(outputs * inputs, 2)
    const kernels = await Promise.all(THREADS.map((threads) => kernel(packFloats(weights, inputs), threads)))
    const expected = await kernels[0]!(x)
    for (const run of kernels) {
      for (const [from, to] of [
        [0, 64],
        [0, 2],
        [4, 7],
        [3, 8],
        [7, 23],
        [20, 53],
      ] as const) {
        const part = await run(x.slice(from * inputs, to * inputs))
        expect(Buffer.compare(bytes(part), bytes(expected.slice(from * outputs, to * outputs)))).toBe(0)
      }
    }
  })

  it('are near the float32 product, also where one channel is a thousand times the others', async () => {
    const [inputs, outputs, rows] = [576, 48, 8]
    const x = noise(rows * inputs, 3)
    for (let row = 4; row < rows; row++) x[row * inputs + 77] = 1000
    const weights = noise(outputs * inputs, 4)
    const run = await kernel(packFloats(weights.slice(), inputs), 1)
    const y = await run(x)
    for (let row = 0; row < rows; row++) {
      let [error, size] = [0, 0]
      for (let output = 0; output < outputs; output++) {
        let exact = 0
        for (let at = 0; at < inputs; at++) exact += x[row * inputs + at]! * weights[output * inputs + at]!
        error += (y[row * outputs + output]! - exact) ** 2
        size += exact ** 2
      }
      expect(Math.sqrt(error / size)).toBeLessThan(0.02)
    }
  })

  it('of zeros, and matrices with outputs of zeros, give zeros', async () => {
    const [inputs, outputs] = [64, 8]
    const weights = noise(outputs * inputs, 5)
    weights.fill(0, 3 * inputs, 4 * inputs)
    const run = await kernel(packFloats(weights, inputs), 1)
    const x = noise(2 * inputs, 6)
    x.fill(0, 0, inputs)
    const y = await run(x)
    expect(y.slice(0, outputs)).toEqual(new Float32Array(outputs))
    expect(y[outputs + 3]).toBe(0)
    expect(y.slice(outputs).filter((value) => value !== 0).length).toBe(outputs - 1)
  })

  it.each([Infinity, NaN])(
    'with %d in them give no finite number, and leave their neighbours alone',
    async (strange) => {
      const [inputs, outputs] = [192, 8]
      const run = await kernel(packFloats(noise(outputs * inputs, 7), inputs), 1)
      const x = noise(3 * inputs, 8)
      const clean = await run(x)
      x[inputs + 9] = strange
      const y = await run(x)
      expect(y.slice(outputs, 2 * outputs).some(Number.isFinite)).toBe(false)
      expect(y.slice(0, outputs)).toEqual(clean.slice(0, outputs))
      expect(y.slice(2 * outputs)).toEqual(clean.slice(2 * outputs))
    },
  )

  it('of a matrix with a NaN show it', async () => {
    const [inputs, outputs] = [64, 4]
    const weights = noise(outputs * inputs, 9)
    weights[2 * inputs + 5] = NaN
    const y = await (await kernel(packFloats(weights, inputs), 1))(noise(2 * inputs, 10))
    expect([...y].map(Number.isNaN)).toEqual([false, false, true, false, false, false, true, false])
  })
})

describe('widths', () => {
  it('are rotated in pieces of 64 or 32; others and what overflows 32 bits are left to other kernels', () => {
    expect([576, 1536, 2048, 96, 80, 131_072, 131_136].map(rotationOf)).toEqual([64, 64, 64, 32, null, 64, null])
  })
})

describe('memory', () => {
  const memory = (shape: readonly number[]): number =>
    tensorMemory({ name: 'blk.0.ffn_up.weight', type: 'Q4_K', shape, bytes: 1, address: '' }, 'int8')

  it('is a byte a weight, and a scale and a sum an output', () => {
    expect(memory([1536, 576])).toBe(1536 * (576 + 8))
  })

  it('is that of float32 where the width is no whole number of pieces', () => {
    expect(memory([64, 40])).toBe(4 * 64 * 40)
  })
})

function bytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
