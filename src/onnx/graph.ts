/** Builds ONNX graphs node by node; large weights go to an external file as they are made, so none is held twice. */
import { prepackedEntries } from './prepacked-entries.ts'
import { ModelProto } from './proto.ts'

/** ONNX's element types, as far as weft writes them (onnx.proto, TensorProto.DataType). */
export const ELEMENT = { f32: 1, u8: 2, i8: 3, i32: 6, i64: 7, bool: 9, f16: 10 } as const
export type ElementType = keyof typeof ELEMENT

export const MICROSOFT = 'com.microsoft'
const OPSET = 21
const MICROSOFT_OPSET = 1
const IR_VERSION = 10

export type Dim = number | string
export type AttributeValue = number | string | readonly number[] | { readonly float: number }

interface ExternalRange {
  readonly file: string
  readonly offset: number
  readonly length: number
}

interface TensorProtoInit {
  readonly name: string
  readonly dataType: number
  readonly dims: readonly number[]
  readonly rawData?: Uint8Array
  readonly dataLocation?: number
  readonly externalData?: readonly { readonly key: string; readonly value: string }[]
}

interface NodeInit {
  readonly opType: string
  readonly domain: string
  readonly name: string
  readonly input: readonly string[]
  readonly output: readonly string[]
  readonly attribute: readonly object[]
}

/** A weight as a kernel of the engine packs it: the engine's key of the form, and the parts in the weight's file. */
export interface PrepackedForm {
  readonly key: string
  readonly parts: readonly { readonly offset: number; readonly length: number }[]
  /** It holds the offsets of the weight too: a node that adds them would add them twice. */
  readonly offsets?: boolean
}

/** Where the bytes of a large weight lie; several graphs may point at the same ones. */
export interface StoredTensor extends ExternalRange {
  readonly type: ElementType
  readonly dims: readonly number[]
  readonly prepacked?: readonly PrepackedForm[]
}

export interface NodeOptions {
  readonly domain?: string
  /** Names of the outputs; `''` leaves an optional one out. Default: one, named by the builder. */
  readonly outputs?: readonly string[]
}

/**
 * A graph in the making. Names are the caller's for inputs and outputs and the builder's for values in between, in the
 * order of the calls, so that equal calls give equal files.
 */
export class GraphBuilder {
  readonly #nodes: NodeInit[] = []
  readonly #initializers = new Map<string, TensorProtoInit>()
  readonly #inputs: object[] = []
  readonly #outputs: object[] = []
  #next = 0

  input(name: string, type: ElementType, dims: readonly Dim[]): string {
    this.#inputs.push(valueInfo(name, type, dims))
    return name
  }

  output(name: string, type: ElementType, dims: readonly Dim[]): void {
    this.#outputs.push(valueInfo(name, type, dims))
  }

  /** Adds a node and returns the name of its first output. */
  node(
    opType: string,
    input: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    options: NodeOptions = {},
  ): string {
    const output = options.outputs ?? [this.value(opType)]
    this.#nodes.push({
      opType,
      domain: options.domain ?? '',
      name: `${opType}.${this.#next++}`,
      input,
      output,
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    })
    return output[0]!
  }

  /** A fresh name for a value in between. */
  value(stem: string): string {
    return `${stem}:${this.#next++}`
  }

  /** A small constant, kept in the graph itself. The same name twice is the same constant. */
  constant(name: string, type: ElementType, dims: readonly number[], values: ArrayBufferView): string {
    if (!this.#initializers.has(name)) {
      const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
      this.#initializers.set(name, { name, dataType: ELEMENT[type], dims, rawData })
    }
    return name
  }

  int64s(values: readonly number[]): string {
    const name = `i64[${values.join(',')}]`
    return this.constant(name, 'i64', [values.length], BigInt64Array.from(values, BigInt))
  }

  /** A weight whose bytes lie in an external file. */
  stored(name: string, tensor: StoredTensor): string {
    const externalData = [
      { key: 'location', value: tensor.file },
      { key: 'offset', value: String(tensor.offset) },
      { key: 'length', value: String(tensor.length) },
      ...prepackedEntries(tensor.prepacked ?? []),
    ]
    this.#initializers.set(name, {
      name,
      dataType: ELEMENT[tensor.type],
      dims: tensor.dims,
      dataLocation: 1,
      externalData,
    })
    return name
  }

  /** The bytes of the `.onnx` file. */
  finish(name: string): Uint8Array {
    const model = {
      irVersion: IR_VERSION,
      producerName: 'weft',
      graph: {
        name,
        node: this.#nodes,
        initializer: [...this.#initializers.values()],
        input: this.#inputs,
        output: this.#outputs,
      },
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: MICROSOFT, version: MICROSOFT_OPSET },
      ],
    }
    // As it is, not by way of `fromObject`: the fields have their types, and copying them takes as long as encoding.
    return ModelProto.encode(model).finish()
  }
}

function valueInfo(name: string, type: ElementType, dims: readonly Dim[]): object {
  const dim = dims.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size }))
  return { name, type: { tensorType: { elemType: ELEMENT[type], shape: { dim } } } }
}

const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const

function attribute(name: string, value: AttributeValue): object {
  if (typeof value === 'number') return { name, type: ATTRIBUTE_TYPE.int, i: value }
  if (typeof value === 'string') return { name, type: ATTRIBUTE_TYPE.string, s: Buffer.from(value) }
  if ('float' in value) return { name, type: ATTRIBUTE_TYPE.float, f: value.float }
  return { name, type: ATTRIBUTE_TYPE.ints, ints: [...value] }
}
