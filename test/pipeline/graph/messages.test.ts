/** Named tensors as frames: what goes in comes out, and what lies is refused before memory is taken. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeControl, frame } from '../../../src/net/index.ts'
import { TENSOR_ARRAYS } from '../../../src/onnx/index.ts'
import type { AnyTensor } from '../../../src/onnx/index.ts'
import { MessageReader, messageFrames } from '../../../src/pipeline/graph/messages.ts'
import type { TensorRow } from '../../../src/pipeline/graph/tensors.ts'

const MOST = 1 << 26

function through(tensors: ReadonlyMap<string, AnyTensor>): ReadonlyMap<string, AnyTensor> {
  const reader = new MessageReader(MOST)
  const frames = [...messageFrames({ type: 3, request: 7, control: { session: 1 } }, tensors)]
  const messages = frames.map((part) => reader.take({ ...part, payload: Uint8Array.from(part.payload) }))
  expect(messages.slice(0, -1).every((message) => message === null)).toBe(true)
  expect(messages.at(-1)!.control['session']).toBe(1)
  return messages.at(-1)!.tensors
}

const at32 = (memory: Float32Array): Float32Array =>
  Float32Array.from([...memory.subarray(32, 48), ...memory.subarray(16, 32)])

const types = Object.keys(TENSOR_ARRAYS) as (keyof typeof TENSOR_ARRAYS)[]
const numbers = fc
  .record({ type: fc.constantFrom(...types), dims: fc.array(fc.nat(5), { maxLength: 3 }) })
  .map(({ type, dims }): AnyTensor => {
    const data = new TENSOR_ARRAYS[type](dims.reduce((product, dim) => product * dim, 1))
    new Uint8Array(data.buffer).forEach((_, at, bytes) => (bytes[at] = at * 31))
    return { type, dims, data }
  })
const texts = fc
  .array(fc.string({ unit: 'grapheme' }))
  .map((data): AnyTensor => ({ type: 'string', dims: [data.length], data }))

describe('a message of tensors', () => {
  it('gives back names, types, shapes and bits, several at once, empty ones too', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), fc.oneof(numbers, texts))), (entries) => {
        const tensors = new Map(entries)
        const back = through(tensors)
        expect([...back]).toEqual([...tensors])
        for (const { data, type } of back.values()) {
          if (type !== 'string' && data.length > 0) expect(data.byteOffset % 64).toBe(0)
        }
      }),
    )
  })

  it('does not copy values that lie side by side, and passes on nothing that lies between others', () => {
    const memory = new Float32Array(64).map((_, index) => index)
    const at = (from: number, to: number): AnyTensor => ({
      type: 'float32',
      dims: [to - from],
      data: memory.subarray(from, to),
    })
    const payload = (...tensors: readonly AnyTensor[]): Uint8Array => {
      const named = new Map(tensors.map((tensor, index) => [String(index), tensor]))
      return [...messageFrames({ type: 3, request: 7, control: {} }, named)][0]!.payload
    }
    const together = payload(at(16, 32), at(32, 64))
    expect([together.buffer, together.byteOffset, together.length]).toEqual([memory.buffer, 64, 192])
    const apart = payload(at(0, 15), at(16, 32))
    expect([apart.length, apart[60], apart[63]]).toEqual([128, 0, 0])
    expect(Uint8Array.from(payload(at(32, 48), at(16, 32)))).toEqual(new Uint8Array(at32(memory).buffer))
  })

  it('is cut into frames where it is large, and put together again', () => {
    const large = Float32Array.from({ length: 9 << 20 }, (_, index) => index)
    const tensors = new Map<string, AnyTensor>([
      ['a', { type: 'float32', dims: [3 << 20, 3], data: large }],
      ['b', { type: 'string', dims: [], data: ['織'] }],
    ])
    expect([...messageFrames({ type: 3, request: 1, control: {} }, tensors)].length).toBe(3)
    const back = through(tensors)
    expect(
      Buffer.from((back.get('a')!.data as Float32Array).buffer, 0, 36 << 20).equals(Buffer.from(large.buffer)),
    ).toBe(true)
    expect(back.get('b')).toEqual(tensors.get('b'))
  })

  it.each<readonly [string, readonly unknown[], number]>([
    ['more bytes than the shape', [['x', 'float32', [2], 12]], 12],
    ['an unknown type', [['x', 'bfloat16', [2], 4]], 4],
    ['a type of Object', [['x', 'constructor', [2], 8]], 8],
    [
      'a name twice',
      [
        ['x', 'int8', [1], 1],
        ['x', 'int8', [1], 1],
      ],
      65,
    ],
    ['a negative size', [['x', 'int8', [-1], 1]], 1],
    ['sizes that overflow', [['x', 'float32', [2 ** 40, 2 ** 40], 4]], 4],
    ['fewer bytes than the table', [['x', 'float32', [2], 8]], 4],
    ['more than may be', [['x', 'uint8', [MOST + 1], MOST + 1]], 0],
    ['texts without their lengths', [['x', 'string', [9], 8]], 8],
    ['a row that is none', ['x'], 0],
  ])('with %s is refused, and the next one is read', (_, table, bytes) => {
    const reader = new MessageReader(MOST)
    const bad = frame({ type: 3, control: encodeControl({ tensors: table }), payload: new Uint8Array(bytes) })
    expect(() => reader.take(bad)).toThrow(expect.objectContaining({ code: 'WEFT-INF-103' }))
    const row: TensorRow = ['y', 'uint8', [2], 2]
    const good = frame({ type: 3, control: encodeControl({ tensors: [row] }), payload: Uint8Array.of(1, 2) })
    expect(reader.take(good)!.tensors.get('y')!.data).toEqual(Uint8Array.of(1, 2))
  })

  it('with a text beyond its bytes is refused', () => {
    const payload = new Uint8Array(Uint32Array.of(100).buffer)
    const bad = frame({ type: 3, control: encodeControl({ tensors: [['x', 'string', [1], 4]] }), payload })
    expect(() => new MessageReader(MOST).take(bad)).toThrow(expect.objectContaining({ code: 'WEFT-INF-103' }))
  })
})
