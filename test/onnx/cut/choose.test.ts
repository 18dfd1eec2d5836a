/** The choice of partitions against all choices there are. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { balanceOf, blocksOf, choosePartitions, decide, decideCuts } from '../../../src/onnx/cut/index.ts'
import type { Blocks } from '../../../src/onnx/cut/index.ts'
import { OnnxMemoryLimitError } from '../../../src/onnx/index.ts'
import { checkModel } from '../../../src/onnx/ir/index.ts'
import { facts, model, node, tensorType } from './support/build.ts'

const F = tensorType('float32', [4])

/** A chain of nodes, for the parts of `Blocks` that the choice does not look at. */
function chainOf(count: number): Blocks {
  const nodes = Array.from({ length: count }, (_, at) => node('Relu', [`v${at}`], [`v${at + 1}`]))
  const types = Array.from({ length: count + 1 }, (_, at) => [`v${at}`, F] as const)
  const made = model({ inputs: { v0: F }, outputs: { [`v${count}`]: F }, nodes })
  return blocksOf(checkModel(made), facts(types), false)
}

const blocksWith = fc.integer({ min: 2, max: 9 }).chain((count) =>
  fc
    .record({
      seconds: fc.array(fc.integer({ min: 1, max: 50 }), { minLength: count, maxLength: count }),
      crossing: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: count, maxLength: count }),
      alive: fc.array(fc.nat({ max: 20 }), { minLength: count, maxLength: count }),
      weights: fc.array(
        fc.tuple(
          fc.integer({ min: 1, max: 60 }),
          fc.uniqueArray(fc.nat({ max: count - 1 }), { minLength: 1, maxLength: 3 }),
        ),
        { maxLength: 6 },
      ),
    })
    .map(({ seconds, crossing, alive, weights }): Blocks => ({
      ...chainOf(count),
      seconds: Float64Array.from(seconds),
      crossing: Float64Array.from([0, ...crossing.slice(1), 0]),
      alive: Float64Array.from(alive),
      weights: weights.map(([bytes, blocks]) => ({ bytes, blocks: blocks.sort((a, b) => a - b) })),
    })),
)

interface Measured {
  readonly cuts: readonly number[]
  readonly time: number
  readonly memory: number
  readonly memories: readonly number[]
  readonly bytes: number
}

function* choices(blocks: Blocks, parts: number, cuts: readonly number[] = []): Generator<Measured> {
  if (cuts.length === parts - 1) {
    yield measured(blocks, cuts)
    return
  }
  for (let cut = (cuts.at(-1) ?? 0) + 1; cut < blocks.seconds.length; cut++)
    yield* choices(blocks, parts, [...cuts, cut])
}

function measured(blocks: Blocks, cuts: readonly number[]): Measured {
  const bounds = [0, ...cuts, blocks.seconds.length]
  const each = bounds.slice(1).map((to, index) => {
    const inside = Array.from({ length: to - bounds[index]! }, (_, at) => bounds[index]! + at)
    const weights = blocks.weights.filter((item) => item.blocks.some((block) => inside.includes(block)))
    return {
      time: inside.reduce((sum, block) => sum + blocks.seconds[block]!, blocks.crossing[to]!),
      memory: weights.reduce((sum, { bytes }) => sum + bytes, Math.max(...inside.map((block) => blocks.alive[block]!))),
    }
  })
  return {
    cuts,
    time: Math.max(...each.map(({ time }) => time)),
    memory: Math.max(...each.map(({ memory }) => memory)),
    memories: each.map(({ memory }) => memory),
    bytes: cuts.reduce((sum, cut) => sum + blocks.crossing[cut]!, 0),
  }
}

describe('the choice of partitions', () => {
  it('is the best of all: within 5 % of the shortest time, the fewest bytes, under the limit', () => {
    const limits = fc.option(fc.integer({ min: 20, max: 150 }), { nil: undefined })
    fc.assert(
      fc.property(blocksWith, fc.integer({ min: 1, max: 5 }), limits, (blocks, parts, memoryLimit) => {
        const all = [...choices(blocks, parts)].filter(({ memory }) => memory <= (memoryLimit ?? Infinity))
        const chosen = choosePartitions(blocks, { parts, memoryLimit, bandwidth: 1 })
        if (all.length === 0) {
          expect(chosen).toBeNull()
          return
        }
        const shortest = Math.min(...all.map(({ time }) => time))
        const good = all.filter(({ time }) => time <= 1.05 * shortest)
        const { time, memory, bytes } = measured(blocks, chosen!.cuts)
        expect(chosen).toMatchObject({ bound: shortest, exact: true, bottleneck: time, memory, crossingBytes: bytes })
        expect(time).toBeLessThanOrEqual(1.05 * shortest)
        expect(bytes).toBe(Math.min(...good.map((each) => each.bytes)))
      }),
      { numRuns: 300, seed: 7 },
    )
  })

  it('holds each partition to a limit of its own, and says how near the best comes', () => {
    const limits = fc.array(fc.integer({ min: 5, max: 150 }), { minLength: 4, maxLength: 4 })
    fc.assert(
      fc.property(blocksWith, fc.integer({ min: 2, max: 4 }), limits, (blocks, parts, memoryLimit) => {
        const fits = ({ memories }: Measured): boolean => memories.every((bytes, part) => bytes <= memoryLimit[part]!)
        const every = [...choices(blocks, parts)]
        const chosen = choosePartitions(blocks, { parts, memoryLimit, bandwidth: 1 })
        const all = every.filter(fits)
        if (every.length === 0) return
        if (all.length > 0) {
          const found = measured(blocks, chosen!.cuts)
          expect(fits(found)).toBe(true)
          expect(chosen).toMatchObject({ bound: Math.min(...all.map(({ time }) => time)), memories: found.memories })
          return
        }
        expect(chosen).toBeNull()
        const share = ({ memories }: Pick<Measured, 'memories'>): number =>
          Math.max(...memories.map((bytes, part) => bytes / memoryLimit[part]!))
        let told: unknown
        try {
          decide(blocks, { parts, memoryLimit })
        } catch (error) {
          told = error
        }
        expect(told).toBeInstanceOf(OnnxMemoryLimitError)
        const needed = (told as OnnxMemoryLimitError).details['needed'] as readonly number[]
        expect(share({ memories: needed })).toBe(Math.min(...every.map(share)))
      }),
      { numRuns: 200, seed: 7 },
    )
  })

  it('of one partition, and of cuts that are given, is refused where it does not fit', () => {
    const blocks: Blocks = { ...chainOf(4), weights: [{ bytes: 1000, blocks: [1] }] }
    expect(() => decide(blocks, { parts: 1, memoryLimit: 1000 })).toThrow(OnnxMemoryLimitError)
    expect(decide(blocks, { parts: 1, memoryLimit: 2000 }).chosen.cuts).toEqual([])
    expect(() => decideCuts(blocks, [2], 1000)).toThrow('these cuts do not keep each partition under 1000 bytes')
    expect(decideCuts(blocks, [2], undefined).chosen.cuts).toEqual([2])
    const lone: Blocks = { ...chainOf(1), weights: [{ bytes: 1000, blocks: [0] }] }
    expect(() => decide(lone, { parts: 3, memoryLimit: 100 })).toThrow('the model in one piece is not under 100 bytes')
  })

  it('tells how far the slowest partition is above the bound', () => {
    const even = { ...chainOf(4), seconds: Float64Array.of(1, 1, 1, 1), crossing: new Float64Array(5) }
    expect(balanceOf(choosePartitions(even, { parts: 2 })!)).toMatchObject({ cuts: [2], exact: true, above: 0 })
    const uneven = { ...even, seconds: Float64Array.of(3, 1, 1, 1) }
    expect(balanceOf(decideCuts(uneven, [3], undefined).chosen)).toMatchObject({
      slowest_ms: 5000,
      bound_ms: 3000,
      exact: false,
      above: expect.closeTo(2 / 3),
    })
  })

  it('leaves out cuts that are banned', () => {
    fc.assert(
      fc.property(blocksWith, fc.uniqueArray(fc.nat({ max: 9 })), (blocks, numbers) => {
        const banned = new Set(numbers)
        const chosen = choosePartitions(blocks, { parts: 2, banned, bandwidth: 1 })
        const left = [...choices(blocks, 2)].filter(({ cuts }) => !banned.has(cuts[0]!))
        if (left.length === 0) expect(chosen).toBeNull()
        else expect(left.map(({ cuts }) => cuts[0])).toContain(chosen!.cuts[0])
      }),
      { numRuns: 100, seed: 7 },
    )
  })

  it('of thousands of blocks is near its bound, and says that it is not exact', () => {
    const count = 6000
    const blocks = {
      ...chainOf(count),
      seconds: Float64Array.from({ length: count }, (_, at) => 1e-6 * (1 + ((at * 7919) % 13))),
    }
    const chosen = choosePartitions(blocks, { parts: 16 })!
    expect(chosen.exact).toBe(false)
    expect(chosen.bound).toBeLessThanOrEqual(chosen.bottleneck)
    expect(chosen.bottleneck).toBeLessThan(1.1 * chosen.bound)
  })

  it('that no memory is enough for says how much would be', () => {
    const blocks: Blocks = {
      ...chainOf(4),
      weights: [
        { bytes: 1000, blocks: [1] },
        { bytes: 600, blocks: [2, 3] },
      ],
    }
    const attempt = (memoryLimit: number) => () => decide(blocks, { parts: 3, memoryLimit })
    expect(attempt(900)).toThrow(OnnxMemoryLimitError)
    expect(attempt(900)).toThrow('no choice of 3 partitions keeps each under 900 bytes')
    expect(attempt(1016)().chosen.cuts).toHaveLength(2)
  })
})

describe('partitions at different paces', () => {
  it('no choice has a faster slowest one, counted at the pace of each', () => {
    fc.assert(
      fc.property(
        blocksWith,
        fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 3, maxLength: 3 }),
        (blocks, paces) => {
          const parts = Math.min(3, blocks.seconds.length)
          const chosen = choosePartitions(blocks, { parts, paces, bandwidth: 1 })!
          const time = (cuts: readonly number[]): number => {
            const bounds = [0, ...cuts, blocks.seconds.length]
            return Math.max(
              ...bounds.slice(1).map((to, part) => {
                const work = blocks.seconds.subarray(bounds[part], to).reduce((sum, each) => sum + each, 0)
                return work / paces[part]! + blocks.crossing[to]!
              }),
            )
          }
          const best = Math.min(...[...choices(blocks, parts)].map(({ cuts }) => time(cuts)))
          expect(chosen.bound).toBeCloseTo(best)
          expect(chosen.bottleneck).toBeCloseTo(time(chosen.cuts))
          expect(chosen.bottleneck).toBeLessThanOrEqual(best * 1.05 + 1e-9)
        },
      ),
    )
  })
})
