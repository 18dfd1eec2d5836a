/**
 * Low-rank adapters in llama.cpp's form: a GGUF file of type `adapter` with `<matrix>.lora_a` [rank, inputs] and
 * `<matrix>.lora_b` [outputs, rank] (its convert_lora_to_gguf.py and src/llama-adapter.cpp), rows of q and k in the order of the
 * model's GGUF file.
 */
import { ARCHITECTURES } from '../architectures/index.ts'
import type { Architecture } from '../architectures/index.ts'
import { ADAPTED_MATRICES } from '../llama/adapted/adapter-parts.ts'
import { adjacentRow } from '../llama/head-width.ts'
import type { DecoderShape } from '../manifest.ts'
import { GGUF_MAGIC, readGguf } from '../readers/gguf.ts'
import type { GgufFile } from '../readers/gguf.ts'
import { openFileAccess } from '../readers/random-access.ts'
import type { RandomAccess } from '../readers/random-access.ts'
import { AdapterFileError } from './errors.ts'
import { AdapterTensors, filedFactors, takeFactors } from './low-rank.ts'
import type { LowRankAdapter, Place } from './low-rank.ts'

const VERSION = 3
const ALIGNMENT = 32
const VALUE = { f32: 6, string: 8 } as const
/** `GGML_TYPE_F32` */
const F32 = 0

/** @param base name of the model, for people. @throws AdapterFileError where the model's GGUF file has other matrices */
export function adapterGguf(base: string, shape: DecoderShape, adapter: LowRankAdapter): Uint8Array {
  const architecture = architectureOf(base, shape)
  const tensors = filedFactors(shape, adapter, ggufName).map((tensor) => {
    const inFile = rowOf(shape, architecture, tensor.place)
    return { ...tensor, values: moved(tensor.values, tensor.dims, (row) => row, inFile) }
  })
  const keys = [
    [VALUE.string, 'general.type', 'adapter'],
    [VALUE.string, 'general.architecture', architecture.gguf[0]!],
    [VALUE.string, 'general.name', base],
    [VALUE.string, 'adapter.type', 'lora'],
    [VALUE.f32, 'adapter.lora.alpha', adapter.alpha],
  ] as const
  const head = [u32(GGUF_MAGIC), u32(VERSION), u64(tensors.length), u64(keys.length)]
  for (const [type, key, value] of keys)
    head.push(text(key), u32(type), typeof value === 'string' ? text(value) : f32(value))
  let offset = 0
  for (const { name, dims, values } of tensors) {
    head.push(text(name), u32(dims.length), ...dims.toReversed().map(u64), u32(F32), u64(offset))
    offset += aligned(values.byteLength)
  }
  const data = tensors.flatMap(({ values }) => [
    Buffer.from(values.buffer, values.byteOffset, values.byteLength),
    Buffer.alloc(aligned(values.byteLength) - values.byteLength),
  ])
  const length = head.reduce((sum, piece) => sum + piece.length, 0)
  return Buffer.concat([...head, Buffer.alloc(aligned(length) - length), ...data])
}

/** @throws AdapterFileError, ModelFileError, SourceFileError */
export async function readAdapterGguf(path: string, base: string, shape: DecoderShape): Promise<LowRankAdapter> {
  const access = await openFileAccess(path)
  try {
    return await read(path, access, shape, architectureOf(base, shape))
  } finally {
    await access.close()
  }
}

async function read(
  path: string,
  access: RandomAccess,
  shape: DecoderShape,
  architecture: Architecture,
): Promise<LowRankAdapter> {
  const file = await readGguf(access)
  const alpha = checkedAlpha(path, file, architecture)
  const tensors = new AdapterTensors(path, access, file.tensors)
  const adapter = await takeFactors(tensors, shape, {
    where: path,
    named: ggufName,
    alpha: () => alpha,
    from: 0,
    to: shape.layers,
    rows: (place, values, dims) => moved(values, dims, rowOf(shape, architecture, place), (row) => row),
  })
  tensors.end()
  return adapter
}

function checkedAlpha(path: string, { metadata }: GgufFile, { gguf, family }: Architecture): number {
  const of = (key: string): unknown => metadata.get(key)?.value
  if (of('general.type') !== 'adapter' || of('adapter.type') !== 'lora') {
    throw new AdapterFileError(path, 'it is a GGUF file, and none of a low-rank adapter')
  }
  // Rows of q and k lie as its files have them: beside another model's they would be taken for others, and nothing would tell.
  const name = of('general.architecture')
  if (typeof name !== 'string' || !gguf.includes(name)) {
    const made =
      typeof name === 'string' ? `of the architecture ${JSON.stringify(name.slice(0, 64))}` : 'of no architecture'
    throw new AdapterFileError(path, `it is ${made}, and the model is ${family}`)
  }
  const alpha = of('adapter.lora.alpha')
  if (typeof alpha === 'number' && Number.isFinite(alpha) && alpha > 0) return alpha
  throw new AdapterFileError(path, 'adapter.lora.alpha is missing, or no number above 0')
}

function architectureOf(base: string, { family }: DecoderShape): Architecture {
  const found = ARCHITECTURES.find((each) => each.family === family)
  if (found !== undefined && found.ggufFused !== true) return found
  throw new AdapterFileError(base, `GGUF files of ${family} have other matrices than the adapter stands beside`)
}

function ggufName({ layer, part, factor }: Place): string {
  return `blk.${layer}.${ADAPTED_MATRICES[part]}.weight.lora_${factor}`
}

/** From a row in the hub's order to the row in the GGUF file. */
function rowOf(shape: DecoderShape, { ggufPairs }: Architecture, { part, factor }: Place): (row: number) => number {
  const isPaired = factor === 'b' && (part === 'q' || part === 'k') && ggufPairs === 'adjacent'
  return (row) => (isPaired ? adjacentRow(shape, row) : row)
}

/** Each row of [rows, columns] from one place to another. */
function moved(
  values: Float32Array,
  [rows = 0, columns = 0]: readonly number[],
  from: (row: number) => number,
  to: (row: number) => number,
): Float32Array {
  const result = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    result.set(values.subarray(from(row) * columns, (from(row) + 1) * columns), to(row) * columns)
  }
  return result
}

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function text(words: string): Buffer {
  const bytes = Buffer.from(words)
  return Buffer.concat([u64(bytes.length), bytes])
}
