/** Public models: every tensor between input and output against the engine, and what is known of their cost. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readModel } from '../../../src/onnx/ir/index.ts'
import type { Model } from '../../../src/onnx/ir/index.ts'
import { inferShapes, nodeCosts } from '../../../src/onnx/shapes/index.ts'
import { testFolder } from '../ir/support/folder.ts'
import { judge } from './support/oracle.ts'

const DATA = new URL('../../../../shared/data/', import.meta.url)
const at = testFolder()

async function read(name: string, inputs: Readonly<Record<string, readonly number[]>> = {}): Promise<Model> {
  const model = await readModel(fileURLToPath(new URL(name, DATA)))
  const sized = model.graph.inputs.map((input) => {
    const shape = inputs[input.name]
    return shape === undefined || input.type?.kind !== 'tensor' ? input : { ...input, type: { ...input.type, shape } }
  })
  // Nothing that the exporter declared may help.
  return { ...model, graph: { ...model.graph, inputs: sized, values: new Map() } }
}

const sum = (model: Model, figure: 'flops' | 'weightBytes'): number =>
  nodeCosts(model, inferShapes(model)).reduce((total, cost) => total + cost[figure], 0)

describe.skipIf(!existsSync(DATA))('public models (skipped: ../shared/data is not there)', () => {
  it('YOLOX-nano: all is known, and it costs the 1.08 GFLOPs that its authors state', async () => {
    const model = await read('vision/yolox_nano.onnx')
    const { exact, open } = await judge(at, model, [{}])
    expect({ exact, open }).toEqual({ exact: 369, open: [] })
    expect(sum(model, 'flops') / 1e9).toBeCloseTo(1.08, 1)
    // 0.91 million parameters.
    expect(sum(model, 'weightBytes') / 4e6).toBeCloseTo(0.91, 1)
  })

  it('GTCRN: all is known, through its recurrent cells and cached states', async () => {
    const { exact, open } = await judge(at, await read('audio/gtcrn_simple.onnx'), [{}])
    expect({ exact, open }).toEqual({ exact: 425, open: [] })
  })

  it('Silero, all of which is two branches: the sampling rate decides, and without it ranks and types are known', async () => {
    const inputs = { input: [2, 512], state: [2, 2, 128], sr: [] }
    const model = await read('audio/silero_vad_v5.onnx', inputs)
    const { open } = await judge(at, model, [{}], { sr: [16_000] })
    expect(open).not.toEqual([])
    const { types } = inferShapes(model, { elements: new Map([['sr', [16_000]]]) })
    expect(types.get('output')).toMatchObject({ type: 'float32', shape: [2, 1] })
    expect(types.get('stateN')).toMatchObject({ type: 'float32', shape: [2, 2, 128] })
    // Both branches have their weights inside.
    expect(sum(model, 'weightBytes')).toBeGreaterThan(2e6)
  })
})
