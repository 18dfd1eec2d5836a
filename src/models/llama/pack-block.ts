/** Packs the tensors of one block into a weight file, as the graphs take them. */
import type { StoredTensor, WeightSink } from '../../onnx/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { OUTPUT_NORM } from '../decoder-tensors.ts'
import { dequantize, sourceBytes } from '../dequantize/index.ts'
import type { Block, DecoderShape, TensorRef } from '../manifest.ts'
import { kernelHeadDim, padHeadColumns, padHeadRows, rotatedHeadRows } from './head-width.ts'
import type { PackedHead } from './head.ts'
import type { PackedLayer, Rotary } from './layer.ts'
import { matrixForm } from './matrix-forms.ts'
import type { MatrixPart } from './matrix-forms.ts'
import { packMatrix, packsTogether } from './pack.ts'
import type { MatrixSource, PackedMatrix, SourceMatrix } from './pack.ts'
import { rotaryTable } from './rotary.ts'
import type { RotaryRows, RotaryShape } from './rotary.ts'

/** Of a matrix that is packed in parts: what a processor's own cache holds from when it is read until it is written. */
const PART_BYTES = 1 << 20
/** Kernels compute so many outputs together; another number at the end of a matrix goes another way, with other bits. */
const TILE_ROWS = 64
/** Of a head's slice: one of 8 bits is as large as what two layers of a model of a billion parameters are together. */
const SLICE_ELEMENTS = 1 << 26

/** The tensor `blk.<n>.<name>` of a block, or one of the head's; undefined where the model has none. */
function tensor(block: Block, name: string): TensorRef | undefined {
  return block.tensors.find((ref) => ref.name.replace(/^blk\.\d+\./, '') === name)
}

async function matrix(store: BlobStore, ref: TensorRef, rows?: RowRange): Promise<SourceMatrix> {
  const [all, inputs] = ref.shape as [number, number]
  if (rows === undefined) return { type: ref.type, bytes: await store.readAll(ref.address), outputs: all, inputs }
  const [rowBytes, outputs] = [sourceBytes(ref.type, inputs), rows.end - rows.from]
  const bytes = await store.read(ref.address, rows.from * rowBytes, outputs * rowBytes)
  return { type: ref.type, bytes, outputs, inputs }
}

/** What is done to the rows of a part before it is packed. */
type Change = (part: SourceMatrix) => SourceMatrix

const unchanged: Change = (part) => part

/**
 * A matrix of any size, in parts that are read and held against its address when it is their turn.
 * @param group rows that stay together
 * @param most elements of a part
 */
async function inParts(
  store: BlobStore,
  ref: TensorRef,
  { change = unchanged, group = 1, most = Infinity }: { change?: Change; group?: number; most?: number } = {},
): Promise<MatrixSource[]> {
  const [all, inputs] = ref.shape as [number, number]
  const rowBytes = sourceBytes(ref.type, inputs)
  const fitting = Math.floor(Math.min(PART_BYTES / rowBytes, most / inputs))
  const step = leastCommonMultiple(TILE_ROWS, group)
  const rows = Math.max(step, fitting - (fitting % step))
  if (rows >= all) return [change(await matrix(store, ref))]
  const reader = await store.inOrder(ref.address)
  return Array.from({ length: Math.ceil(all / rows) }, (_, part) => {
    const facts = { type: ref.type, outputs: Math.min(rows, all - part * rows), inputs }
    return { ...facts, load: async () => change({ ...facts, bytes: await reader(facts.outputs * rowBytes) }) }
  })
}

function leastCommonMultiple(a: number, b: number): number {
  let [divisor, rest] = [a, b]
  while (rest > 0) [divisor, rest] = [rest, divisor % rest]
  return (a / divisor) * b
}

/** Padding changes what a matrix is, so it has to be there first. */
async function headParts(
  store: BlobStore,
  shape: DecoderShape,
  ref: TensorRef,
  change: (part: SourceMatrix, shape: DecoderShape) => SourceMatrix,
): Promise<MatrixSource[]> {
  const own: Change = (part) => change(part, shape)
  if (kernelHeadDim(shape) !== shape.head_dim) return [own(await matrix(store, ref))]
  return inParts(store, ref, { change: own, group: shape.head_dim })
}

async function values(store: BlobStore, ref: TensorRef): Promise<Float32Array> {
  return dequantize(ref.type, await store.readAll(ref.address), ref.shape[0]!)
}

/** Outputs [from, end) of a matrix. */
export interface RowRange {
  readonly from: number
  readonly end: number
}

/** Of one block, into its file. */
interface Packing {
  readonly store: BlobStore
  readonly shape: DecoderShape
  readonly block: Block
  readonly file: WeightSink
}

/** A vector as [elements, 1], to be treated as the rows of a matrix are. */
function column(vector: Float32Array): SourceMatrix {
  return { type: 'F32', bytes: new Uint8Array(vector.buffer), outputs: vector.length, inputs: 1 }
}

function vectorOf({ bytes, outputs }: SourceMatrix): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, outputs)
}

async function norm({ store, shape, block, file }: Packing, name: string): Promise<StoredTensor> {
  const ref = tensor(block, name)!
  const weights = await values(store, ref)
  if (shape.norm_offset !== undefined) for (const [at, weight] of weights.entries()) weights[at] = weight + 1
  return file.append('f32', [ref.shape[0]!], weights)
}

/**
 * A norm of q's or k's heads, in the kernel's order and width. Zeros behind a padded head make its mean square smaller;
 * smaller weights, and a smaller epsilon (layer.ts), take that back.
 */
async function headNorm({ store, shape, block, file }: Packing, name: string): Promise<StoredTensor> {
  const weights = await values(store, tensor(block, name)!)
  const wide = kernelHeadDim(shape)
  const share = Math.sqrt(shape.head_dim / wide)
  const scaled = weights.map((weight) => (weight + (shape.norm_offset ?? 0)) * share)
  return file.append('f32', [wide], vectorOf(rotatedHeadRows(column(scaled), shape)))
}

/** Spread into a packed block, so that what a model does not have is not there at all. */
async function optional<K extends string, T>(
  packing: Packing,
  key: K,
  name: string,
  pack: (packing: Packing, name: string) => Promise<T>,
): Promise<{ readonly [key in K]?: T }> {
  if (tensor(packing.block, name) === undefined) return {}
  return { [key]: await pack(packing, name) } as { readonly [key in K]: T }
}

async function shift({ store, block, file }: Packing, name: string): Promise<StoredTensor> {
  const ref = tensor(block, name)!
  return file.append('f32', [ref.shape[0]!], await values(store, ref))
}

/** What a part of q, k and v has to have its rows done to. */
const HEAD_ROWS = { attn_q: rotatedHeadRows, attn_k: rotatedHeadRows, attn_v: padHeadRows } as const
const QKV = ['attn_q', 'attn_k', 'attn_v'] as const

async function packQkv(packing: Packing): Promise<PackedMatrix[]> {
  const { store, shape, block, file } = packing
  const form = matrixForm('attn_q', block.weights)
  const sources = await Promise.all(
    QKV.map((part) => headParts(store, shape, tensor(block, `${part}.weight`)!, HEAD_ROWS[part])),
  )
  const groups = packsTogether(sources.flat(), form) ? [[0, 1, 2]] : [[0], [1], [2]]
  const packed: PackedMatrix[] = []
  for (const group of groups) {
    const weights = await packMatrix(
      file,
      group.flatMap((index) => sources[index]!),
      form,
    )
    packed.push({ ...weights, ...(await qkvBias(packing, group)) })
  }
  return packed
}

/** One bias for the matrices of a group; where only some have one, the others' is zero. */
async function qkvBias(
  { store, shape, block, file }: Packing,
  group: readonly number[],
): Promise<{ readonly bias?: StoredTensor }> {
  const parts = group.map((index) => QKV[index]!)
  if (parts.every((part) => tensor(block, `${part}.bias`) === undefined)) return {}
  const pieces: Float32Array[] = []
  for (const part of parts) {
    const ref = tensor(block, `${part}.bias`)
    const own = ref && (await values(store, ref))
    pieces.push(vectorOf(HEAD_ROWS[part](column(own ?? new Float32Array(outputsOf(block, part))), shape)))
  }
  const all = Float32Array.from(pieces.flatMap((piece) => [...piece]))
  return { bias: await file.append('f32', [all.length], all) }
}

function outputsOf(block: Block, part: string): number {
  return tensor(block, `${part}.weight`)!.shape[0]!
}

async function packOne(packing: Packing, part: MatrixPart): Promise<PackedMatrix> {
  const { store, shape, block, file } = packing
  const ref = tensor(block, `${part}.weight`)!
  const form = matrixForm(part, block.weights)
  const sources =
    part === 'attn_output' ? await headParts(store, shape, ref, padHeadColumns) : await inParts(store, ref)
  const weights = await packMatrix(file, sources, form)
  return { ...weights, ...(await optional(packing, 'bias', `${part}.bias`, shift)) }
}

/** The weights of a decoder block. */
export async function packLayer(
  store: BlobStore,
  shape: DecoderShape,
  block: Block,
  file: WeightSink,
): Promise<PackedLayer> {
  const packing: Packing = { store, shape, block, file }
  return {
    // In this order they lie in the file.
    qkv: await packQkv(packing),
    attentionNorm: await norm(packing, 'attn_norm.weight'),
    ...(await optional(packing, 'attentionNormBias', 'attn_norm.bias', shift)),
    ...(await optional(packing, 'queryNorm', 'attn_q_norm.weight', headNorm)),
    ...(await optional(packing, 'keyNorm', 'attn_k_norm.weight', headNorm)),
    output: await packOne(packing, 'attn_output'),
    ...(await optional(packing, 'postAttentionNorm', 'post_attention_norm.weight', norm)),
    feedForwardNorm: await norm(packing, 'ffn_norm.weight'),
    ...(await optional(packing, 'feedForwardNormBias', 'ffn_norm.bias', shift)),
    gate: await packOne(packing, 'ffn_gate'),
    up: await packOne(packing, 'ffn_up'),
    down: await packOne(packing, 'ffn_down'),
    ...(await optional(packing, 'postFeedForwardNorm', 'post_ffw_norm.weight', norm)),
  }
}

/**
 * The final norm and the projection, or the part of it that gives the logits of these tokens.
 * @param slice elements of a matrix, at most, that the projection is put together of
 */
export async function packHead(
  store: BlobStore,
  shape: DecoderShape,
  block: Block,
  file: WeightSink,
  tokens?: RowRange,
  slice = SLICE_ELEMENTS,
): Promise<PackedHead> {
  const packing: Packing = { store, shape, block, file }
  return {
    norm: await norm(packing, OUTPUT_NORM),
    ...(await optional(packing, 'normBias', 'output_norm.bias', shift)),
    projections: await packProjections(packing, tokens, slice),
  }
}

async function packProjections(
  { store, block, file }: Packing,
  tokens: RowRange | undefined,
  most: number,
): Promise<PackedMatrix[]> {
  const ref = block.tensors.at(-1)!
  const form = matrixForm('head', block.weights)
  if (tokens !== undefined) return [await packMatrix(file, [await matrix(store, ref, tokens)], form)]
  const packed: PackedMatrix[] = []
  for (const slice of slicesOf(await inParts(store, ref, { most }), most))
    packed.push(await packMatrix(file, slice, form))
  return packed
}

/** Parts that follow each other, in groups that are as large as a slice may be. */
function slicesOf(parts: readonly MatrixSource[], most: number): MatrixSource[][] {
  const slices: MatrixSource[][] = [[]]
  let elements = 0
  for (const part of parts) {
    const own = part.outputs * part.inputs
    if (elements > 0 && elements + own > most) {
      slices.push([])
      elements = 0
    }
    slices.at(-1)!.push(part)
    elements += own
  }
  return slices
}

/** How many slices the head of a model is packed in, about. */
export function headSlices({ tensors }: Block): number {
  const elements = tensors.at(-1)!.shape.reduce((product, size) => product * size, 1)
  return Math.ceil(elements / SLICE_ELEMENTS)
}

/** Cosines and sines of the positions below `positions`, for heads of the shape. */
export function packRotary(
  shape: RotaryShape & Pick<DecoderShape, 'head_dim'>,
  positions: number,
  file: WeightSink,
): Promise<Rotary> {
  return packRotaryRows(shape, [{ rope: shape, positions }], file)
}

/** The same for ranges of rows, one behind the other. */
export async function packRotaryRows(
  shape: Pick<DecoderShape, 'head_dim'>,
  rows: readonly RotaryRows[],
  file: WeightSink,
): Promise<Rotary> {
  const pairs = kernelHeadDim(shape) / 2
  const all = rows.reduce((sum, { positions }) => sum + positions, 0)
  function* pieces(of: 'cos' | 'sin'): Iterable<Float32Array> {
    for (const { rope, positions } of rows) yield* rotaryTable(of, rope, positions, pairs)
  }
  const table = (of: 'cos' | 'sin'): Promise<StoredTensor> => file.append('f32', [all, pairs], pieces(of))
  return { cos: await table('cos'), sin: await table('sin') }
}
