/** The messages of onnx.proto, written from their last field to their first (wire-writer.ts says why). */
import { dataBytes } from './elements.ts'
import { OnnxUnwritableError } from './errors.ts'
import { shown } from './shown.ts'
import { DATA_TYPES } from './types.ts'
import type {
  Attribute,
  Dimension,
  Graph,
  Model,
  Node,
  OnnxFunction,
  SparseTensorValue,
  TensorValue,
  ValueInfo,
  ValueType,
} from './types.ts'
import { WireWriter } from './wire-writer.ts'
import type { Piece } from './wire-writer.ts'

/** Where a tensor lies that is not in the model's own file. */
export interface Stored {
  readonly location: string
  readonly offset: number
  readonly length: number
}

/** Deeper than any file can hold (limits.ts): only graphs made in memory come here. */
const MOST_GRAPHS_DEEP = 64

/**
 * The file of a model as pieces: bytes, and ranges of other files to be copied.
 * @param stored the tensors that lie in an external file
 * @throws OnnxUnwritableError, TensorSizeError
 */
export function encodeModel(
  path: string,
  model: Model,
  stored: ReadonlyMap<TensorValue, Stored>,
): { readonly pieces: readonly Piece[]; readonly bytes: number } {
  const encoder = new Encoder(path, stored)
  encoder.model(model)
  return { pieces: encoder.out.finish(), bytes: encoder.out.size }
}

class Encoder {
  readonly out = new WireWriter()
  readonly #path: string
  readonly #stored: ReadonlyMap<TensorValue, Stored>
  #depth = 0

  constructor(path: string, stored: ReadonlyMap<TensorValue, Stored>) {
    this.#path = path
    this.#stored = stored
  }

  model(model: Model): void {
    const { out } = this
    out.list(model.functions, (definition) => out.message(25, () => this.#function(definition)))
    this.#entries(14, model.metadata)
    this.#opsets(8, model.opsets)
    out.message(7, () => this.#graph(model.graph))
    if (model.modelVersion !== 0n) out.int(5, model.modelVersion)
    this.#optional(4, model.domain)
    this.#optional(3, model.producer.version)
    this.#optional(2, model.producer.name)
    out.int(1, model.irVersion)
  }

  #function(definition: OnnxFunction): void {
    const { out } = this
    this.#entries(14, definition.metadata)
    this.#optional(13, definition.overload)
    out.list(definition.values.values(), (value) => out.message(12, () => this.#value(value)))
    this.#attributes(11, definition.defaults)
    this.#text(10, definition.domain)
    this.#opsets(9, definition.opsets)
    out.list(definition.nodes, (node) => out.message(7, () => this.#node(node)))
    out.list(definition.attributes, (name) => this.#text(6, name))
    out.list(definition.outputs, (name) => this.#text(5, name))
    out.list(definition.inputs, (name) => this.#text(4, name))
    this.#text(1, definition.name)
  }

  #graph(graph: Graph): void {
    const { out } = this
    if (this.#depth++ > MOST_GRAPHS_DEEP) throw new OnnxUnwritableError(this.#path, 'its subgraphs are nested too deep')
    this.#entries(16, graph.metadata)
    out.list(graph.sparseInitializers, ([name, sparse]) => out.message(15, () => this.#sparse(sparse, name)))
    out.list(graph.quantization, ([name, entries]) =>
      out.message(14, () => {
        this.#entries(2, entries)
        this.#text(1, name)
      }),
    )
    out.list(graph.values.values(), (value) => out.message(13, () => this.#value(value)))
    out.list(graph.outputs, (value) => out.message(12, () => this.#value(value)))
    out.list(graph.inputs, (value) => out.message(11, () => this.#value(value)))
    out.list(graph.initializers, ([name, tensor]) => out.message(5, () => this.#tensor(tensor, name)))
    this.#text(2, graph.name)
    out.list(graph.nodes, (node) => out.message(1, () => this.#node(node)))
    this.#depth--
  }

  #node(node: Node): void {
    const { out } = this
    this.#entries(9, node.metadata)
    this.#optional(8, node.overload)
    this.#optional(7, node.domain)
    this.#attributes(5, node.attributes)
    this.#text(4, node.opType)
    this.#optional(3, node.name)
    out.list(node.outputs, (name) => this.#text(2, name))
    out.list(node.inputs, (name) => this.#text(1, name))
  }

  #attributes(field: number, attributes: ReadonlyMap<string, Attribute>): void {
    this.out.list(attributes, ([name, attribute]) =>
      this.out.message(field, () => {
        this.#attribute(attribute)
        this.#text(1, name)
      }),
    )
  }

  /** Types by their numbers in AttributeProto; values even where they are the default: checkers ask for them. */
  #attribute(attribute: Attribute): void {
    const { out } = this
    switch (attribute.kind) {
      case 'float':
        out.int(20, 1)
        out.float(2, attribute.value)
        break
      case 'int':
        out.int(20, 2)
        out.int(3, attribute.value)
        break
      case 'string':
        out.int(20, 3)
        out.bytes(4, attribute.value)
        break
      case 'tensor':
        out.int(20, 4)
        out.message(5, () => this.#tensor(attribute.value, attribute.value.name))
        break
      case 'graph':
        out.int(20, 5)
        out.message(6, () => this.#graph(attribute.value))
        break
      case 'sparse':
        out.message(22, () => this.#sparse(attribute.value, attribute.value.values.name))
        out.int(20, 11)
        break
      case 'type':
        out.int(20, 13)
        out.message(14, () => this.#type(attribute.value))
        break
      case 'reference':
        this.#text(21, attribute.name)
        out.int(20, attribute.type)
        break
      default:
        this.#listAttribute(attribute)
    }
  }

  #listAttribute(attribute: Extract<Attribute, { readonly values: unknown }>): void {
    const { out } = this
    switch (attribute.kind) {
      case 'floats':
        out.int(20, 6)
        out.floats(7, attribute.values)
        break
      case 'ints':
        out.int(20, 7)
        out.ints(8, attribute.values)
        break
      case 'strings':
        out.int(20, 8)
        out.list(attribute.values, (value) => out.bytes(9, value))
        break
      case 'tensors':
        out.int(20, 9)
        out.list(attribute.values, (value) => out.message(10, () => this.#tensor(value, value.name)))
        break
      case 'graphs':
        out.int(20, 10)
        out.list(attribute.values, (value) => out.message(11, () => this.#graph(value)))
        break
      case 'types':
        out.int(20, 14)
        out.list(attribute.values, (value) => out.message(15, () => this.#type(value)))
        break
      case 'sparses':
        out.list(attribute.values, (value) => out.message(23, () => this.#sparse(value, value.values.name)))
        out.int(20, 12)
    }
  }

  #sparse({ values, indices, dims }: SparseTensorValue, name: string): void {
    this.out.ints(3, dims)
    this.out.message(2, () => this.#tensor(indices, indices.name))
    this.out.message(1, () => this.#tensor(values, name))
  }

  #tensor(tensor: TensorValue, name: string): void {
    const { out } = this
    const stored = this.#stored.get(tensor)
    if (stored !== undefined) {
      out.int(14, 1)
      const { location, offset, length } = stored
      this.#entries(13, new Map(Object.entries({ location, offset: String(offset), length: String(length) })))
    } else this.#tensorData(tensor)
    this.#optional(8, name)
    if (stored === undefined && tensor.data.kind === 'strings')
      out.list(tensor.data.values, (text) => out.bytes(6, text))
    out.int(2, DATA_TYPES[tensor.type])
    out.ints(1, tensor.dims)
  }

  #tensorData(tensor: TensorValue): void {
    const { data } = tensor
    const length = dataBytes(tensor)
    if (data.kind === 'range') this.out.range(9, data)
    else if (data.kind === 'bytes' && length > 0) this.out.bytes(9, data.bytes)
  }

  #value({ name, type }: ValueInfo): void {
    if (type !== null) this.out.message(2, () => this.#type(type))
    this.#text(1, name)
  }

  #type(type: ValueType | null): void {
    if (type === null) return
    const { out } = this
    switch (type.kind) {
      case 'tensor':
      case 'sparse':
        out.message(type.kind === 'tensor' ? 1 : 8, () => {
          const { shape } = type
          if (shape !== null) {
            out.message(2, () => out.list(shape, (size) => out.message(1, () => this.#dimension(size))))
          }
          out.int(1, DATA_TYPES[type.type])
        })
        break
      case 'map':
        out.message(5, () => {
          if (type.value !== null) out.message(2, () => this.#type(type.value))
          out.int(1, DATA_TYPES[type.key])
        })
        break
      default:
        out.message(type.kind === 'sequence' ? 4 : 9, () => {
          if (type.element !== null) out.message(1, () => this.#type(type.element))
        })
    }
  }

  #dimension(size: Dimension): void {
    if (typeof size === 'number') this.out.int(1, size)
    else if (size !== null) this.#text(2, size)
  }

  #opsets(field: number, opsets: ReadonlyMap<string, number>): void {
    this.out.list(opsets, ([domain, version]) =>
      this.out.message(field, () => {
        this.out.int(2, version)
        this.#text(1, domain)
      }),
    )
  }

  #entries(field: number, entries: ReadonlyMap<string, string>): void {
    this.out.list(entries, ([key, value]) =>
      this.out.message(field, () => {
        this.#text(2, value)
        this.#text(1, key)
      }),
    )
  }

  #optional(field: number, text: string): void {
    if (text !== '') this.#text(field, text)
  }

  #text(field: number, text: string): void {
    if (!text.isWellFormed()) throw new OnnxUnwritableError(this.#path, `the name ${shown(text)} is half a character`)
    this.out.string(field, text)
  }
}
