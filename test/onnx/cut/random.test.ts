/** Laws of cutting, over random graphs that the engine runs: every node is there once, and no bit changes. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { assignParts, blocksOf, choosePartitions, partitionModel } from '../../../src/onnx/cut/index.ts'
import type { Blocks, Part } from '../../../src/onnx/cut/index.ts'
import { checkModel, writeModel } from '../../../src/onnx/ir/index.ts'
import type { Optimization } from '../../../src/onnx/index.ts'
import { facts } from './support/build.ts'
import { chain, whole } from './support/chain.ts'
import { randomGraph } from './support/random-graph.ts'
import type { RandomGraph } from './support/random-graph.ts'

let directory: string
beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'weft-cut-'))))
afterAll(() => rm(directory, { recursive: true, force: true }))

/** As many runs as in a long sweep when WEFT_CUT_RUNS says so. */
const RUNS = Number(process.env['WEFT_CUT_RUNS'] ?? 12)
const PARAMETERS = { numRuns: RUNS, endOnFailure: true, seed: 11 }

const graphs = fc
  .tuple(fc.integer({ min: 1, max: 2 ** 31 - 1 }), fc.integer({ min: 4, max: 40 }))
  .map(([seed, count]): RandomGraph => randomGraph(picker(seed), count))

function picker(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

function expectCover(blocks: Blocks, parts: readonly Part[]): void {
  const { structure } = blocks
  const times = structure.nodes.map((_, node) => parts.filter(({ nodes }) => nodes.includes(node)).length)
  for (const [node, kind] of structure.kinds.entries()) {
    if (kind === 'solid') expect(times[node]).toBe(1)
    if (kind === 'dead') expect(times[node]).toBe(0)
  }
  for (const [index, part] of parts.entries()) {
    const given = new Set([...part.inputs.map(({ name }) => name), ...part.initializers, ''])
    for (const node of part.nodes) {
      for (const name of structure.reads[node]!)
        expect(given, `what node ${node} of part ${index} reads`).toContain(name)
      for (const name of structure.nodes[node]!.outputs) given.add(name)
    }
    for (const { name } of part.outputs) expect(given).toContain(name)
    for (const { name, from } of part.inputs) {
      if (from === 'graph') continue
      expect(from).toBeLessThan(index)
      expect(parts[from]!.outputs.find((output) => output.name === name)?.to).toContain(index)
    }
  }
}

describe('any cut of a random graph', () => {
  it('has every node once, and hands on all that is read', () => {
    fc.assert(
      fc.property(graphs, fc.boolean(), fc.array(fc.nat(), { maxLength: 6 }), ({ model, types }, fused, picks) => {
        const known = facts(types)
        const blocks = blocksOf(checkModel(model), known, fused)
        const last = blocks.starts.length - 2
        const cuts = [...new Set(picks.map((pick) => 1 + (pick % Math.max(1, last))))].sort((a, b) => a - b)
        expectCover(blocks, assignParts(blocks, known, last < 1 ? [] : cuts))
      }),
      { numRuns: 60, seed: 5 },
    )
  })

  const equalBits = (optimization: Optimization, cutsOf: (blocks: Blocks, pick: number) => readonly number[]) =>
    fc.assert(
      fc.asyncProperty(graphs, fc.nat(), async ({ model, types }, pick) => {
        const checked = checkModel(model)
        const known = facts(types)
        const blocks = blocksOf(checked, known, optimization !== 'off')
        const cuts = cutsOf(blocks, pick)
        const path = join(directory, 'whole.onnx')
        await writeModel(checked, path)
        const runs = await whole(path, checked, optimization)
        expect(runs.cases.map(({ feeds }) => feeds['late']!.dims[0])).toEqual([1, 2])
        const parts = partitionModel(blocks.structure, types, assignParts(blocks, known, cuts))
        expect(parts).toHaveLength(cuts.length + 1)
        expect(await chain(directory, runs, parts)).toMatchObject({ kind: 'equal', cases: 2 })
      }),
      PARAMETERS,
    )

  it('gives the same bits with optimisations off', () =>
    equalBits('off', (blocks, pick) => {
      const last = blocks.starts.length - 2
      return [...new Set([1 + (pick % last), 1 + ((pick >> 8) % last), 1 + ((pick >> 16) % last)])].sort(
        (a, b) => a - b,
      )
    }))

  it('gives the same bits with optimisations on, where one is chosen', () =>
    equalBits('all', (blocks) => choosePartitions(blocks, { parts: 3 })?.cuts ?? []))
})

describe('the order of nodes', () => {
  it('does not follow their places in the file', () => {
    fc.assert(
      fc.property(graphs, fc.nat(), ({ model, types }, pick) => {
        const known = facts(types)
        const { nodes } = model.graph
        const draw = picker(pick + 1)
        const shuffled = nodes.map((node) => ({ node, key: draw(1e6) })).sort((a, b) => a.key - b.key)
        const mixed = { ...model, graph: { ...model.graph, nodes: shuffled.map(({ node }) => node) } }
        const [plain, other] = [model, mixed].map((each) => blocksOf(checkModel(each), known, false))
        expect(other!.order).toHaveLength(plain!.order.length)
        // A shuffled file loses its own order; what is found from dependence alone is at most a little worse.
        const area = (blocks: Blocks): number => blocks.crossing.reduce((sum, bytes) => sum + bytes, 0)
        expect(area(other!)).toBeLessThanOrEqual(3 * area(plain!))
      }),
      { numRuns: 40, seed: 3 },
    )
  })
})
