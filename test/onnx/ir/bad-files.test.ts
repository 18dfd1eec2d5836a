/** Files that lie, break off or are something else: each is refused with a code and words, and costs little. */
import { execFileSync } from 'node:child_process'
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import {
  DuplicateDefinitionError,
  NotOnnxError,
  OnnxLimitError,
  OnnxMalformedError,
  OnnxUnreadableError,
  OnnxUnsupportedError,
  readModel,
  readTensor,
  TensorSizeError,
} from '../../../src/onnx/ir/index.ts'
import type { Model, ReadLimits } from '../../../src/onnx/ir/index.ts'
import { expectRefusal, testFolder } from './support/folder.ts'
import { bytes, initializer, int, join, message, modelWith, nested, text, varint } from './support/wire.ts'

const at = testFolder()

async function read(content: Uint8Array | string, limits?: Partial<ReadLimits>): Promise<Model> {
  await writeFile(at('model.onnx'), content)
  return await readModel(at('model.onnx'), limits)
}

const FLOAT = 1
const INT64 = 7
const raw = (length: number): Uint8Array => bytes(9, new Uint8Array(length))
const node = (...fields: readonly Uint8Array[]): Uint8Array => message(1, text(4, 'Op'), ...fields)
const OPSETS = message(8, int(2, 17))

it('reads what these tests are made of', async () => {
  const { graph } = await read(modelWith(node(), initializer(FLOAT, [2], raw(8))))
  expect(graph.nodes).toHaveLength(1)
  expect(graph.initializers.get('w')).toMatchObject({ dims: [2], data: { kind: 'bytes' } })
})

describe('files that are no ONNX', () => {
  it.each<[string, Uint8Array | string, RegExp]>([
    ['an error page', '\n<!DOCTYPE html><html><body>404</body></html>', /web page/],
    ['an error of an API', '{"error": "Repository not found"}', /JSON/],
    ['a GGUF model', 'GGUF\x03\0\0\0', /GGUF/],
    ['a zip archive', 'PK\x03\x04\x14\0', /zip archive/],
    ['a gzip archive', Uint8Array.of(0x1f, 0x8b, 8, 0), /gzip/],
    ['a safetensors file', '\x10\0\0\0\0\0\0\0{"a":{"dtype"', /safetensors/],
    ['a pointer of Git LFS', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\n', /Git LFS/],
    ['a TensorFlow Lite model', '\x1c\0\0\0TFL3', /TensorFlow Lite/],
    ['nothing', '', /empty/],
    ['zeros', new Uint8Array(600), /zeros/],
    ['text', 'ir_version: 8\nproducer_name: "x"\n', /text/],
  ])('are named: %s', async (_, content, words) => {
    await expectRefusal(read(content), NotOnnxError, words)
  })
})

describe('paths that are no files', () => {
  it('are refused at once', async () => {
    await mkdir(at('folder'))
    await expectRefusal(readModel(at('nowhere.onnx')), OnnxUnreadableError, /ENOENT/)
    await expectRefusal(readModel(at('folder')), OnnxUnreadableError, /no regular file|EISDIR/)
  })

  it.skipIf(process.platform === 'win32')('a pipe without a writer and a device among them', async () => {
    execFileSync('mkfifo', [at('pipe')])
    await expectRefusal(readModel(at('pipe')), OnnxUnreadableError, /no regular file/)
    await expectRefusal(readModel('/dev/zero'), OnnxUnreadableError, /no regular file/)
  })
})

describe('bytes that break the format', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['a number that is cut off', join(modelWith(), Uint8Array.of(0x08, 0xff)), /model, byte \d+: a number is cut off/],
    ['a number of eleven bytes', join(modelWith(), varint(8), new Uint8Array(11).fill(0xff)), /more than 10 bytes/],
    ['a length beyond the file', join(modelWith(), varint(2 * 8 + 2), varint(100)), /claims 100 bytes, and 0 are left/],
    ['a length of 2^64 - 1', join(modelWith(), varint(2 * 8 + 2), varint(-1)), /claims \d+ bytes/],
    ['a length beyond its message', modelWith(join(varint(2 * 8 + 2), varint(50))), /model > graph, byte \d+: field 2/],
    ['a text for a number', join(text(1, '8'), modelWith()), /field 1 has wire type 2 instead of 0/],
    ['a number for a text', modelWith(int(2, 5)), /field 2 has wire type 0 instead of 2/],
    ['a number for a message', modelWith(int(1, 5)), /field 1 has wire type 0/],
    ['a group', join(modelWith(), varint(40 * 8 + 3)), /no wire type 3/],
    ['field 0', join(modelWith(), varint(2)), /no field has this number/],
    ['a fixed number that is cut off', join(modelWith(), varint(40 * 8 + 1), new Uint8Array(7)), /cut off/],
    ['a name that is not UTF-8', modelWith(bytes(2, Uint8Array.of(0x61, 0xc3))), /not UTF-8/],
    ['half a surrogate as a name', modelWith(bytes(2, Uint8Array.of(0xed, 0xa0, 0x80))), /not UTF-8/],
    ['no graph', join(int(1, 8), OPSETS), /no graph/],
    ['two graphs', join(modelWith(), message(7)), /two graphs/],
    ['no IR version', join(OPSETS, message(7)), /no IR version/],
    ['no operator set', join(int(1, 8), message(7)), /imports no operator set/],
    ['an operator set of version 0', join(int(1, 8), message(8, int(2, 0)), message(7)), /it has version 0/],
    ['a node without operator', modelWith(message(1, text(1, 'x'))), /no operator/],
    ['an attribute of no type', modelWith(node(message(5, text(1, 'a')))), /no type that is known/],
    ['an attribute of type 77', modelWith(node(message(5, text(1, 'a'), int(20, 77)))), /no type that is known/],
    [
      'an attribute of two types',
      modelWith(node(message(5, int(3, 1), text(4, 'x'), int(20, 2)))),
      /value of type string/,
    ],
    ['an attribute with no tensor', modelWith(node(message(5, int(20, 4)))), /of type tensor has no value/],
    ['a reference with a value', modelWith(node(message(5, int(3, 1), text(21, 'r')))), /refers to another one/],
    ['a type of two kinds', modelWith(message(11, message(2, message(1, int(1, 1)), message(4)))), /two kinds/],
    ['raw bytes given twice', modelWith(initializer(FLOAT, [2], raw(8), raw(8))), /given twice/],
    ['data in two fields', modelWith(initializer(FLOAT, [1], raw(4), bytes(4, new Uint8Array(4)))), /two fields/],
    ['floats of an int64', modelWith(initializer(INT64, [1], bytes(4, new Uint8Array(4)))), /data in float_data/],
    ['a string of a float', modelWith(initializer(FLOAT, [1], text(6, 'x'))), /has strings/],
    ['raw bytes of strings', modelWith(initializer(8, [4], raw(4))), /elsewhere than in string_data/],
    ['sparse without indices', modelWith(message(15, message(1, int(1, 0), int(2, FLOAT)))), /no values or no indices/],
  ])('%s', async (_, content, words) => {
    await expectRefusal(read(content), OnnxMalformedError, words)
  })

  it('are found wherever a file is cut', async () => {
    const whole = modelWith(node(text(1, 'x'), text(2, 'y')), initializer(FLOAT, [2], raw(8)))
    for (let length = 1; length < whole.length; length++) {
      await expect(read(whole.subarray(0, length)), `cut at ${length}`).rejects.toThrow(/malformed ONNX file/)
    }
  })

  it('unknown fields are none: they are skipped', async () => {
    const unknown = join(
      int(900, 5),
      text(901, 'x'),
      varint(902 * 8 + 5),
      new Uint8Array(4),
      varint(903 * 8 + 1),
      new Uint8Array(8),
    )
    expect((await read(join(unknown, modelWith(unknown, node(unknown))))).graph.nodes).toHaveLength(1)
  })
})

describe('versions and types that are not known', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['IR version 14', join(int(1, 14), OPSETS, message(7)), /IR version 14/],
    ['IR version 2^31', join(int(1, 2 ** 31), OPSETS, message(7)), /IR version 2147483648/],
    ['opset 27', join(int(1, 8), message(8, int(2, 27)), message(7)), /opset 27/],
    ['element type 0', modelWith(initializer(0, [1], raw(4))), /no element type is given/],
    ['element type 99', modelWith(initializer(99, [1], raw(4))), /no element type 99/],
    ['a value of type 99', modelWith(message(11, message(2, message(1, int(1, 99))))), /no element type 99/],
    ['an opaque value', modelWith(message(11, message(2, message(7)))), /opaque/],
  ])('%s', async (_, content, words) => {
    await expectRefusal(read(content), OnnxUnsupportedError, words)
  })

  it('old files import nothing: they mean the first operator set', async () => {
    expect([...(await read(join(int(1, 2), message(7)))).opsets]).toEqual([['', 1]])
  })
})

describe('tensors that are not what they say', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['too few bytes', initializer(FLOAT, [3], raw(8)), /"w": it has 8 bytes, and its shape wants 12/],
    ['too many bytes', initializer(FLOAT, [], raw(8)), /it has 8 bytes, and its shape wants 4/],
    ['no bytes', initializer(FLOAT, [3]), /it has 0 bytes/],
    ['a negative dimension', initializer(FLOAT, [-3], raw(8)), /the dimension -3/],
    ['a product over 2^53', initializer(FLOAT, [2 ** 31, 2 ** 31], raw(8)), /more than 2\^53/],
    ['more than 2^53 bytes', initializer(INT64, [2 ** 52], raw(8)), /more than 2\^53 bytes/],
    ['dimensions that wrap to 0', initializer(FLOAT, [2 ** 32, 2 ** 32]), /more than 2\^53/],
    ['too few numbers', initializer(INT64, [3], bytes(7, join(varint(1), varint(-1)))), /it has 16 bytes/],
    ['too many numbers', initializer(INT64, [1], bytes(7, join(varint(1), varint(-1)))), /it has 16 bytes/],
    ['numbers for 2^40 elements', initializer(INT64, [2 ** 40], bytes(7, varint(1))), /its shape wants/],
    ['too few strings', initializer(8, [2], text(6, 'x')), /it has 1 strings/],
  ])('%s', async (_, tensor, words) => {
    await expectRefusal(read(modelWith(tensor)), TensorSizeError, words)
  })

  it('a dimension that is no safe integer', async () => {
    await expectRefusal(read(modelWith(initializer(FLOAT, [2n ** 62n], raw(8)))), OnnxMalformedError, /out of range/)
  })
})

describe('typed fields', () => {
  it.each<[string, Uint8Array, unknown]>([
    [
      'floats',
      initializer(FLOAT, [2], bytes(4, new Uint8Array(Float32Array.of(1, -2).buffer))),
      Float32Array.of(1, -2),
    ],
    [
      'floats one by one',
      initializer(FLOAT, [2], ...[0, 0].map(() => join(varint(4 * 8 + 5), new Uint8Array(4)))),
      new Float32Array(2),
    ],
    ['int64', initializer(INT64, [2], bytes(7, join(varint(-3), varint(2n ** 40n)))), BigInt64Array.of(-3n, 2n ** 40n)],
    ['int64 one by one', initializer(INT64, [2], int(7, -1), int(7, 4)), BigInt64Array.of(-1n, 4n)],
    ['int8', initializer(3, [2], bytes(5, join(varint(-3), varint(4)))), Int8Array.of(-3, 4)],
    ['uint16', initializer(4, [1], bytes(5, varint(65_535))), Uint16Array.of(65_535)],
    ['bool', initializer(9, [2], bytes(5, join(varint(1), varint(0)))), Uint8Array.of(1, 0)],
    ['bits of float16', initializer(10, [1], bytes(5, varint(0x3c00))), Uint16Array.of(0x3c00)],
    ['int4, two to a number', initializer(22, [3], bytes(5, join(varint(0xf1), varint(8)))), Int8Array.of(1, -1, -8)],
    ['uint32', initializer(12, [1], bytes(11, varint(2 ** 32 - 1))), Uint32Array.of(2 ** 32 - 1)],
    ['uint64', initializer(13, [1], bytes(11, varint(-1))), BigUint64Array.of(2n ** 64n - 1n)],
    ['doubles', initializer(11, [1], bytes(10, new Uint8Array(Float64Array.of(0.1).buffer))), Float64Array.of(0.1)],
  ])('of %s', async (_, tensor, expected) => {
    // What follows must still be found.
    const { graph } = await read(modelWith(tensor, node()))
    expect(await readTensor(graph.initializers.get('w')!)).toEqual(expected)
    expect(graph.nodes).toHaveLength(1)
  })

  it('of many floats stay in the file', async () => {
    const values = Float32Array.from({ length: 5000 }, (_, index) => index)
    const { graph } = await read(modelWith(initializer(FLOAT, [5000], bytes(4, new Uint8Array(values.buffer)))))
    expect(graph.initializers.get('w')!.data.kind).toBe('range')
    expect(await readTensor(graph.initializers.get('w')!)).toEqual(values)
  })
})

describe('what explodes', () => {
  it('nests as deep as the engine reads, and no deeper', async () => {
    let levels = 0
    for (let at = (await read(nested(32))).graph; at.nodes[0] !== undefined; levels++) {
      const branch = at.nodes[0].attributes.get('then_branch')!
      at = (branch as Extract<typeof branch, { kind: 'graph' }>).value
    }
    expect(levels).toBe(32)
    await expectRefusal(read(nested(34)), OnnxLimitError, /more than 100 messages inside one another/)
    await expectRefusal(read(nested(200)), OnnxLimitError, /more than 100 messages/)
    await expectRefusal(read(nested(1000)), OnnxLimitError, /more than 100 messages/)
  })

  it('types too', async () => {
    let type = message(1, int(1, 1))
    for (let level = 0; level < 5000; level++) type = message(4, bytes(1, type))
    await expectRefusal(read(modelWith(message(11, bytes(2, type)))), OnnxLimitError, /inside one another/)
  })

  it.each<[string, Uint8Array, Partial<ReadLimits>, RegExp]>([
    ['nodes', join(...Array.from({ length: 11 }, () => node())), { nodes: 10 }, /more than 10 nodes/],
    [
      'tensors',
      node(...[1, 2].map((id) => message(5, text(1, `${id}`), message(5, int(2, 1), int(1, 0)), int(20, 4)))),
      { tensors: 1 },
      /1 tensors/,
    ],
    ['memory of names', node(...Array.from({ length: 100 }, () => text(1, ''))), { heldBytes: 2000 }, /2000 bytes of/],
    [
      'memory of packed numbers',
      node(message(5, bytes(8, new Uint8Array(500)), int(20, 7))),
      { heldBytes: 9000 },
      /9000 bytes/,
    ],
    ['memory of a text', text(2, 'x'.repeat(9000)), { heldBytes: 9000 }, /9000 bytes/],
  ])('%s', async (_, fields, limits, words) => {
    await expectRefusal(read(modelWith(fields), limits), OnnxLimitError, words)
  })

  it('a file of gigabytes that is empty inside is not read into memory', async () => {
    await writeFile(at('huge.onnx'), join(int(1, 8), OPSETS, varint(7 * 8 + 2), varint(3e9)))
    await truncate(at('huge.onnx'), 3_000_000_020)
    await expectRefusal(readModel(at('huge.onnx')), OnnxUnsupportedError, /2 GiB/)
  })

  it('weights of 2 GB cost nothing', async () => {
    const size = 2_000_000_000
    const tensor = join(int(1, size), int(2, 3), text(8, 'w'), varint(9 * 8 + 2), varint(size))
    const graph = join(varint(5 * 8 + 2), varint(tensor.length + size), tensor)
    await writeFile(at('large.onnx'), join(int(1, 8), OPSETS, varint(7 * 8 + 2), varint(graph.length + size), graph))
    await truncate(
      at('large.onnx'),
      join(int(1, 8), OPSETS, varint(7 * 8 + 2), varint(graph.length + size), graph).length + size,
    )
    const before = process.memoryUsage().rss
    const model = await readModel(at('large.onnx'))
    expect(model.graph.initializers.get('w')!.data).toMatchObject({ kind: 'range', length: size })
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6)
  })
})

describe('names', () => {
  it('are given once', async () => {
    const twice = join(initializer(FLOAT, [0]), initializer(FLOAT, [0]))
    await expectRefusal(read(modelWith(twice)), DuplicateDefinitionError, /initializer "w" is defined twice/)
    const attribute = message(5, text(1, 'a'), int(3, 1), int(20, 2))
    await expectRefusal(read(modelWith(node(attribute, attribute))), DuplicateDefinitionError, /attribute "a"/)
    const opset = message(8, text(1, 'ai.onnx'), int(2, 16))
    await expectRefusal(read(join(modelWith(), opset)), DuplicateDefinitionError, /operator set ""/)
  })

  it('cannot move a terminal or hide in a message', async () => {
    const name = '\u001b[2J\u009b1m\u202egnp.exe\u0007\u{e0041}'
    const tensor = message(5, int(1, 3), int(2, FLOAT), text(8, name))
    const error = await read(modelWith(tensor)).catch((thrown: unknown) => thrown as Error)
    // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
    expect((error as Error).message).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u{e0041}]/u)
    expect((error as Error).message).toContain('[2J')
  })

  it("ONNX's own domain has two", async () => {
    const model = await read(
      join(int(1, 8), message(8, text(1, 'ai.onnx'), int(2, 17)), message(7, node(text(7, 'ai.onnx')))),
    )
    expect([...model.opsets]).toEqual([['', 17]])
    expect(model.graph.nodes[0]!.domain).toBe('')
  })
})
