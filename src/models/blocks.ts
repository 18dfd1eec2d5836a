/** Which tensors make up which block, and what a block costs: the same for every reader, and for checking manifests. */
import { isFloatType } from './dequantize/index.ts'
import { BLOCK_DECODERS } from './dequantize/unpack.ts'
import { EMBEDDING, headNorms, layerTensors, OUTPUT } from './decoder-tensors.ts'
import type { PlannedTensor } from './decoder-tensors.ts'
import type { Block, DecoderShape, SourceType, TensorRef, WeightFormat } from './manifest.ts'
import { matrixForm, matrixPart } from './llama/matrix-forms.ts'
import type { MatrixForm } from './llama/matrix-forms.ts'
import { rotationOf } from './llama/row-weights.ts'

export interface BlockPlan {
  readonly kind: Block['kind']
  readonly tensors: readonly PlannedTensor[]
}

/** Keys and values are kept in float32. */
const KV_ELEMENT_BYTES = 4
/** Kernels that hold weights as integers want rows of whole blocks of this many elements. */
const KERNEL_BLOCK = 32

/** The blocks of a model of this shape; `tied`: the head uses the embedding's matrix. */
export function planBlocks(shape: DecoderShape, tied: boolean): readonly BlockPlan[] {
  const embedding = { name: EMBEDDING, shape: [shape.vocabulary, shape.width] }
  const own = layerTensors(shape)
  const layers = Array.from({ length: shape.layers }, (_, layer): BlockPlan => {
    const tensors = own.map((tensor) => ({ ...tensor, name: `blk.${layer}.${tensor.name}` }))
    return { kind: 'decoder', tensors }
  })
  return [
    { kind: 'embedding', tensors: [embedding] },
    ...layers,
    { kind: 'head', tensors: [...headNorms(shape), { ...embedding, name: tied ? EMBEDDING : OUTPUT }] },
  ]
}

/** A tensor as a file's header tells it: nothing is known of its bytes but how many they are. */
export type OutlineTensor = Omit<TensorRef, 'address'>

/** A block with its costs, from its tensors. */
export function makeBlock<Tensor extends OutlineTensor>(
  kind: Block['kind'],
  tensors: readonly Tensor[],
  weights: WeightFormat,
  shape: DecoderShape,
): Omit<Block, 'tensors'> & { readonly tensors: readonly Tensor[] } {
  const matrices = tensors.filter((tensor) => tensor.shape.length === 2)
  const macs = matrices.reduce((sum, tensor) => sum + elements(tensor), 0)
  return {
    kind,
    tensors,
    weights,
    bytes: tensors.reduce((sum, tensor) => sum + tensor.bytes, 0),
    // Rows of the embedding are read from the store, one a token: it takes no memory and no multiplication.
    memory: kind === 'embedding' ? 0 : tensors.reduce((sum, tensor) => sum + tensorMemory(tensor, weights), 0),
    flops: kind === 'embedding' ? 0 : 2 * macs,
    kv_bytes: kind === 'decoder' ? 2 * shape.kv_heads * shape.head_dim * KV_ELEMENT_BYTES : 0,
  }
}

function elements(tensor: { readonly shape: readonly number[] }): number {
  return tensor.shape.reduce((product, size) => product * size, 1)
}

/** Bytes of a tensor as the kernels hold it: integers with a float32 scale (and offset) a group, or float32. */
export function tensorMemory(tensor: OutlineTensor | TensorRef, weights: WeightFormat): number {
  const count = elements(tensor)
  const columns = tensor.shape.at(-1)!
  const form = matrixForm(matrixPart(tensor.name), weights)
  const floating = form === 'f32' || form === 'f16' || (form === 'auto' && tensor.type === 'F32')
  if (tensor.shape.length < 2 || columns % KERNEL_BLOCK !== 0 || floating) return 4 * count
  // A float32 scale an output, and the sum of its weights that the kernel keeps for the zero of the activations.
  if (form === 'rows' && rotationOf(columns) !== null) return count + (count / columns) * 8
  const { bits, group, affine } = heldAs(tensor.type, form)
  return (count * bits) / 8 + (count / group) * (affine ? 8 : 4)
}

function heldAs(type: SourceType, form: MatrixForm): { bits: 4 | 8; group: 16 | 32; affine: boolean } {
  const own = isFloatType(type) ? null : BLOCK_DECODERS[type]
  if (form === 'q4') return own?.bits === 4 ? own : { bits: 4, group: 32, affine: false }
  if (form === 'blocks8' || form === 'rows' || own === null) return { bits: 8, group: 32, affine: false }
  return own
}
