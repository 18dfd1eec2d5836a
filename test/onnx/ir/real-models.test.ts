/** Real models, read, checked and written in two ways: the engine gives the same bits from all three. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as ort from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { checkModel, constantsToInitializers, readModel, withGraph, writeModel } from '../../../src/onnx/ir/index.ts'
import type { Model, ValueInfo } from '../../../src/onnx/ir/index.ts'
import { testFolder } from './support/folder.ts'

const at = testFolder()
const data = (path: string): string => fileURLToPath(new URL(`../../../../shared/data/${path}`, import.meta.url))

/** Nodes, initializers, and shapes of inputs that have free dimensions. */
const MODELS: readonly [string, number, number, Shapes][] = [
  ['vision/yolox_nano.onnx', 369, 236, {}],
  ['audio/gtcrn_simple.onnx', 415, 214, {}],
  ['audio/silero_vad_v5.onnx', 5, 0, { input: [1, 512], state: [2, 1, 128] }],
]

type Shapes = Readonly<Record<string, readonly number[]>>

function feed({ name, type }: ValueInfo, shapes: Shapes): ort.Tensor {
  if (type?.kind !== 'tensor') throw new Error(`${name} is no tensor`)
  if (type.type === 'int64') return new ort.Tensor('int64', BigInt64Array.of(16_000n), [])
  const dims = shapes[name] ?? (type.shape as readonly number[])
  const length = dims.reduce((product, size) => product * size, 1)
  const values = Float32Array.from({ length }, (_, index) => Math.sin(index * 0.37) / 2)
  return new ort.Tensor('float32', values, dims)
}

async function run(path: string, model: Model, shapes: Shapes): Promise<Map<string, ort.Tensor>> {
  const session = await ort.InferenceSession.create(path, { graphOptimizationLevel: 'disabled', intraOpNumThreads: 1 })
  const feeds = Object.fromEntries(model.graph.inputs.map((input) => [input.name, feed(input, shapes)]))
  const results = new Map(Object.entries(await session.run(feeds)))
  await session.release()
  return results
}

describe.each(MODELS)('%s (skipped where the shared data are not there)', (path, nodes, initializers, shapes) => {
  it.skipIf(!existsSync(data(path)))('gives the same bits', async () => {
    const read = await readModel(data(path))
    expect([read.graph.nodes.length, read.graph.initializers.size]).toEqual([nodes, initializers])
    const checked = checkModel(read)
    await writeModel(checked, at('inside.onnx'))
    await writeModel(withGraph(checked, constantsToInitializers(checked.graph)), at('outside.onnx'), {
      external: 'always',
    })
    const whole = await run(data(path), read, shapes)
    expect(whole.size).toBe(read.graph.outputs.length)
    for (const copy of ['inside.onnx', 'outside.onnx']) {
      const results = await run(at(copy), read, shapes)
      for (const [name, expected] of whole) {
        expect(results.get(name)!.dims).toEqual(expected.dims)
        const bits = (tensor: ort.Tensor): Buffer => {
          const view = tensor.data as Float32Array
          return Buffer.from(view.buffer, view.byteOffset, view.byteLength)
        }
        expect(bits(results.get(name)!).equals(bits(expected)), `${copy}: ${name}`).toBe(true)
      }
    }
  })
})
