/** Packs the tensors of one block into a weight file, as the graphs take them. */
import type { StoredTensor, WeightFile } from '../../onnx/index.ts'
import { BlobDamagedError, verifyBlob } from '../../store/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { dequantize, floatsToHalves, sourceBytes } from '../dequantize/index.ts'
import type { Block, BoundaryType, LlamaShape, TensorRef } from '../manifest.ts'
import { kernelHeadDim, padHeadColumns, padHeadRows } from './head-width.ts'
import type { PackedHead } from './head.ts'
import type { PackedLayer, Rotary } from './layer.ts'
import { matrixForm } from './matrix-forms.ts'
import type { MatrixForm, MatrixPart } from './matrix-forms.ts'
import { packMatrix, packsTogether } from './pack.ts'
import type { PackedMatrix, SourceMatrix } from './pack.ts'
import { rotaryTable } from './rotary.ts'

function tensor(block: Block, suffix: string): TensorRef {
  return block.tensors.find((ref) => ref.name.endsWith(suffix))!
}

async function matrix(store: BlobStore, ref: TensorRef): Promise<SourceMatrix> {
  const bytes = await store.readAll(ref.address)
  return { type: ref.type, bytes, outputs: ref.shape[0]!, inputs: ref.shape[1]! }
}

async function norm(store: BlobStore, ref: TensorRef, file: WeightFile): Promise<StoredTensor> {
  const width = ref.shape[0]!
  return file.append('f32', [width], dequantize(ref.type, await store.readAll(ref.address), width))
}

/** The weights of a decoder block. */
export async function packLayer(
  store: BlobStore,
  shape: LlamaShape,
  block: Block,
  file: WeightFile,
): Promise<PackedLayer> {
  const form = (part: MatrixPart): MatrixForm => matrixForm(part, block.weights)
  const one = async (part: MatrixPart): Promise<PackedMatrix> =>
    packMatrix(file, [await matrix(store, tensor(block, `${part}.weight`))], form(part))
  const qkvSources = await Promise.all(
    ['attn_q.weight', 'attn_k.weight', 'attn_v.weight'].map(async (suffix) =>
      padHeadRows(await matrix(store, tensor(block, suffix)), shape),
    ),
  )
  const groups = packsTogether(qkvSources, form('attn_q')) ? [qkvSources] : qkvSources.map((source) => [source])
  const qkv: PackedMatrix[] = []
  for (const group of groups) qkv.push(await packMatrix(file, group, form('attn_q')))
  return {
    attentionNorm: await norm(store, tensor(block, 'attn_norm.weight'), file),
    qkv,
    output: await packMatrix(
      file,
      [padHeadColumns(await matrix(store, tensor(block, 'attn_output.weight')), shape)],
      form('attn_output'),
    ),
    feedForwardNorm: await norm(store, tensor(block, 'ffn_norm.weight'), file),
    gate: await one('ffn_gate'),
    up: await one('ffn_up'),
    down: await one('ffn_down'),
  }
}

/** The final norm and the projection. */
export async function packHead(store: BlobStore, block: Block, file: WeightFile): Promise<PackedHead> {
  const projection = block.tensors.find((ref) => ref.name !== 'output_norm.weight')!
  return {
    norm: await norm(store, tensor(block, 'output_norm.weight'), file),
    projection: await packMatrix(file, [await matrix(store, projection)], matrixForm('head', block.weights)),
  }
}

/** Cosines and sines of the positions below `positions`. */
export async function packRotary(shape: LlamaShape, positions: number, file: WeightFile): Promise<Rotary> {
  const pairs = kernelHeadDim(shape) / 2
  const table = (of: 'cos' | 'sin'): Promise<StoredTensor> =>
    file.append('f32', [positions, pairs], rotaryTable(of, shape, positions, pairs))
  return { cos: await table('cos'), sin: await table('sin') }
}

/** Source bytes of the embedding that are de-quantised at once. */
const EMBEDDING_STEP = 1 << 20

/**
 * All rows of the embedding in the boundary's type, rounded as `openEmbedding` rounds each of them.
 * @throws BlobDamagedError
 */
export async function packEmbedding(
  store: BlobStore,
  ref: TensorRef,
  boundary: BoundaryType,
  file: WeightFile,
): Promise<StoredTensor> {
  if (!(await verifyBlob(store, ref.address))) throw new BlobDamagedError(ref.address)
  const [rows, width] = ref.shape as [number, number]
  const table = boundary === 'f16' ? new Uint16Array(rows * width) : new Float32Array(rows * width)
  const rowBytes = sourceBytes(ref.type, width)
  const step = Math.max(1, Math.floor(EMBEDDING_STEP / rowBytes))
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row)
    const bytes = await store.read(ref.address, row * rowBytes, count * rowBytes)
    const values = dequantize(ref.type, bytes, count * width)
    table.set(boundary === 'f16' ? floatsToHalves(values) : values, row * width)
  }
  return file.append(boundary, [rows, width], table)
}
