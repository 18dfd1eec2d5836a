/** TensorProto and SparseTensorProto: large raw bytes stay where they lie, typed fields become bytes. */
import { ELEMENT_BITS, dataTypeOf, elementCount, tensorBytes } from './elements.ts'
import { ExternalDataError, OnnxUnsupportedError, TensorSizeError } from './errors.ts'
import { count, ELEMENT_BYTES, readEntry } from './reading.ts'
import type { Reading } from './reading.ts'
import { shown } from './shown.ts'
import type { DataType, SparseTensorValue, TensorBytes, TensorValue } from './types.ts'
import type { Span } from './wire-reader.ts'

/** Values of typed fields, in the order of the file, a packed run each; most files have one or none. */
interface Fields {
  name: string
  number: number
  readonly dims: number[]
  raw: Span | undefined
  readonly typed: Map<TypedField, Span[]>
  readonly strings: Uint8Array[]
  isExternal: boolean
  readonly external: Map<string, string>
}

type TypedField = 'float_data' | 'int32_data' | 'int64_data' | 'double_data' | 'uint64_data'
const TYPED_FIELDS: ReadonlyMap<number, TypedField> = new Map([
  [4, 'float_data'],
  [5, 'int32_data'],
  [7, 'int64_data'],
  [10, 'double_data'],
  [11, 'uint64_data'],
])

export function readTensorProto(reading: Reading): TensorValue {
  const { wire } = reading
  count(reading, 'tensors')
  return wire.message('tensor', () => {
    const fields = readFields(reading)
    const end = wire.position
    const type = dataTypeOf(fields.number)
    if (type === undefined) throw unknownType(fields.number, fields.name)
    const tensor = { name: fields.name, type, dims: fields.dims, data: readData(reading, fields, type) }
    // Typed values were read again, now that their type is known.
    wire.seek(end)
    return tensor
  })
}

export function readSparseTensor(reading: Reading): SparseTensorValue {
  const { wire } = reading
  return wire.message('sparse tensor', () => {
    const dims: number[] = []
    let values: TensorValue | undefined
    let indices: TensorValue | undefined
    while (wire.next()) {
      if (wire.field === 1 && values === undefined) values = readTensorProto(reading)
      else if (wire.field === 2 && indices === undefined) indices = readTensorProto(reading)
      else if (wire.field === 3) wire.integers(dims)
      else if (wire.field > 2) wire.skip()
      else wire.fail('its values or indices are given twice')
    }
    if (values === undefined || indices === undefined) return wire.fail('it has no values or no indices')
    elementCount(values.name, dims)
    if (indices.type !== 'int64') wire.fail('its indices are not int64')
    return { values, indices, dims }
  })
}

export function unknownType(number: number, name: string): OnnxUnsupportedError {
  const known = number === 0 ? 'no element type is given' : `there is no element type ${number} up to ONNX 1.21`
  return new OnnxUnsupportedError(`${known} (${shown(name)})`, { number })
}

function readFields(reading: Reading): Fields {
  const { wire } = reading
  const fields: Fields = {
    name: '',
    number: 0,
    dims: [],
    raw: undefined,
    typed: new Map(),
    strings: [],
    isExternal: false,
    external: new Map(),
  }
  while (wire.next()) {
    const typed = TYPED_FIELDS.get(wire.field)
    if (typed !== undefined) addSpan(reading, fields, typed)
    else if (wire.field === 1) wire.integers(fields.dims)
    else if (wire.field === 2) fields.number = wire.int32()
    else if (wire.field === 3) wire.fail('segments of tensors are not supported')
    else if (wire.field === 6) {
      wire.hold(8 * ELEMENT_BYTES)
      fields.strings.push(wire.bytes())
    } else if (wire.field === 8) fields.name = wire.string()
    else if (wire.field === 9) {
      if (fields.raw !== undefined) wire.fail('raw_data is given twice')
      fields.raw = wire.span()
    } else if (wire.field === 13) readEntry(reading, fields.external)
    else if (wire.field === 14) fields.isExternal = wire.int32() === 1
    else wire.skip()
  }
  return fields
}

function addSpan({ wire }: Reading, fields: Fields, field: TypedField): void {
  const span = wire.valueSpan()
  if (span.length === 0) return
  const spans = fields.typed.get(field)
  wire.hold(4 * ELEMENT_BYTES)
  if (spans === undefined) fields.typed.set(field, [span])
  else spans.push(span)
}

function readData(reading: Reading, fields: Fields, type: DataType): TensorBytes {
  const kinds = [fields.raw !== undefined && fields.raw.length > 0, fields.strings.length > 0, fields.isExternal]
  if (kinds.filter(Boolean).length + fields.typed.size > 1) reading.wire.fail('a tensor has its data in two fields')
  if (type === 'string') return stringData(reading, fields)
  if (fields.strings.length > 0) reading.wire.fail(`a tensor of ${type} has strings`)
  const length = tensorBytes(fields.name, type, fields.dims)
  if (fields.isExternal) return externalData(reading, fields, length)
  const [typed] = fields.typed
  if (typed !== undefined) return typedData(reading, fields, { type, length, field: typed[0], spans: typed[1] })
  const raw = fields.raw ?? { offset: 0, length: 0 }
  needLength(fields, length, raw.length)
  return placed(reading, raw)
}

function stringData({ wire }: Reading, fields: Fields): TensorBytes {
  if (fields.isExternal || fields.typed.size > 0 || (fields.raw?.length ?? 0) > 0) {
    wire.fail('a tensor of strings has its data elsewhere than in string_data')
  }
  const expected = elementCount(fields.name, fields.dims)
  if (fields.strings.length !== expected) {
    throw new TensorSizeError(fields.name, `it has ${fields.strings.length} strings, and its shape ${expected}`)
  }
  return { kind: 'strings', values: fields.strings }
}

/** In memory when small, else where it lies. */
function placed({ wire, limits }: Reading, span: Span): TensorBytes {
  if (span.length >= limits.rangeFrom) return { kind: 'range', path: wire.path, ...span }
  return { kind: 'bytes', bytes: wire.copy(span) }
}

function needLength(fields: Fields, expected: number, found: number): void {
  if (expected === found) return
  throw new TensorSizeError(fields.name, `it has ${found} bytes, and its shape wants ${expected}`, {
    dims: fields.dims.slice(0, 16),
    expected,
    found,
  })
}

function externalData(reading: Reading, fields: Fields, length: number): TensorBytes {
  const { wire, external } = reading
  const location = fields.external.get('location') ?? ''
  const wrong = (why: string): never => {
    throw new ExternalDataError(wire.path, fields.name, location, why)
  }
  const number = (key: string): number | undefined => {
    const text = fields.external.get(key)
    if (text === undefined || text === '') return undefined
    const value = Number(text)
    return /^\d{1,16}$/.test(text) && Number.isSafeInteger(value) ? value : wrong(`its ${key} is no count of bytes`)
  }
  const offset = number('offset') ?? 0
  const given = number('length')
  const { path, size } = external.find(fields.name, location)
  if (given !== undefined) needLength(fields, length, given)
  if (offset + length > size) wrong(`it ends at byte ${size}, before ${offset + length}`)
  if (length === 0) return { kind: 'bytes', bytes: new Uint8Array() }
  return { kind: 'range', path, offset, length }
}

interface Typed {
  readonly type: DataType
  readonly length: number
  readonly field: TypedField
  readonly spans: readonly Span[]
}

const FLOATS: readonly DataType[] = ['float32', 'complex64']
const DOUBLES: readonly DataType[] = ['float64', 'complex128']
const UNSIGNED: readonly DataType[] = ['uint32', 'uint64']
const WIDE: readonly DataType[] = [...FLOATS, ...DOUBLES, ...UNSIGNED, 'int64', 'string']

function belongs(field: TypedField, type: DataType): boolean {
  if (field === 'float_data') return FLOATS.includes(type)
  if (field === 'double_data') return DOUBLES.includes(type)
  if (field === 'uint64_data') return UNSIGNED.includes(type)
  return field === 'int64_data' ? type === 'int64' : !WIDE.includes(type)
}

function typedData(reading: Reading, fields: Fields, typed: Typed): TensorBytes {
  const { wire } = reading
  const { type, length, field, spans } = typed
  if (!belongs(field, type)) wire.fail(`a tensor of ${type} has its data in ${field}`)
  const total = spans.reduce((sum, span) => sum + span.length, 0)
  if (field === 'float_data' || field === 'double_data') {
    needLength(fields, length, total)
    return spans.length === 1 ? placed(reading, spans[0]!) : { kind: 'bytes', bytes: joined(reading, spans, length) }
  }
  return { kind: 'bytes', bytes: fromVarints(reading, fields, typed, total) }
}

function joined({ wire }: Reading, spans: readonly Span[], length: number): Uint8Array {
  wire.hold(length)
  const bytes = new Uint8Array(length)
  let at = 0
  for (const span of spans) {
    bytes.set(wire.copy(span), at)
    at += span.length
  }
  return bytes
}

/** Numbers of one to ten bytes each; each gives an element, or one byte of elements that share it. */
function fromVarints({ wire }: Reading, fields: Fields, { type, length, spans }: Typed, total: number): Uint8Array {
  const width = Math.max(8, ELEMENT_BITS[type]) / 8
  const expected = length / width
  // Before the memory is taken: a number has a byte at least.
  if (expected > total) needLength(fields, length, total)
  wire.hold(length)
  const bytes = Buffer.alloc(length)
  let found = 0
  for (const span of spans) {
    wire.varints(span, (low, high) => {
      if (found < expected) putNumber(bytes, found * width, width, low, high)
      found++
    })
  }
  needLength(fields, length, found * width)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, length)
}

function putNumber(bytes: Buffer, at: number, width: number, low: number, high: number): void {
  if (width === 1) bytes[at] = low
  else if (width === 2) bytes.writeUInt16LE(low & 0xffff, at)
  else {
    bytes.writeInt32LE(low | 0, at)
    if (width === 8) bytes.writeInt32LE(high | 0, at + 4)
  }
}
