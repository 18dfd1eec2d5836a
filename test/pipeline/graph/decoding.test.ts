/** A step of a decoder: what goes in, what comes of its logits, and what is not believed of others. */
import { describe, expect, it } from 'vitest'
import type { DecoderLayout } from '../../../src/models/index.ts'
import type { AnyTensor } from '../../../src/onnx/index.ts'
import { decodeSampled, sampleLast } from '../../../src/pipeline/graph/decode/sampled.ts'
import { stepFeeds } from '../../../src/pipeline/graph/decode/steps.ts'
import { Decoding } from '../../../src/pipeline/graph/host/decoding.ts'
import type { RunGraph } from '../../../src/pipeline/graph/host/protocol.ts'
import { createSampler } from '../../../src/pipeline/host/sampler.ts'
import { GREEDY } from '../../../src/pipeline/index.ts'

const layout: DecoderLayout = {
  inputs: [
    { name: 'ids', role: 'ids', type: 'int64', rank: 2 },
    { name: 'mask', role: 'mask', type: 'int32', rank: 2 },
    { name: 'positions', role: 'positions', type: 'int64', rank: 1 },
    { name: 'total', role: 'total_length', type: 'int32', rank: 0 },
    { name: 'last', role: 'last_position', type: 'int32', rank: 1 },
    { name: 'keep', role: 'kept_logits', type: 'int64', rank: 0 },
    { name: 'cached', role: 'use_cache', type: 'bool', rank: 1 },
  ],
  caches: [
    { output: 'k', input: 'past_k', type: 'float16', shape: [1, 2, 0, 4], axis: 2 },
    { output: 's', input: 'past_s', type: 'float32', shape: [1, 3], axis: null },
  ],
  logits: 'logits',
}
const plain = (feeds: ReadonlyMap<string, AnyTensor>): Record<string, unknown> =>
  Object.fromEntries([...feeds].map(([name, { dims, data }]) => [name, [dims, Array.from(data, Number)]]))

describe('the inputs of a step', () => {
  it('are ids, ones and positions, and empty caches before the first token', () => {
    expect(plain(stepFeeds(layout, [7, 8], 0))).toEqual({
      ids: [
        [1, 2],
        [7, 8],
      ],
      mask: [
        [1, 2],
        [1, 1],
      ],
      positions: [[2], [0, 1]],
      total: [[], [2]],
      last: [[1], [1]],
      keep: [[], [1]],
      cached: [[1], [0]],
      past_k: [[1, 2, 0, 4], []],
      past_s: [
        [1, 3],
        [0, 0, 0],
      ],
    })
    expect(plain(stepFeeds(layout, [9], 2))).toEqual({
      ids: [[1, 1], [9]],
      mask: [
        [1, 3],
        [1, 1, 1],
      ],
      positions: [[1], [2]],
      total: [[], [3]],
      last: [[1], [2]],
      keep: [[], [1]],
      cached: [[1], [1]],
    })
  })
})

const f64 = (...values: number[]): AnyTensor => ({
  type: 'float64',
  dims: [values.length],
  data: Float64Array.from(values),
})
const sampler = (logprobs: number): ReturnType<typeof createSampler> =>
  createSampler({ sampling: GREEDY, logprobs, history: [] })

describe('a token in place of logits', () => {
  it('is chosen from the last row, and goes through a tensor unchanged', () => {
    const data = Float32Array.of(9, 0, 0, 1, 3, 2)
    const told = decodeSampled(sampleLast(sampler(2), { type: 'float32', dims: [1, 2, 3], data }, 5, 1.5))
    expect(told).toMatchObject({ runMs: 1.5, id: 1, top: [{ id: 1 }, { id: 2 }] })
    expect(told!.logprob).toBeCloseTo(3 - Math.log(Math.exp(1) + Math.exp(3) + Math.exp(2)), 12)
    // float16: 1, -2, infinity's neighbour, and a number below the normal ones.
    const half = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001)
    const row = sampler(4).sample(Float32Array.of(1, -2, 65504, 2 ** -24), 1)
    expect(decodeSampled(sampleLast(sampler(4), { type: 'float16', dims: [1, 4], data: half }, 1, 0))).toEqual({
      runMs: 0,
      ...row,
    })
  })

  it('is refused where it is none: it may come from anybody', () => {
    expect(decodeSampled(f64())).toBeNull()
    for (const bad of [
      f64(1),
      f64(1, -1),
      f64(1, 0.5),
      f64(1, 2 ** 31),
      f64(-1, 3),
      f64(Number.NaN, 3),
      f64(1, 2, -3, 1.5, 0),
    ]) {
      expect(() => decodeSampled(bad)).toThrow('a token')
    }
    expect(() => decodeSampled({ type: 'int32', dims: [1], data: Int32Array.of(1) })).toThrow('int32')
    const broken: AnyTensor = { type: 'float32', dims: [1, 2], data: Float32Array.of(Number.NaN, Number.NaN) }
    expect(() => sampleLast(sampler(-1), broken, 3, 0)).toThrow('position 3')
  })
})

describe('a graph host with a decoder', () => {
  const logits: AnyTensor = { type: 'float32', dims: [1, 1, 2], data: Float32Array.of(0, 1) }
  const cache: AnyTensor = { type: 'float32', dims: [1, 2, 2, 4], data: new Float32Array(16) }
  const run = (position: number | null, most = 64, withSampler = true): RunGraph => ({
    session: 1,
    fetch: ['logits'],
    kept: [['k', 'past_k']],
    decode: {
      most,
      head: {
        logits: 'logits',
        position,
        sampler: withSampler ? { sampling: GREEDY, logprobs: -1, history: [] } : null,
      },
    },
  })

  it('asks for no logits before the prompt is in, and keeps one sampler a session', () => {
    const decoding = new Decoding()
    expect(decoding.wanted(run(null))).toEqual(['k'])
    expect(decoding.given(run(null), { k: cache }, 1).get('logits')).toEqual(f64())
    expect(decoding.wanted(run(4))).toEqual(['logits', 'k'])
    expect(decoding.given(run(4), { logits, k: cache }, 1).get('logits')).toEqual(f64(1, 1))
    expect(decoding.given(run(5, 64, false), { logits, k: cache }, 2).get('logits')).toEqual(f64(2, 1))
    decoding.close(1)
    expect(() => decoding.given(run(6, 64, false), { logits, k: cache }, 2)).toThrow('no sampler')
  })

  it('keeps no more than the session was given room for', () => {
    const given = (): unknown => new Decoding().given(run(4, 63), { logits, k: cache }, 1)
    expect(given).toThrow(expect.objectContaining({ code: 'WEFT-INF-010' }))
  })
})
