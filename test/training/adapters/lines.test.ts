/** Steps of an adapter over frozen blocks: gradients against differences of the loss, cuts, and shares of a step. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSeeded } from '../../../src/data/index.ts'
import type { DecoderShape, SourceType, WeightFormat } from '../../../src/models/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import type { Tensor } from '../../../src/onnx/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import type { BlobStore } from '../../../src/store/index.ts'
import { firstAdapter } from '../../../src/training/adapters/form.ts'
import { FrozenBlocks, formOf, localLine, parallelLine } from '../../../src/training/index.ts'
import type { AdapterLine, AdapterSpec, BlockSession, GradientForm, LineStep } from '../../../src/training/index.ts'
import { isWhole } from '../../whole.ts'
import { randomModel } from '../../pipeline/support/random-model.ts'

const SHAPE = { layers: 2, width: 64, hidden: 96, heads: 4, kv_heads: 2, head_dim: 32, rope_dim: 32, vocabulary: 64 }
const SPEC: AdapterSpec = {
  kind: 'lora',
  rank: 2,
  alpha: 4,
  targets: ['q', 'k', 'v', 'o', 'gate', 'up', 'down'],
}
const [LENGTH, TEXTS] = [6, 2]
/** Of a difference of two losses in float32. */
const NOISE = 2e-5

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-lines-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

interface Opened {
  readonly shape: DecoderShape
  session(from?: number, to?: number): Promise<BlockSession>
  line(gradients?: GradientForm): Promise<AdapterLine>
  close(): Promise<void>
}

async function opened(
  type: SourceType,
  shape: Partial<DecoderShape> = {},
  weights: WeightFormat = 'auto',
): Promise<Opened> {
  const manifest = await randomModel(store, { type, weights, shape: { ...SHAPE, ...shape } })
  const options = { threads: 1, optimization: 'basic' } as const
  const folder = await mkdtemp(join(directory, 'work-'))
  const blocks = new FrozenBlocks({ engine: createOrtEngine(), folder, options, store, manifest })
  const session = (from = 0, to = manifest.blocks.length): Promise<BlockSession> =>
    blocks.open(from, to, LENGTH, formOf(SPEC))
  return {
    shape: manifest.shape,
    session,
    line: async (gradients) => localLine(await session(), () => Promise.resolve(), gradients),
    close: () => blocks.close(),
  }
}

function normals(seed: string, ...dims: readonly number[]): Tensor {
  const seeded = createSeeded(1, seed)
  const size = dims.reduce((product, dim) => product * dim, 1)
  return { type: 'float32', dims, data: Float32Array.from({ length: size }, () => seeded.normal()) }
}

/** Adapters whose B is not zero, so that both factors have gradients. */
function stepOf(shape: DecoderShape, batches = 1): LineStep {
  const parameters = Object.fromEntries(
    Object.entries(firstAdapter(shape, formOf(SPEC), 1)).map(([name, tensor]) => {
      const values = name.endsWith('/b') ? normals(name, ...tensor.dims).data : tensor.data
      return [name, { ...tensor, data: Float32Array.from(values as Float32Array, (value) => value / 4) }]
    }),
  )
  const rows = LENGTH * TEXTS
  return {
    batches: Array.from({ length: batches }, (_, index) => ({
      rows: normals(`rows ${index}`, rows, shape.width),
      targets: Int32Array.from({ length: rows }, (__, at) =>
        at % 5 === 4 ? -1 : (at * 13 + index) % shape.vocabulary,
      ),
    })),
    weight: 1 / rows,
    parameters,
  }
}

const KINDS: readonly (readonly [string, SourceType, Partial<DecoderShape>, WeightFormat])[] = [
  ['4 bits with an offset', 'Q4_1', {}, 'auto'],
  ['row int8, heads that are filled up', 'F16', { head_dim: 24, rope_dim: 24, rope_interleaved: false }, 'int8'],
  ['norms of heads, biases', 'F32', { qk_norm: true, biases: ['attn_q', 'attn_v'] }, 'f32'],
  [
    'windows, soft caps, gelu, norms behind',
    'Q8_0',
    { window: { size: 3, layers: [0] }, attention_softcap: 20, post_norms: true, activation: 'gelu_tanh' },
    'auto',
  ],
]

describe.each(isWhole ? KINDS : KINDS.slice(0, 3))('gradients over frozen weights: %s', (_, type, shape, weights) => {
  it('are those that the loss itself shows, of each factor and of the rows', async () => {
    const model = await opened(type, shape, weights)
    const line = await model.line()
    const step = stepOf(model.shape)
    const { loss, gradients, inputs } = await line.step(step)
    expect(await line.loss(step)).toBeCloseTo(loss, 6)
    const [{ rows, targets }] = step.batches as [LineStep['batches'][number]]
    /** Along the gradient itself the loss changes most: a difference there stands clear of float32's noise. */
    const expectSlope = async (
      name: string,
      tensor: Tensor,
      gradient: Tensor,
      moved: (data: Float32Array) => LineStep,
    ): Promise<void> => {
      const [values, slopes] = [tensor.data as Float32Array, gradient.data as Float32Array]
      const norm = Math.sqrt(slopes.reduce((sum, value) => sum + value * value, 0))
      const size = 0.02 * Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) + 1e-3)
      const by = (way: number): Float32Array => values.map((value, at) => value + (way * size * slopes[at]!) / norm)
      const changeBy = async (way: number): Promise<number> =>
        (await line.loss(moved(by(way)))) - (await line.loss(moved(by(-way))))
      // Where the loss bends that much, its third derivative is taken out of the difference (Richardson's extrapolation).
      const change = (8 * (await changeBy(0.5)) - (await changeBy(1))) / 3
      const expected = 2 * size * norm
      const isNear = Math.abs(change - expected) < 0.02 * expected + NOISE
      expect([name, isNear ? 'near' : change / expected]).toEqual([name, 'near'])
    }
    for (const [name, gradient] of Object.entries(gradients)) {
      const tensor = step.parameters[name]!
      await expectSlope(name, tensor, gradient, (data) => ({
        ...step,
        parameters: { ...step.parameters, [name]: { ...tensor, data } },
      }))
    }
    await expectSlope('rows', rows, inputs[0]!, (data) => ({
      ...step,
      batches: [{ rows: { ...rows, data }, targets }],
    }))
    await model.close()
  })
})

describe('a step in pieces', () => {
  it('cut between its layers it has the bits of one piece', async () => {
    const model = await opened('Q4_0')
    const step = stepOf(model.shape)
    const whole = await (await model.line()).step(step)
    const [first, second, head] = [await model.session(1, 2), await model.session(2, 3), await model.session(3, 4)]
    for (const session of [first, second, head]) session.begin(step.parameters)
    const { rows, targets } = step.batches[0]!
    const last = await second.forward(0, await first.forward(0, rows, true), true)
    const said = await head.loss({ rows: last.data as Float32Array, targets, weight: step.weight }, true)
    const back = await first.backward(0, await second.backward(0, said.gradient!))
    expect(said.loss).toBe(whole.loss)
    expect(back.data).toEqual(whole.inputs[0]!.data)
    const all = { ...first.gradients(), ...second.gradients() }
    expect(Object.keys(all).sort()).toEqual(Object.keys(whole.gradients).sort())
    for (const [name, { data }] of Object.entries(whole.gradients)) expect(all[name]!.data).toEqual(data)
    await model.close()
  })

  it('two adapters on the same blocks do not see each other, in steps that overlap', async () => {
    const model = await opened('Q4_0')
    const step = stepOf(model.shape)
    const other = { ...step, parameters: firstAdapter(model.shape, formOf(SPEC), 9) }
    const [one, two] = [await model.line(), await model.line()]
    const alone = await one.step(step)
    const [again, beside] = await Promise.all([one.step(step), two.step(other)])
    expect(again.gradients).toEqual(alone.gradients)
    expect(beside.gradients).toEqual((await two.step(other)).gradients)
    expect(beside.gradients).not.toEqual(alone.gradients)
    await model.close()
  })

  it('shared between lines it is the same when one of them fails, and the next step too', async () => {
    const model = await opened('Q4_0')
    const step = stepOf(model.shape, 5)
    const lost: number[] = []
    let fails = false
    const shaky = async (): Promise<AdapterLine> => {
      const line = await model.line()
      return { ...line, step: (asked) => (fails ? Promise.reject(new Error('gone')) : line.step(asked)) }
    }
    const line = parallelLine([await model.line(), await shaky(), await model.line()], {
      gradients: 'float32',
      lost: (index) => lost.push(index),
    })
    const whole = await line.step(step)
    fails = true
    expect(await line.step(step)).toEqual(whole)
    expect(lost).toEqual([1])
    fails = false
    expect(await line.step(step)).toEqual(whole)
    expect(lost).toEqual([1])
    const single = await (await model.line()).step(step)
    expect(whole.loss).toBeCloseTo(single.loss, 5)
    await model.close()
  })

  it('with rounded gradients tells all when it is to, also of lines that a short step has no share for', async () => {
    const model = await opened('Q4_0')
    const step = stepOf(model.shape, 3)
    const short = { ...step, batches: step.batches.slice(0, 1), whole: true }
    const exact = await model.line()
    const lines = async (): Promise<AdapterLine> =>
      parallelLine([await model.line('int8'), await model.line('int8'), await model.line('int8')], {
        gradients: 'int8',
        lost: () => expect.unreachable('no line fails'),
      })
    const rounded = await lines()
    const told = [await rounded.step(step), await rounded.step(short)]
    const wanted = [await exact.step(step), await exact.step(short)]
    expect(told[1]!.inputs).toHaveLength(1)
    expect(told[1]!.loss).toBeCloseTo(wanted[1]!.loss, 6)
    for (const name of Object.keys(step.parameters)) {
      const sums = [told, wanted].map((results) =>
        results.reduce((sum, { gradients }) => {
          const own = gradients[name]!.data as Float32Array
          return Array.from(own, (value, at) => value + (sum[at] ?? 0))
        }, [] as number[]),
      )
      const most = Math.max(...sums[1]!.map(Math.abs))
      const apart = Math.max(...sums[0]!.map((value, at) => Math.abs(value - sums[1]![at]!)))
      expect([name, apart < 1e-4 * most ? 'near' : apart / most]).toEqual([name, 'near'])
    }
    // Nothing is left, so that a run that goes on from here has the bits of this one.
    expect(await rounded.step(step)).toEqual(await (await lines()).step(step))
    await model.close()
  })
})
