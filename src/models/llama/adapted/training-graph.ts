/**
 * Graphs that are differentiated: their weights are inputs, so that one loaded graph serves all blocks of a form, and stay
 * quantised until a product needs them. Products are in float32, as autodiff takes them: activations are not rounded.
 */
import { GraphBuilder } from '../../../onnx/index.ts'
import type { AttributeValue, NodeOptions, StoredTensor, Tensor } from '../../../onnx/index.ts'
import type { MemoryWeights } from '../trial/memory-weights.ts'

/** Taken from a weight of 8 bits. */
const ZERO = 128

type NodeAttributes = Readonly<Record<string, AttributeValue>>

export class TrainingGraph extends GraphBuilder {
  readonly #weights: MemoryWeights
  readonly #stored = new Map<string, StoredTensor>()
  readonly #fed = new Map<string, Tensor>()

  constructor(weights: MemoryWeights) {
    super()
    this.#weights = weights
  }

  /** The weights, by the names of the inputs. */
  get fed(): ReadonlyMap<string, Tensor> {
    return this.#fed
  }

  override stored(name: string, tensor: StoredTensor): string {
    this.#stored.set(name, tensor)
    return name
  }

  override node(
    opType: string,
    input: readonly string[],
    attributes: NodeAttributes = {},
    options: NodeOptions = {},
  ): string {
    if (opType === 'MatMulNBits') return this.#inBlocks(input, attributes)
    // Of row int8: what is rounded to integers elsewhere goes on as it is, in parts of the row's largest.
    if (opType === 'QuantizeLinear') return input[0]!
    if (opType === 'MatMulIntegerToFloat') return this.#inRows(input)
    for (const name of input) {
      const tensor = this.#stored.get(name)
      if (tensor !== undefined) this.#feed(name, this.#weights.tensor(tensor))
    }
    return super.node(opType, input, attributes, options)
  }

  #feed(name: string, tensor: Tensor): string {
    if (!this.#fed.has(name)) {
      this.input(name, tensor.type === 'int8' ? 'i8' : 'f32', tensor.dims)
      this.#fed.set(name, tensor)
    }
    return name
  }

  #tensor(name: string): Tensor {
    return this.#weights.tensor(this.#stored.get(name)!)
  }

  /** Once for all graphs over the same weights. */
  #signed(name: string, dims: readonly number[], signed: (data: Uint8Array) => Int8Array): Tensor {
    const packed = this.#tensor(name)
    if (packed.type === 'int8') return packed
    const made: Tensor = { type: 'int8', dims, data: signed(packed.data as Uint8Array) }
    this.#weights.replace(this.#stored.get(name)!, made)
    return made
  }

  /** [rows, outputs]; the weights are a byte each, whatever they were: 4 bits unpacked in each run cost a tenth more time. */
  #inBlocks([x, quants, scales]: readonly string[], attributes: NodeAttributes): string {
    const [inputs, outputs] = [attributes['K'] as number, attributes['N'] as number]
    const [bits, block] = [attributes['bits'] as 4 | 8, attributes['block_size'] as number]
    const bytes = this.#feed(
      quants!,
      this.#signed(quants!, [outputs, inputs], (data) => signedBlocks(data, bits)),
    )
    const scaled = this.#feed(scales!, { ...this.#tensor(scales!), dims: [outputs, inputs / block] })
    const dense = super.node('DequantizeLinear', [bytes, scaled], { axis: 1, block_size: block })
    return super.node('Gemm', [x!, dense], { transB: 1 })
  }

  #inRows([x, quants, , scales]: readonly string[]): string {
    const packed = this.#tensor(quants!)
    const bytes = this.#feed(
      quants!,
      this.#signed(quants!, packed.dims, (data) => signedBlocks(data, 8)),
    )
    const scaled = this.#feed(scales!, this.#tensor(scales!))
    const dense = super.node('DequantizeLinear', [bytes, scaled], { axis: 1 })
    return super.node('MatMul', [x!, dense])
  }
}

/** One number a byte, the zero taken away; of 4 bits, the lower half of a byte comes first. */
function signedBlocks(quants: Uint8Array, bits: 4 | 8): Int8Array {
  if (bits === 8) return Int8Array.from(quants, (value) => value - ZERO)
  const data = new Int8Array(2 * quants.length)
  for (const [at, both] of quants.entries()) {
    data[2 * at] = (both & 15) - 8
    data[2 * at + 1] = (both >> 4) - 8
  }
  return data
}
