/** Packed tensors that stay in memory: for graphs that get their weights with each run. */
import type { ElementType, StoredTensor, Tensor, WeightSink } from '../../../onnx/index.ts'

const ARRAYS = {
  f32: ['float32', Float32Array],
  u8: ['uint8', Uint8Array],
  i8: ['int8', Int8Array],
  i32: ['int32', Int32Array],
  i64: ['int64', BigInt64Array],
  bool: ['bool', Uint8Array],
  f16: ['float16', Uint16Array],
} as const

export class MemoryWeights implements WeightSink {
  readonly #tensors: Tensor[] = []

  /** The bytes are kept as they are, not copied, unless they come in pieces. */
  async append(
    type: ElementType,
    dims: readonly number[],
    values: Parameters<WeightSink['append']>[2],
  ): Promise<StoredTensor> {
    const bytes = ArrayBuffer.isView(values) ? bytesOf(values) : await joined(values)
    const [name, View] = ARRAYS[type]
    const whole = bytes.byteOffset % View.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice()
    const data = new View(
      whole.buffer as ArrayBuffer,
      whole.byteOffset,
      whole.byteLength / View.BYTES_PER_ELEMENT,
    ) as Tensor['data']
    const offset = this.#tensors.push({ type: name, dims, data }) - 1
    return { type, dims, file: '', offset, length: bytes.byteLength }
  }

  tensor({ offset }: StoredTensor): Tensor {
    return this.#tensors[offset]!
  }

  /** What is wanted in another form from now on. */
  replace({ offset }: StoredTensor, tensor: Tensor): void {
    this.#tensors[offset] = tensor
  }
}

/** Who gives pieces may use their memory again for the next. */
async function joined(values: Exclude<Parameters<WeightSink['append']>[2], ArrayBufferView>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of values) pieces.push(bytesOf(piece).slice())
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}
