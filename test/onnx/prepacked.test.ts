import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  createOrtEngine,
  GraphBuilder,
  MICROSOFT,
  PrepackedDiffersError,
  prepackWeights,
  WeightFile,
} from '../../src/onnx/index.ts'
import type { Engine, Prepacked, PrepackedForm, StoredTensor, Tensor } from '../../src/onnx/index.ts'
import { prepackedEntries, prepackedForms } from '../../src/onnx/prepacked-entries.ts'

/** SmolLM2-135M's [inputs, outputs]: what the engine's own pre-packed file is known to fail with. */
const SHAPES = [
  [576, 960],
  [576, 576],
  [576, 1536],
  [1536, 576],
] as const
const BLOCK = 32

let directory: string
const engine = createOrtEngine()

beforeEach(async () => (directory = await mkdtemp(join(tmpdir(), 'weft-prepacked-'))))
afterEach(() => rm(directory, { recursive: true, force: true }))

interface Matrix {
  readonly inputs: number
  readonly outputs: number
  readonly quants: StoredTensor
  readonly scales: StoredTensor
  readonly offsets: StoredTensor
}

async function writeMatrices(name: string): Promise<{ readonly matrices: readonly Matrix[]; readonly bytes: number }> {
  const file = await WeightFile.create(join(directory, name), name)
  const matrices: Matrix[] = []
  for (const [index, [inputs, outputs]] of SHAPES.entries()) {
    const blocks = inputs / BLOCK
    const quants = Uint8Array.from(
      { length: (inputs * outputs) / 2 },
      (_, at) => (at * 31 + index * 7 + (at >> 9)) % 256,
    )
    const scales = Float32Array.from({ length: blocks * outputs }, (_, at) => 0.001 * (1 + ((at + index) % 13)))
    const offsets = Float32Array.from({ length: blocks * outputs }, (_, at) => 0.0001 * ((at % 17) - 8))
    matrices.push({
      inputs,
      outputs,
      quants: await file.append('u8', [outputs, blocks, BLOCK / 2], quants),
      scales: await file.append('f32', [outputs, blocks], scales),
      offsets: await file.append('f32', [blocks, outputs], offsets),
    })
  }
  await file.close()
  return { matrices, bytes: file.bytes }
}

/** MatMulNBits and a float MatMul for each matrix. */
function graphOf(matrices: readonly Matrix[], forms?: ReadonlyMap<number, readonly PrepackedForm[]>): Uint8Array {
  const graph = new GraphBuilder()
  const stored = (name: string, tensor: StoredTensor): string =>
    graph.stored(name, { ...tensor, prepacked: forms?.get(tensor.offset) ?? [] })
  for (const [index, { inputs, outputs, quants, scales, offsets }] of matrices.entries()) {
    const x = graph.input(`x.${index}`, 'f32', ['rows', inputs])
    const weights = [stored(`quants.${index}`, quants), stored(`scales.${index}`, scales)]
    const attributes = { K: inputs, N: outputs, bits: 4, block_size: BLOCK, accuracy_level: 4 }
    const y = graph.node('MatMulNBits', [x, ...weights], attributes, { domain: MICROSOFT })
    const blocks = graph.node('Reshape', [x, graph.int64s([0, inputs / BLOCK, BLOCK])])
    const sums = graph.node('ReduceSum', [blocks, graph.int64s([2])], { keepdims: 0 })
    const rest = graph.node('MatMul', [sums, stored(`offsets.${index}`, offsets)])
    graph.node('Add', [y, rest], {}, { outputs: [`y.${index}`] })
    graph.output(`y.${index}`, 'f32', ['rows', outputs])
  }
  return graph.finish('matrices')
}

let files = 0

async function results(bytes: Uint8Array, rows: number): Promise<Buffer[]> {
  // Several run at once, each from a file of its own.
  const path = join(directory, `run-${++files}.onnx`)
  await writeFile(path, bytes)
  const graph = await engine.load(path, { threads: 2 })
  const feeds: Record<string, Tensor> = {}
  for (const [index, [inputs]] of SHAPES.entries()) {
    const data = Float32Array.from({ length: rows * inputs }, (_, at) => Math.sin(at * 1.7 + index))
    feeds[`x.${index}`] = { type: 'float32', dims: [rows, inputs], data }
  }
  const names = SHAPES.map((_, index) => `y.${index}`)
  const outputs = await graph.run(feeds, names)
  await graph.release()
  return names.map((name) => Buffer.from(Float32Array.from(outputs[name]!.data as Float32Array).buffer))
}

const job = (graph: Uint8Array, bytes: number): Parameters<typeof prepackWeights>[1] => ({
  graph,
  directory,
  file: 'w.weights',
  bytes,
  target: 'w.target',
  scratch: 'w.scratch',
})

function formsOf({ tensors }: Prepacked): ReadonlyMap<number, readonly PrepackedForm[]> {
  return new Map([...tensors].map(([offset, { forms }]) => [offset, forms]))
}

describe('pre-packed weights', () => {
  it('give the same bits as the weights, several kernels in one graph, and lie behind them at pages', async () => {
    const { matrices, bytes } = await writeMatrices('w.weights')
    const plain = await readFile(join(directory, 'w.weights'))
    const forms = formsOf(await prepackWeights(engine, job(graphOf(matrices), bytes)))
    expect(forms.size).toBeGreaterThanOrEqual(SHAPES.length)
    const parts = [...forms.values()].flatMap((own) => own.flatMap((form) => form.parts))
    expect(parts.every(({ offset }) => offset % 4096 === 0 && offset >= bytes)).toBe(true)
    const target = await readFile(join(directory, 'w.target'))
    expect(target.subarray(0, bytes).equals(plain)).toBe(true)
    const expected = await Promise.all([1, 2, 7, 33].map((rows) => results(graphOf(matrices), rows)))
    await writeFile(join(directory, 'w.weights'), target)
    const actual = await Promise.all([1, 2, 7, 33].map((rows) => results(graphOf(matrices, forms), rows)))
    expect(actual).toEqual(expected)
    expect(new Float32Array(Uint8Array.from(actual[3]![0]!).buffer).every(Number.isFinite)).toBe(true)
  })

  it('are what the engine computes with: damaged ones give other results', async () => {
    const { matrices, bytes } = await writeMatrices('w.weights')
    const expected = await results(graphOf(matrices), 2)
    const forms = formsOf(await prepackWeights(engine, job(graphOf(matrices), bytes)))
    const target = await readFile(join(directory, 'w.target'))
    await writeFile(join(directory, 'w.weights'), target.fill(0x21, bytes))
    expect(await results(graphOf(matrices, forms), 2)).not.toEqual(expected)
  })

  it('pre-packed apart go together into one graph with the same bits', async () => {
    const { matrices, bytes } = await writeMatrices('w.weights')
    const expected = await results(graphOf(matrices), 5)
    const apart = new Map<number, readonly PrepackedForm[]>()
    const pieces: { readonly offset: number; readonly data: Buffer }[] = []
    let end = Math.ceil(bytes / 4096) * 4096
    for (const matrix of matrices) {
      const forms = formsOf(await prepackWeights(engine, job(graphOf([matrix]), bytes)))
      const target = await readFile(join(directory, 'w.target'))
      for (const [offset, own] of forms) {
        const moved = own.map(({ key, parts }) => ({
          key,
          parts: parts.map((part) => {
            pieces.push({ offset: end, data: target.subarray(part.offset, part.offset + part.length) })
            const at = end
            end = Math.ceil((end + part.length) / 4096) * 4096
            return { offset: at, length: part.length }
          }),
        }))
        apart.set(offset, moved)
      }
    }
    const whole = Buffer.alloc(end)
    ;(await readFile(join(directory, 'w.weights'))).copy(whole)
    for (const { offset, data } of pieces) data.copy(whole, offset)
    await writeFile(join(directory, 'w.weights'), whole)
    expect(await results(graphOf(matrices, apart), 5)).toEqual(expected)
  })

  it('leave nothing but their file behind; made again from it, they leave the old forms behind', async () => {
    const { matrices, bytes } = await writeMatrices('w.weights')
    await prepackWeights(engine, job(graphOf(matrices), bytes))
    expect((await readdir(directory)).sort()).toEqual(['w.target', 'w.weights'])
    const first = await readFile(join(directory, 'w.target'))
    await writeFile(join(directory, 'w.weights'), first)
    await prepackWeights(engine, job(graphOf(matrices), bytes))
    expect((await readFile(join(directory, 'w.target'))).length).toBe(first.length)
  })

  it.each([
    ['other numbers', (data: Float32Array) => data.map((value) => value + 1e-7)],
    ['no numbers', (data: Float32Array) => data.fill(Number.NaN)],
  ])('are refused when they give %s, and nothing is left', async (_, spoil) => {
    const { matrices, bytes } = await writeMatrices('w.weights')
    const spoiling: Engine = {
      kernelId: engine.kernelId,
      attention: engine.attention,
      load: async (path, options) => {
        const graph = await engine.load(path, options)
        if (options.savePrepacked !== undefined) return graph
        return {
          release: () => graph.release(),
          runAny: (feeds, fetches) => graph.runAny(feeds, fetches),
          run: async (feeds, fetches) => {
            const outputs = await graph.run(feeds, fetches)
            return Object.fromEntries(
              Object.entries(outputs).map(([name, y]) => [name, { ...y, data: spoil(y.data as Float32Array) }]),
            )
          },
        }
      },
    }
    await expect(prepackWeights(spoiling, job(graphOf(matrices), bytes))).rejects.toBeInstanceOf(PrepackedDiffersError)
    expect(await readdir(directory)).toEqual(['w.weights'])
  })
})

describe('entries of a graph', () => {
  it('are read as they were written, and refused where they make no sense', () => {
    const forms = [
      { key: 'MatMulNBits+1', parts: [{ offset: 4096, length: 10 }] },
      {
        key: 'MatMul+18446744073709551615',
        parts: [
          { offset: 8192, length: 0 },
          { offset: 12_288, length: 5 },
        ],
      },
    ]
    expect(prepackedForms([{ key: 'offset', value: '0' }, ...prepackedEntries(forms)])).toEqual(forms)
    for (const value of ['', 'key', 'key|', 'key|1', 'key|-1;5;0', 'key|x;5;0', 'key|1;1e300;0', '|1;2;0'])
      expect(() => prepackedForms([{ key: 'prepacked_0', value }]), value).toThrow(SyntaxError)
  })
})
