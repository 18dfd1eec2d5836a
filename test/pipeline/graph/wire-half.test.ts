/** `--wire f16`: what goes from part to part is rounded to float16, and nothing else is. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AnyTensor } from '../../../src/onnx/index.ts'
import { GraphPipeline } from '../../../src/pipeline/index.ts'
import type { Inference, OpenGraph } from '../../../src/pipeline/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { model, node, tensorType } from '../../onnx/cut/support/build.ts'
import { crossing, f32, write } from './support/models.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-wire-half-'))
})

afterAll(() => rm(folder, { recursive: true }))

async function infer(open: OpenGraph, inputs: ReadonlyMap<string, AnyTensor>): Promise<Inference> {
  const needs = { clock: systemClock(), cache: join(folder, 'cache'), codeCache: join(folder, 'code') }
  const pipeline = await GraphPipeline.open(needs, { ...open, threads: 1 })
  try {
    return await pipeline.infer(inputs, { microBatch: 0 })
  } finally {
    await pipeline.close()
  }
}

const numbers = ({ outputs }: Inference, name: string): readonly number[] =>
  Array.from(outputs.get(name)!.data as Float32Array)
const half = (values: readonly number[]): readonly number[] => Array.from(Float16Array.from(values))

describe('values that cross as float16', () => {
  it('are those of the wire and no others: the sum of what was rounded, in two processes', async () => {
    const row = tensorType('float32', [1, 64])
    const chain = Array.from({ length: 6 }, (_, at) => node('Neg', [at === 0 ? 'x' : `v${at}`], [`v${at + 1}`]))
    const made = model({
      nodes: [...chain, node('Add', ['v6', 'x'], ['y'])],
      inputs: { x: row },
      outputs: { y: row },
    })
    const path = await write(folder, 'chain.onnx', made)
    const x = f32([1, 64])
    const exact = await infer({ path, parts: 2 }, new Map([['x', x]]))
    const rounded = await infer({ path, parts: 2, wire: 'f16' }, new Map([['x', x]]))
    expect([exact, rounded].map(({ stats }) => [stats.parts, stats.wire])).toEqual([
      [2, 'f32'],
      [2, 'f16'],
    ])
    const given = Array.from(x.data as Float32Array)
    expect(numbers(exact, 'y')).toEqual(given.map((value) => Math.fround(value + value)))
    // Six changes of sign: the value is the input, rounded once; the input itself goes to the last part as it is.
    expect(numbers(rounded, 'y')).toEqual(half(given).map((value, at) => Math.fround(value + given[at]!)))
  }, 120_000)

  it('take fewer bytes, at the cuts that are proven without them', async () => {
    const path = await write(folder, 'crossing.onnx', crossing(32))
    const inputs = new Map([
      ['x', f32([4, 32])],
      ['late', f32([4, 32], 9)],
    ])
    const exact = await infer({ path, parts: 4 }, inputs)
    const rounded = await infer({ path, parts: 4, wire: 'f16' }, inputs)
    expect(rounded.route.map(({ from }) => from)).toEqual(exact.route.map(({ from }) => from))
    expect(rounded.stats.counters['boundary_bytes']).toBeLessThan(exact.stats.counters['boundary_bytes']!)
    const [one, other] = [numbers(exact, 'y'), numbers(rounded, 'y')]
    expect(other).not.toEqual(one)
    const furthest = Math.max(...one.map((value, at) => Math.abs(value - other[at]!)))
    expect(furthest).toBeLessThan(0.01)
  }, 120_000)
})
