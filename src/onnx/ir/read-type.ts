/** TypeProto and ValueInfoProto. Denotations and documentation are not kept. */
import { dataTypeOf } from './elements.ts'
import { OnnxUnsupportedError } from './errors.ts'
import { ELEMENT_BYTES, OBJECT_BYTES } from './reading.ts'
import type { Reading } from './reading.ts'
import { unknownType } from './read-tensor-proto.ts'
import type { DataType, Dimension, Shape, ValueInfo, ValueType } from './types.ts'

export function readValueInfo(reading: Reading): ValueInfo {
  const { wire } = reading
  wire.hold(OBJECT_BYTES)
  return wire.message('value', () => {
    let name = ''
    let type: ValueType | null = null
    while (wire.next()) {
      if (wire.field === 1) name = wire.string()
      else if (wire.field === 2) {
        if (type !== null) wire.fail('a type is given twice')
        type = readType(reading)
      } else wire.skip()
    }
    return { name, type }
  })
}

const KINDS: ReadonlySet<number> = new Set([1, 4, 5, 7, 8, 9])

/** `null` for a type that says nothing. @throws OnnxUnsupportedError for opaque types, which no engine runs */
export function readType(reading: Reading): ValueType | null {
  const { wire } = reading
  wire.hold(OBJECT_BYTES)
  return wire.message('type', () => {
    let type: ValueType | null = null
    while (wire.next()) {
      if (!KINDS.has(wire.field)) wire.skip()
      else if (type === null) type = readKind(reading)
      else wire.fail('a type is of two kinds')
    }
    return type
  })
}

function readKind(reading: Reading): ValueType {
  switch (reading.wire.field) {
    case 1:
      return readTensorType(reading, 'tensor')
    case 8:
      return readTensorType(reading, 'sparse')
    case 4:
      return { kind: 'sequence', element: readElement(reading, 'sequence type') }
    case 9:
      return { kind: 'optional', element: readElement(reading, 'optional type') }
    case 5:
      return readMapType(reading)
    default:
      throw new OnnxUnsupportedError('it has a value of an opaque type')
  }
}

function readElement(reading: Reading, label: string): ValueType | null {
  const { wire } = reading
  return wire.message(label, () => {
    let element: ValueType | null = null
    while (wire.next()) {
      if (wire.field === 1) element = readType(reading)
      else wire.skip()
    }
    return element
  })
}

function readMapType(reading: Reading): ValueType {
  const { wire } = reading
  return wire.message('map type', () => {
    let key = 0
    let value: ValueType | null = null
    while (wire.next()) {
      if (wire.field === 1) key = wire.int32()
      else if (wire.field === 2) value = readType(reading)
      else wire.skip()
    }
    return { kind: 'map', key: elementType(key), value }
  })
}

function readTensorType(reading: Reading, kind: 'tensor' | 'sparse'): ValueType {
  const { wire } = reading
  return wire.message('tensor type', () => {
    let type = 0
    let shape: Shape = null
    while (wire.next()) {
      if (wire.field === 1) type = wire.int32()
      else if (wire.field === 2) shape = readShape(reading)
      else wire.skip()
    }
    return { kind, type: elementType(type), shape }
  })
}

function elementType(number: number): DataType {
  const type = dataTypeOf(number)
  if (type === undefined) throw unknownType(number, 'a value')
  return type
}

function readShape(reading: Reading): Shape {
  const { wire } = reading
  return wire.message('shape', () => {
    const dims: Dimension[] = []
    while (wire.next()) {
      if (wire.field === 1) dims.push(readDimension(reading))
      else wire.skip()
    }
    return dims
  })
}

/** Exporters write -1, or an empty name, for a size that is free: the same as none. */
function readDimension({ wire }: Reading): Dimension {
  wire.hold(ELEMENT_BYTES)
  return wire.message('dimension', () => {
    let dimension: Dimension = null
    while (wire.next()) {
      if (wire.field === 1) {
        const size = wire.integer()
        dimension = size < 0 ? null : size
      } else if (wire.field === 2) dimension = wire.string() || null
      else wire.skip()
    }
    return dimension
  })
}
