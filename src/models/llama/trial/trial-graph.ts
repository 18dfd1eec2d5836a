/**
 * Graphs that are measured and not served: their weights are inputs, so that one loaded graph serves all blocks of a
 * form, and they compute in float32 what the kernels compute with integers of the processor's choice. The weights are the
 * packed ones. Activations get noise of the size of their rounding (ONNX Runtime rounds each block of a row to 8 bits at
 * accuracy level 4; row-matmul.ts each row), and are not rounded: a rounding is a step, behind which the smallest
 * difference between two processors grows, in four or five layers, to noise of its own. So results differ between
 * processors by the order of float32 sums only.
 */
import { GraphBuilder } from '../../../onnx/index.ts'
import type { AttributeValue, NodeOptions, StoredTensor, Tensor } from '../../../onnx/index.ts'
import type { MemoryWeights } from './memory-weights.ts'
import { noiseAt } from './noise.ts'

/** Steps of the largest activation of a block, or of a row. */
const STEPS = 127
/** Taken for the largest element of a block of zeros. */
const SMALLEST = 1e-30
/** Inputs of a layer that are rounded, at most. */
const MOST_NOISES = 16

export class TrialGraph extends GraphBuilder {
  readonly #weights: MemoryWeights
  readonly #place: number
  readonly #stored = new Map<string, StoredTensor>()
  readonly #fed = new Map<string, Tensor>()
  /** Width of each noise. */
  readonly #noises = new Map<string, number>()
  readonly #rounded = new Map<string, string>()
  /** The noise of rows whose width is not known yet, by the rows. */
  readonly #open = new Map<string, string>()

  /** @param place of the block in its model: each has noise of its own */
  constructor(weights: MemoryWeights, place: number) {
    super()
    this.#weights = weights
    this.#place = place
  }

  /** Weights and noise, by the names of the inputs. */
  feeds(rows: number): Readonly<Record<string, Tensor>> {
    const feeds = Object.fromEntries(this.#fed)
    for (const [index, [name, width]] of [...this.#noises].entries()) {
      const data = noiseAt(this.#place * MOST_NOISES + index, rows * width)
      feeds[name] = { type: 'float32', dims: [rows, width], data }
    }
    return feeds
  }

  override stored(name: string, tensor: StoredTensor): string {
    this.#stored.set(name, tensor)
    return name
  }

  override node(
    opType: string,
    input: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    options: NodeOptions = {},
  ): string {
    if (opType === 'MatMulNBits') return this.#inBlocks(input as [string, string, string], attributes)
    if (opType === 'QuantizeLinear') return this.#noisyRows(input[0]!)
    if (opType === 'MatMulIntegerToFloat') return this.#inRows(input)
    for (const name of input) {
      const tensor = this.#stored.get(name)
      if (tensor !== undefined) this.#feed(name, this.#weights.tensor(tensor))
    }
    return super.node(opType, input, attributes, options)
  }

  #feed(name: string, tensor: Tensor): string {
    if (!this.#fed.has(name)) {
      this.input(name, 'f32', tensor.dims)
      this.#fed.set(name, tensor)
    }
    return name
  }

  #tensor(name: string): Tensor {
    return this.#weights.tensor(this.#stored.get(name)!)
  }

  #inBlocks(
    [x, quants, scales]: readonly [string, string, string],
    attributes: Readonly<Record<string, AttributeValue>>,
  ): string {
    const [inputs, outputs] = [attributes['K'] as number, attributes['N'] as number]
    const [bits, block] = [attributes['bits'] as 4 | 8, attributes['block_size'] as number]
    const packed = this.#tensor(quants).data as Uint8Array
    const data = denseBlocks(packed, this.#tensor(scales).data as Float32Array, bits, block)
    const dense = this.#feed(`${quants}.dense`, { type: 'float32', dims: [outputs, inputs], data })
    return super.node('Gemm', [this.#noisyBlocks(x, inputs, block), dense], { transB: 1 })
  }

  /** Once for all matrices that share an input. */
  #noisyBlocks(x: string, inputs: number, block: number): string {
    const key = `${x}/${block}`
    const known = this.#rounded.get(key)
    if (known !== undefined) return known
    const pieces = super.node('Reshape', [x, this.int64s([0, inputs / block, block])])
    const most = super.node('ReduceMax', [super.node('Abs', [pieces]), this.int64s([2])], { keepdims: 1 })
    const step = super.node('Mul', [super.node('Max', [most, this.#scalar('smallest', SMALLEST)]), this.#step()])
    const steps = super.node('Div', [pieces, step])
    const noise = super.node('Reshape', [this.#noise(inputs), this.int64s([0, inputs / block, block])])
    const noisy = super.node('Mul', [super.node('Add', [steps, this.#within(noise, steps)]), step])
    const rounded = super.node('Reshape', [noisy, this.int64s([0, inputs])])
    this.#rounded.set(key, rounded)
    return rounded
  }

  /** @param parts of the largest element of a row, [rows, inputs]; in steps where the kernel has integers */
  #noisyRows(parts: string): string {
    const steps = super.node('Mul', [parts, this.#scalar('steps', STEPS)])
    const noise = this.#noise(null)
    const noisy = super.node('Add', [steps, this.#within(noise, steps)])
    this.#open.set(noisy, noise)
    return noisy
  }

  #inRows([x, quants, , scales]: readonly string[]): string {
    const packed = this.#tensor(quants!)
    const [inputs, outputs] = packed.dims as [number, number]
    this.#declareNoise(this.#open.get(x!)!, inputs)
    const data = denseRows(packed.data as Uint8Array, this.#tensor(scales!).data as Float32Array, outputs)
    const dense = this.#feed(`${quants!}.dense`, { type: 'float32', dims: [inputs, outputs], data })
    return super.node('MatMul', [x!, dense])
  }

  /** What is less than half a step is rounded to nothing: by its own size at most. */
  #within(noise: string, steps: string): string {
    const size = super.node('Abs', [steps])
    return super.node('Max', [super.node('Min', [noise, size]), super.node('Neg', [size])])
  }

  /** [rows, inputs]; where the width is not known yet it is declared later. */
  #noise(inputs: number | null): string {
    const name = this.value('noise')
    if (inputs !== null) this.#declareNoise(name, inputs)
    return name
  }

  #declareNoise(name: string, inputs: number): void {
    if (this.#noises.has(name)) return
    this.input(name, 'f32', ['rows', inputs])
    this.#noises.set(name, inputs)
  }

  #step(): string {
    return this.#scalar('step', 1 / STEPS)
  }

  #scalar(name: string, value: number): string {
    return this.constant(`trial.${name}`, 'f32', [], Float32Array.of(value))
  }
}

/** Row-major as the quants are; the zero of 4 bits is 8, of 8 bits 128. */
function denseBlocks(quants: Uint8Array, scales: Float32Array, bits: 4 | 8, block: number): Float32Array {
  const dense = new Float32Array((quants.length * 8) / bits)
  const bytes = (block * bits) / 8
  for (let group = 0, at = 0; group < scales.length; group++) {
    const scale = scales[group]!
    for (let byte = group * bytes; byte < (group + 1) * bytes; byte++) {
      const value = quants[byte]!
      if (bits === 8) dense[at++] = (value - 128) * scale
      else {
        dense[at++] = ((value & 15) - 8) * scale
        dense[at++] = ((value >> 4) - 8) * scale
      }
    }
  }
  return dense
}

/** [inputs, outputs], with the step of the activations taken back. */
function denseRows(quants: Uint8Array, scales: Float32Array, outputs: number): Float32Array {
  const steps = scales.map((scale) => scale / STEPS)
  const dense = new Float32Array(quants.length)
  for (let row = 0; row < quants.length; row += outputs) {
    for (let output = 0; output < outputs; output++)
      dense[row + output] = (quants[row + output]! - 128) * steps[output]!
  }
  return dense
}
