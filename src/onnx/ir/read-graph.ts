/** GraphProto, NodeProto and AttributeProto, which hold one another. */
import { DuplicateDefinitionError } from './errors.ts'
import { count, ELEMENT_BYTES, OBJECT_BYTES, readEntry, readText } from './reading.ts'
import type { Reading } from './reading.ts'
import { readSparseTensor, readTensorProto } from './read-tensor-proto.ts'
import { readType, readValueInfo } from './read-type.ts'
import { shown } from './shown.ts'
import { NO_ENTRIES } from './types.ts'
import type { Attribute, Graph, Node, SparseTensorValue, TensorValue, ValueInfo, ValueType } from './types.ts'

export function readGraph(reading: Reading): Graph {
  const { wire } = reading
  wire.hold(8 * OBJECT_BYTES)
  return wire.message('graph', () => {
    let name = ''
    const nodes: Node[] = []
    const inputs: ValueInfo[] = []
    const outputs: ValueInfo[] = []
    const initializers = new Map<string, TensorValue>()
    const sparseInitializers = new Map<string, SparseTensorValue>()
    const values = new Map<string, ValueInfo>()
    const quantization = new Map<string, ReadonlyMap<string, string>>()
    const metadata = new Map<string, string>()
    while (wire.next()) {
      switch (wire.field) {
        case 1:
          nodes.push(readNode(reading))
          break
        case 2:
          name = wire.string()
          break
        case 5:
          addInitializer(initializers, readTensorProto(reading))
          break
        case 11:
          inputs.push(readValueInfo(reading))
          break
        case 12:
          outputs.push(readValueInfo(reading))
          break
        case 13:
          addValue(values, readValueInfo(reading))
          break
        case 14:
          readAnnotation(reading, quantization)
          break
        case 15: {
          const sparse = readSparseTensor(reading)
          if (sparseInitializers.has(sparse.values.name)) throw twice('sparse initializer', sparse.values.name)
          sparseInitializers.set(sparse.values.name, sparse)
          break
        }
        case 16:
          readEntry(reading, metadata)
          break
        default:
          wire.skip()
      }
    }
    return { name, nodes, inputs, outputs, initializers, sparseInitializers, values, quantization, metadata }
  })
}

const twice = (what: string, name: string): DuplicateDefinitionError =>
  new DuplicateDefinitionError('a graph of the file', what, name)

function addInitializer(initializers: Map<string, TensorValue>, tensor: TensorValue): void {
  if (initializers.has(tensor.name)) throw twice('initializer', tensor.name)
  initializers.set(tensor.name, tensor)
}

export function addValue(values: Map<string, ValueInfo>, value: ValueInfo): void {
  values.set(value.name, value)
}

function readAnnotation(reading: Reading, into: Map<string, ReadonlyMap<string, string>>): void {
  const { wire } = reading
  wire.hold(OBJECT_BYTES)
  wire.message('quantization annotation', () => {
    let name = ''
    const entries = new Map<string, string>()
    while (wire.next()) {
      if (wire.field === 1) name = wire.string()
      else if (wire.field === 2) readEntry(reading, entries)
      else wire.skip()
    }
    into.set(name, entries)
  })
}

export function readNode(reading: Reading): Node {
  const { wire } = reading
  count(reading, 'nodes')
  return wire.message('node', () => {
    const text = { name: '', opType: '', domain: '', overload: '' }
    const inputs: string[] = []
    const outputs: string[] = []
    let attributes: Map<string, Attribute> | undefined
    let metadata: Map<string, string> | undefined
    while (wire.next()) {
      switch (wire.field) {
        case 1:
          readText(reading, inputs)
          break
        case 2:
          readText(reading, outputs)
          break
        case 3:
          text.name = wire.string()
          break
        case 4:
          text.opType = wire.string()
          break
        case 5:
          readAttribute(reading, (attributes ??= new Map()))
          break
        case 7:
          text.domain = readDomain(reading)
          break
        case 8:
          text.overload = wire.string()
          break
        case 9:
          readEntry(reading, (metadata ??= new Map()))
          break
        default:
          wire.skip()
      }
    }
    if (text.opType === '') wire.fail('a node has no operator')
    return { ...text, inputs, outputs, attributes: attributes ?? NO_ENTRIES, metadata: metadata ?? NO_ENTRIES }
  })
}

/** ONNX's own domain has two names. */
export function readDomain({ wire }: Reading): string {
  const domain = wire.string()
  return domain === 'ai.onnx' ? '' : domain
}

/** By the number of AttributeProto.AttributeType. */
const KINDS = [
  '',
  'float',
  'int',
  'string',
  'tensor',
  'graph',
  'floats',
  'ints',
  'strings',
  'tensors',
  'graphs',
  'sparse',
  'sparses',
  'type',
  'types',
] as const

/** Adds the attribute by its name. Files of before 2017's end do not say the type: there it is the field that is set. */
export function readAttribute(reading: Reading, into: Map<string, Attribute>): void {
  const { wire } = reading
  wire.hold(OBJECT_BYTES)
  wire.message('attribute', () => {
    const found = readFields(reading)
    const { name, reference, type } = found
    if (into.has(name)) throw new DuplicateDefinitionError(`a node of the file (${wire.where})`, 'attribute', name)
    if (reference !== '') {
      if (found.values.size > 0) wire.fail(`attribute ${shown(name)} has a value and refers to another one`)
      into.set(name, { kind: 'reference', name: reference, type })
      return
    }
    const kind = kindOf(reading, found)
    into.set(name, found.values.get(kind) ?? absent(reading, kind, name))
  })
}

function kindOf({ wire }: Reading, { name, type, values }: AttributeFields): Kind {
  const kinds = [...values.keys()]
  const kind = type === 0 && kinds.length === 1 ? kinds[0]! : (KINDS[type] ?? '')
  if (kind === '') return wire.fail(`attribute ${shown(name)} has no type that is known`)
  const other = kinds.find((present) => present !== kind)
  if (other !== undefined) wire.fail(`attribute ${shown(name)} is of type ${kind} and has a value of type ${other}`)
  return kind
}

type Kind = Exclude<Attribute['kind'], 'reference'>

interface AttributeFields {
  name: string
  reference: string
  type: number
  readonly values: Map<Kind, Attribute>
}

/** Writers leave out what is zero or empty. */
function absent({ wire }: Reading, kind: Kind, name: string): Attribute {
  switch (kind) {
    case 'float':
      return { kind, value: 0 }
    case 'int':
      return { kind, value: 0n }
    case 'string':
      return { kind, value: new Uint8Array() }
    case 'type':
      return { kind, value: null }
    case 'tensor':
    case 'sparse':
    case 'graph':
      return wire.fail(`attribute ${shown(name)} of type ${kind} has no value`)
    default:
      return { kind, values: [] }
  }
}

function readFields(reading: Reading): AttributeFields {
  const { wire } = reading
  const fields: AttributeFields = { name: '', reference: '', type: 0, values: new Map() }
  while (wire.next()) {
    if (wire.field === 1) fields.name = wire.string()
    else if (wire.field === 21) fields.reference = wire.string()
    else if (wire.field === 20) fields.type = wire.int32()
    else readValue(reading, fields.values)
  }
  return fields
}

function readValue(reading: Reading, values: Map<Kind, Attribute>): void {
  const { wire } = reading
  switch (wire.field) {
    case 2:
      values.set('float', { kind: 'float', value: wire.float() })
      break
    case 3:
      values.set('int', { kind: 'int', value: wire.int64() })
      break
    case 4:
      values.set('string', { kind: 'string', value: wire.bytes() })
      break
    case 5:
      once(reading, values, { kind: 'tensor', value: readTensorProto(reading) })
      break
    case 6:
      once(reading, values, { kind: 'graph', value: readGraph(reading) })
      break
    case 14:
      once(reading, values, { kind: 'type', value: readType(reading) })
      break
    case 22:
      once(reading, values, { kind: 'sparse', value: readSparseTensor(reading) })
      break
    default:
      readValues(reading, values)
  }
}

function once({ wire }: Reading, values: Map<Kind, Attribute>, attribute: Attribute & { kind: Kind }): void {
  if (values.has(attribute.kind)) wire.fail(`an attribute has its ${attribute.kind} twice`)
  values.set(attribute.kind, attribute)
}

function readValues(reading: Reading, values: Map<Kind, Attribute>): void {
  const { wire } = reading
  switch (wire.field) {
    case 7:
      return wire.floats(list(values, 'floats'))
    case 8:
      return wire.int64s(list(values, 'ints'))
    case 9:
      wire.hold(8 * ELEMENT_BYTES)
      list<Uint8Array>(values, 'strings').push(wire.bytes())
      return
    case 10:
      list<TensorValue>(values, 'tensors').push(readTensorProto(reading))
      return
    case 11:
      list<Graph>(values, 'graphs').push(readGraph(reading))
      return
    case 15:
      list<ValueType | null>(values, 'types').push(readType(reading))
      return
    case 23:
      list<SparseTensorValue>(values, 'sparses').push(readSparseTensor(reading))
      return
    default:
      wire.skip()
  }
}

/** The list of a repeated field, which is still being filled. */
function list<T>(values: Map<Kind, Attribute>, kind: Kind): T[] {
  const known = values.get(kind) as { readonly values: T[] } | undefined
  if (known !== undefined) return known.values
  const made: T[] = []
  values.set(kind, { kind, values: made } as unknown as Attribute)
  return made
}
