/** From figures to formats, without a model. */
import { describe, expect, it } from 'vitest'
import { CALIBRATION_PARAGRAPHS, HELD_OUT_PARAGRAPHS } from '../../src/compress/calibration-text.ts'
import { isWithinBound, PRICES, verdictOf } from '../../src/compress/choose.ts'
import type { ModelManifest, WeightFormat } from '../../src/models/index.ts'
import { cheapest } from '../../src/pipeline/host/quality/cheapest.ts'
import { Distribution, softmaxPart } from '../../src/pipeline/host/quality/distribution.ts'
import type { QualityResult, WholeResult } from '../../src/pipeline/index.ts'

const CANDIDATES = [
  { weights: 'q4', memory: 5 / 32 },
  { weights: 'int8', memory: 8 / 32 },
  { weights: 'q8', memory: 9 / 32 },
  { weights: 'f32', memory: 1 },
] as const

function chosen(errors: Readonly<Partial<Record<WeightFormat, number>>>): WeightFormat[] {
  return PRICES.map((price) => cheapest(CANDIDATES, { f32: 0, ...errors }, price))
}

describe('a layer', () => {
  it('gets a more exact format for a higher price, and float32 for the highest', () => {
    const sizes = chosen({ q4: 0.08, int8: 0.01, q8: 0.009 }).map((weights) =>
      CANDIDATES.findIndex((candidate) => candidate.weights === weights),
    )
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
    expect(sizes[0]).toBe(0)
    expect(sizes.at(-1)).toBe(3)
  })

  it('with outliers, which one step a row does not hold, gets blocks of 8 bits before rows of 8', () => {
    expect(chosen({ q4: 0.4, int8: 0.3, q8: 0.02 })[2]).toBe('q8')
    expect(chosen({ q4: 0.4, int8: 0.02, q8: 0.02 })[2]).toBe('int8')
  })

  it('whose widths no kernel takes is float32 at every price', () => {
    const held = CANDIDATES.map(({ weights }) => ({ weights, memory: 1 })).toReversed()
    expect(cheapest(held, { q4: 0, int8: 0, q8: 0, f32: 0 }, 1)).toBe('f32')
  })
})

function whole(changes: Partial<WholeResult>): WholeResult {
  return { price: 1, weights: [], perplexity: 10, divergence: 0.001, chance: 0.002, ...changes }
}

describe('a whole model', () => {
  it('is judged by its divergence, and by a perplexity that chance does not explain', () => {
    expect(isWithinBound(whole({}), 10)).toBe(true)
    expect(isWithinBound(whole({ divergence: 0.0101 }), 10)).toBe(false)
    expect(isWithinBound(whole({ perplexity: 10.11 }), 10)).toBe(true)
    expect(isWithinBound(whole({ perplexity: 10.2 }), 10)).toBe(false)
    expect(isWithinBound(whole({ perplexity: 10.2, chance: 0.01 }), 10)).toBe(true)
    expect(isWithinBound(whole({ perplexity: Number.MAX_VALUE, divergence: Number.MAX_VALUE }), 10)).toBe(false)
  })

  it('that is the smallest within the bound is taken, and the most exact where none is', () => {
    const tensor = { name: 'blk.0.ffn_up.weight', type: 'F16', shape: [32, 32], bytes: 2048, address: '' } as const
    const manifest = { shape: {}, blocks: [{ kind: 'decoder', tensors: [tensor] }] } as unknown as ModelManifest
    const result = (divergences: readonly number[]): QualityResult => {
      const formats = ['q4', 'int8', 'f32'] as const
      const wholes = formats.map((weights, at) => whole({ weights: [weights], divergence: divergences[at]! }))
      return { wholes, perplexity: 10 } as unknown as QualityResult
    }
    const verdict = (...divergences: number[]): unknown[] => {
      const { whole: taken, passed } = verdictOf(manifest, result(divergences))
      return [taken.weights[0], passed]
    }
    expect(verdict(0.005, 0.001, 0)).toEqual(['q4', true])
    expect(verdict(0.05, 0.001, 0)).toEqual(['int8', true])
    expect(verdict(0.05, 0.02, 0)).toEqual(['f32', true])
    expect(verdict(0.05, 0.02, 0.02)).toEqual(['f32', false])
  })
})

describe('distributions in parts of the vocabulary', () => {
  const [rows, tokens] = [3, 50]
  const logits = (seed: number): Float32Array =>
    Float32Array.from({ length: rows * tokens }, (_, at) => 9 * Math.sin(seed * at * at + at))
  const [wanted, got] = [logits(1), logits(1).map((value, at) => value + Math.cos(at) / 4)]
  const targets = Int32Array.of(7, 49, -1)
  const slice = (of: Float32Array, from: number, end: number): Float32Array =>
    Float32Array.from({ length: rows * (end - from) }, (_, at) => {
      const width = end - from
      return of[Math.floor(at / width) * tokens + from + (at % width)]!
    })

  it('have the perplexity and the divergence that they have as wholes', () => {
    const distribution = new Distribution(targets)
    for (const [from, end] of [
      [0, 20],
      [20, 49],
      [49, 50],
    ] as const) {
      distribution.add(slice(got, from, end), softmaxPart(slice(wanted, from, end), rows), from)
    }
    let [nats, divergence] = [0, 0]
    for (const row of [0, 1]) {
      const [p, q] = [wanted, got].map((of) => {
        const own = of.subarray(row * tokens, (row + 1) * tokens)
        const sum = own.reduce((total, value) => total + Math.exp(value), 0)
        return [...own].map((value) => Math.exp(value) / sum)
      }) as [number[], number[]]
      nats -= Math.log(q[targets[row]!]!) / 2
      divergence += p.reduce((sum, value, at) => sum + value * Math.log(value / q[at]!), 0) / 2
    }
    const distance = distribution.distance()
    expect(distance.perplexity / Math.exp(nats)).toBeCloseTo(1, 3)
    expect(distance.divergence / divergence).toBeCloseTo(1, 2)
  })
})

describe('the page that comes with weft', () => {
  it('has the same kinds of text in both halves, and no paragraph in both', () => {
    expect(CALIBRATION_PARAGRAPHS).toHaveLength(HELD_OUT_PARAGRAPHS.length)
    expect(new Set([...CALIBRATION_PARAGRAPHS, ...HELD_OUT_PARAGRAPHS]).size).toBe(12)
    for (const paragraph of HELD_OUT_PARAGRAPHS) expect(paragraph.length).toBeGreaterThan(256)
  })
})
