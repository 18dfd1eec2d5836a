/** Packing that moves blocks as they are, in parts and by several threads: always the bytes of the plain way. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dequantize, stageFiles, unpackQuants } from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { headGraph } from '../../src/models/llama/head.ts'
import { rotatedHeadRows } from '../../src/models/llama/head-width.ts'
import { matrixForm } from '../../src/models/llama/matrix-forms.ts'
import { packHead, packLayer } from '../../src/models/llama/pack-block.ts'
import { packMatrix } from '../../src/models/llama/pack.ts'
import type { MatrixSource, PackedMatrix, SourceMatrix } from '../../src/models/llama/pack.ts'
import { packBlockRows, SOURCE_FORMS } from '../../src/models/llama/pack-quants.ts'
import { prepackBlock } from '../../src/models/llama/prepack-block.ts'
import { MemoryWeights } from '../../src/models/llama/trial/memory-weights.ts'
import { createOrtEngine, WeightFile } from '../../src/onnx/index.ts'
import { BlobDamagedError, BlobRangeError, CHUNK_BYTES, createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { randomModel } from '../pipeline/support/random-model.ts'
import { randomBlocks } from './support/random-bytes.ts'

let root: string
let store: BlobStore

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-packing-'))
  store = await createBlobStore({ directory: join(root, 'store') })
})
afterAll(() => rm(root, { recursive: true, force: true }))

const [ROWS, COLUMNS] = [24, 96]

describe('rows of blocks', () => {
  it.each(['Q4_0', 'Q4_1', 'Q8_0', 'Q5_0', 'Q5_1'] as const)('of %s are what their integers give', (type) => {
    const form = SOURCE_FORMS[type]!
    const bytes = randomBlocks(type, 7, (ROWS * COLUMNS) / 32)
    const groups = (ROWS * COLUMNS) / form.block
    const quants = new Uint8Array((ROWS * COLUMNS * form.bits) / 8)
    const scales = new Float32Array(groups)
    const offsets = form.affine ? new Float32Array(groups) : null
    // At an odd place in its buffer, as a part of something larger may be.
    const shifted = new Uint8Array(bytes.length + 1)
    shifted.set(bytes, 1)
    packBlockRows({ type, bytes: shifted.subarray(1), rows: ROWS, columns: COLUMNS, quants, scales, offsets }, form)
    const expected = unpackQuants(type, bytes, ROWS, COLUMNS)
    const pairs = expected.quants.length / 2
    const [even, odd] = [0, 1].map((at) => (pair: number) => expected.quants[2 * pair + at]!)
    const packed =
      form.bits === 8
        ? expected.quants
        : Uint8Array.from({ length: pairs }, (_, pair) => even!(pair) | (odd!(pair) << 4))
    expect(Buffer.compare(quants, packed)).toBe(0)
    expect(scales).toEqual(expected.scales)
    expect(offsets).toEqual(expected.offsets)
  })

  it('that are too few or too many are refused', () => {
    const form = SOURCE_FORMS.Q8_0!
    const [quants, scales] = [new Uint8Array(ROWS * COLUMNS), new Float32Array((ROWS * COLUMNS) / 32)]
    const work = { type: 'Q8_0', rows: ROWS, columns: COLUMNS, quants, scales, offsets: null } as const
    for (const blocks of [71, 73]) {
      expect(() => packBlockRows({ ...work, bytes: randomBlocks('Q8_0', 1, blocks) }, form)).toThrow('elements of Q8_0')
    }
  })
})

describe('a head in slices', () => {
  const ROWS_IN = 3

  async function logits(manifest: ModelManifest, name: string, slice: number | undefined, prepacks: boolean) {
    const { shape, blocks } = manifest
    const directory = join(root, name)
    await mkdir(directory)
    const engine = createOrtEngine()
    const file = await WeightFile.create(join(directory, 'head.weights'), 'head.weights')
    const plain = await packHead(store, shape, blocks.at(-1)!, file, undefined, slice)
    await file.close(false)
    const job = { directory, file: 'head.weights', bytes: file.bytes, target: 'head.weights', scratch: 'tmp' }
    const head = prepacks ? (await prepackBlock(engine, plain, job)).packed : plain
    await writeFile(join(directory, 'head.onnx'), headGraph({ shape, boundary: 'f32', ...head }))
    const graph = await engine.load(join(directory, 'head.onnx'), { threads: 2 })
    const data = Float32Array.from({ length: ROWS_IN * shape.width }, (_, at) => Math.sin(at))
    const x = { type: 'float32', dims: [ROWS_IN, shape.width], data } as const
    const made = (await graph.run({ x }, ['logits']))['logits']!
    await graph.release()
    const forms = head.projections.map((own) => ('quants' in own ? own.quants.prepacked : undefined))
    return { slices: head.projections.length, forms, data: made.data, left: await readdir(directory) }
  }

  it.each(['Q4_0', 'Q8_0'] as const)('of %s gives the same bits, and each slice is pre-packed', async (type) => {
    const manifest = await randomModel(store, { type, shape: { layers: 1 } })
    const { vocabulary, width } = manifest.shape
    const whole = await logits(manifest, `whole-${type}`, undefined, false)
    expect(whole.slices).toBe(1)
    // 128, 128 and 64 of 320.
    expect(vocabulary).toBe(320)
    const most = 150 * width
    for (const prepacks of [false, true]) {
      const sliced = await logits(manifest, `sliced-${type}-${prepacks}`, most, prepacks)
      expect(sliced.slices).toBe(3)
      expect(sliced.data).toEqual(whole.data)
      expect(sliced.forms.filter((form) => form !== undefined)).toHaveLength(prepacks ? 3 : 0)
      expect(sliced.left.toSorted()).toEqual(['head.onnx', 'head.weights'])
    }
  })
})

describe('a matrix in parts', () => {
  async function packed(name: string, sources: readonly MatrixSource[]): Promise<Buffer> {
    const file = await WeightFile.create(join(root, name), name)
    const matrix = await packMatrix(file, sources, 'auto')
    await file.close(false)
    expect(matrix).toMatchObject({ outputs: ROWS, inputs: COLUMNS })
    return readFile(join(root, name))
  }

  it.each(['Q4_1', 'Q8_0', 'F16'] as const)('of %s becomes the file that it is as a whole', async (type) => {
    const bytes = type === 'F16' ? new Uint8Array(2 * ROWS * COLUMNS).fill(0x31) : randomBlocks(type, 3, 72)
    const whole = { type, bytes, outputs: ROWS, inputs: COLUMNS }
    const rowBytes = bytes.length / ROWS
    const parts = [5, 12, 7].map((outputs, part): MatrixSource => {
      const from = [0, 5, 17][part]!
      const part_ = { type, outputs, inputs: COLUMNS }
      return {
        ...part_,
        load: async () => ({ ...part_, bytes: bytes.subarray(from * rowBytes, (from + outputs) * rowBytes) }),
      }
    })
    expect((await packed('parts', parts)).equals(await packed('whole', [whole]))).toBe(true)
  })

  it('is what it is as a whole, with heads that keep together', async () => {
    const sizes = { layers: 1, width: 768, heads: 8, kv_heads: 4, head_dim: 96, rope_dim: 96, hidden: 704 }
    const manifest = await randomModel(store, { type: 'F16', shape: sizes })
    const block = manifest.blocks[1]!
    const whole = async (name: string): Promise<SourceMatrix> => {
      const { type, address, shape: dims } = block.tensors.find((ref) => ref.name === `blk.0.${name}.weight`)!
      return { type, bytes: await store.readAll(address), outputs: dims[0]!, inputs: dims[1]! }
    }
    const bytes = (memory: MemoryWeights, matrix: PackedMatrix): Buffer => {
      if (matrix.kind !== 'blocks') throw new Error(`it is ${matrix.kind}`)
      const [quants, scales] = [memory.tensor(matrix.quants), memory.tensor(matrix.scales)]
      return Buffer.concat(
        [quants, scales].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
      )
    }
    const parts = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_down']
    const [q, k, v, output, down] = await Promise.all(parts.map(whole))
    // So large that they come in parts.
    for (const { bytes: own } of [q!, output!, down!]) expect(own.length).toBeGreaterThan(CHUNK_BYTES)
    for (const rope_interleaved of [true, false]) {
      const shape = { ...manifest.shape, rope_interleaved }
      const [made, expected] = [new MemoryWeights(), new MemoryWeights()]
      const layer = await packLayer(store, shape, block, made)
      const heads = [rotatedHeadRows(q!, shape), rotatedHeadRows(k!, shape), v!]
      const wanted = await packMatrix(expected, heads, matrixForm('attn_q', block.weights))
      expect(bytes(made, layer.qkv[0]!).equals(bytes(expected, wanted))).toBe(true)
      const attended = await packMatrix(expected, [output!], matrixForm('attn_output', block.weights))
      expect(bytes(made, layer.output).equals(bytes(expected, attended))).toBe(true)
      const last = await packMatrix(expected, [down!], matrixForm('ffn_down', block.weights))
      expect(bytes(made, layer.down).equals(bytes(expected, last))).toBe(true)
    }
  })

  it('takes what narrow heads give: its columns lie where the elements of a head do, and zeros behind them', async () => {
    const sizes = { layers: 1, width: 64, heads: 3, kv_heads: 1, head_dim: 24, rope_dim: 24, hidden: 64 }
    const manifest = await randomModel(store, { type: 'F32', weights: 'f32', shape: sizes })
    const block = manifest.blocks[1]!
    const ref = block.tensors.find(({ name }) => name === 'blk.0.attn_output.weight')!
    expect(ref.shape).toEqual([64, 72])
    const source = dequantize(ref.type, await store.readAll(ref.address), 64 * 72)
    const memory = new MemoryWeights()
    const { output } = await packLayer(store, manifest.shape, block, memory)
    if (output.kind !== 'float') throw new Error(`it is ${output.kind}`)
    expect([output.outputs, output.inputs]).toEqual([64, 96])
    // Turned: a row for each input.
    const wanted = Float32Array.from({ length: 96 * 64 }, (_, at) => {
      const [input, row] = [Math.floor(at / 64), at % 64]
      const within = input % 32
      return within < 24 ? source[72 * row + 24 * Math.floor(input / 32) + within]! : 0
    })
    expect(memory.tensor(output.weights).data).toEqual(wanted)
  })

  it('is read in any lengths, and not believed where a chunk is damaged', async () => {
    const bytes = Uint8Array.from({ length: 2 * CHUNK_BYTES + 77 }, (_, at) => (at * 31 + (at >> 9)) & 255)
    const { address } = await store.put(bytes)
    const lengths = [0, 1, CHUNK_BYTES - 1, 5, CHUNK_BYTES]
    const reader = await store.inOrder(address)
    let at = 0
    for (const length of lengths) {
      expect(Buffer.compare(await reader(length), bytes.subarray(at, at + length))).toBe(0)
      at += length
    }
    await expect(reader(bytes.length - at + 1)).rejects.toMatchObject({ code: BlobRangeError.info.code })
    expect(await reader(bytes.length - at)).toHaveLength(bytes.length - at)

    const file = await open(store.path(address), 'r+')
    await file.write(Uint8Array.of(bytes[CHUNK_BYTES]! ^ 1), 0, 1, CHUNK_BYTES)
    await file.close()
    const second = await store.inOrder(address)
    expect(await second(CHUNK_BYTES)).toHaveLength(CHUNK_BYTES)
    await expect(second(1)).rejects.toMatchObject({ code: BlobDamagedError.info.code })
  })
})

describe('blocks that several threads pack', () => {
  async function contents(directory: string): Promise<Record<string, string>> {
    const [folder] = await readdir(directory)
    // A seal names its own file.
    const names = (await readdir(join(directory, folder!))).filter((name) => !name.endsWith('.seal')).toSorted()
    const hashes = names.map(async (name) => {
      const text = await readFile(join(directory, folder!, name))
      // When it was written is its own.
      const plain = name.endsWith('.json') ? text.toString('utf8').replace(/"written":"\d+"/, '') : text
      return [name, createHash('sha256').update(plain).digest('hex')] as const
    })
    return Object.fromEntries(await Promise.all(hashes))
  }

  it('are what one thread makes of them, told of, and not packed again', async () => {
    const manifest: ModelManifest = await randomModel(store, { type: 'Q8_0' })
    const engine = createOrtEngine()
    const all = [...manifest.blocks.keys()]
    const made: Record<string, number[]> = { many: [], one: [] }
    const files = (name: string): ReturnType<typeof stageFiles> =>
      stageFiles(
        { store, directory: join(root, name), engine, packed: (block) => void made[name]!.push(block) },
        manifest,
      )
    await files('many').pack(all, join(root, 'store'), 2)
    expect(made['many']!.toSorted((one, other) => one - other)).toEqual(all.slice(1))
    for (const block of all) await files('one').block(block)
    // The tables that all layers share are made meanwhile; one thread makes them for the first decoder.
    await files('one').decoder(1, all.length - 1, 1)
    const decoded = await contents(join(root, 'one'))
    for (const name of Object.keys(decoded)) if (name.startsWith('decoder-')) delete decoded[name]
    expect(await contents(join(root, 'many'))).toEqual(decoded)
    await files('many').pack(all, join(root, 'store'), 2)
    for (const block of all) await files('many').block(block)
    expect(made['many']).toHaveLength(all.length - 1)
  })
})
