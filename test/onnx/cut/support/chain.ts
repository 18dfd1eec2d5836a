/** Whole models and chains of parts, written and run by the engine. */
import { join } from 'node:path'
import { expect } from 'vitest'
import { assignParts, blocksOf, checkPartitions, partitionModel, runWhole } from '../../../../src/onnx/cut/index.ts'
import type { Blocks, CheckOutcome, Part, Partition, WholeRuns } from '../../../../src/onnx/cut/index.ts'
import { createOrtEngine } from '../../../../src/onnx/index.ts'
import type { Optimization } from '../../../../src/onnx/index.ts'
import { checkModel, writeModel } from '../../../../src/onnx/ir/index.ts'
import type { Model, ValueType } from '../../../../src/onnx/ir/index.ts'
import { facts } from './build.ts'

export const engine = createOrtEngine()

export function whole(path: string, { graph }: Model, optimization: Optimization): Promise<WholeRuns> {
  const inputs = graph.inputs.filter(({ name }) => !graph.initializers.has(name))
  return runWhole({ engine }, { path, inputs, outputs: graph.outputs.map(({ name }) => name) }, optimization)
}

export async function chain(directory: string, runs: WholeRuns, parts: readonly Partition[]): Promise<CheckOutcome> {
  const checked = []
  for (const [index, { model, inputs, outputs }] of parts.entries()) {
    const path = join(directory, `part-${index}.onnx`)
    await writeModel(model, path)
    checked.push({ path, inputs: inputs.map(({ name }) => name), outputs: outputs.map(({ name }) => name) })
  }
  return checkPartitions({ engine }, runs, checked)
}

export type Types = Readonly<Record<string, ValueType>>

export const blocksFor = (made: Model, types: Types, fused = false): Blocks =>
  blocksOf(checkModel(made), facts(Object.entries(types)), fused)

export interface Split {
  readonly parts: readonly Part[]
  readonly models: readonly Partition[]
}

export function split(blocks: Blocks, types: Types, cuts: readonly number[]): Split {
  const parts = assignParts(blocks, facts(Object.entries(types)), cuts)
  return { parts, models: partitionModel(blocks.structure, new Map(Object.entries(types)), parts) }
}

/** Every two-way cut, and one with all cuts at once, gives the same bits. */
export async function expectEqualEverywhere(directory: string, made: Model, types: Types): Promise<Blocks> {
  const checked = checkModel(made)
  const path = join(directory, 'whole.onnx')
  await writeModel(checked, path)
  const runs = await whole(path, checked, 'off')
  expect(runs.cases.length, runs.refused ?? '').toBeGreaterThan(0)
  const blocks = blocksFor(made, types)
  const inner = Array.from({ length: blocks.starts.length - 2 }, (_, index) => index + 1)
  expect(inner.length).toBeGreaterThan(0)
  for (const cuts of [...inner.map((cut) => [cut]), inner]) {
    const { models } = split(blocks, types, cuts)
    expect(await chain(directory, runs, models), `cuts ${cuts.join()}`).toMatchObject({ kind: 'equal' })
  }
  return blocks
}
