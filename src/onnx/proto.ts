/**
 * The part of the ONNX file format that weft reads and writes, as data for protobufjs: field names, numbers and
 * types of `onnx.proto` (ONNX 1.19, IR version 10). Unknown fields of a file that is only passed on are not kept.
 */
import protobuf from 'protobufjs'

type FieldSpec = readonly [name: string, id: number, type: string, rule?: 'repeated' | 'packed']

const MESSAGES: Readonly<Record<string, readonly FieldSpec[]>> = {
  AttributeProto: [
    ['name', 1, 'string'],
    ['f', 2, 'float'],
    ['i', 3, 'int64'],
    ['s', 4, 'bytes'],
    ['t', 5, 'TensorProto'],
    ['g', 6, 'GraphProto'],
    ['floats', 7, 'float', 'repeated'],
    ['ints', 8, 'int64', 'repeated'],
    ['strings', 9, 'bytes', 'repeated'],
    ['type', 20, 'int32'],
  ],
  ValueInfoProto: [
    ['name', 1, 'string'],
    ['type', 2, 'TypeProto'],
  ],
  NodeProto: [
    ['input', 1, 'string', 'repeated'],
    ['output', 2, 'string', 'repeated'],
    ['name', 3, 'string'],
    ['opType', 4, 'string'],
    ['attribute', 5, 'AttributeProto', 'repeated'],
    ['domain', 7, 'string'],
  ],
  ModelProto: [
    ['irVersion', 1, 'int64'],
    ['producerName', 2, 'string'],
    ['producerVersion', 3, 'string'],
    ['graph', 7, 'GraphProto'],
    ['opsetImport', 8, 'OperatorSetIdProto', 'repeated'],
    ['metadataProps', 14, 'StringStringEntryProto', 'repeated'],
  ],
  StringStringEntryProto: [
    ['key', 1, 'string'],
    ['value', 2, 'string'],
  ],
  GraphProto: [
    ['node', 1, 'NodeProto', 'repeated'],
    ['name', 2, 'string'],
    ['initializer', 5, 'TensorProto', 'repeated'],
    ['input', 11, 'ValueInfoProto', 'repeated'],
    ['output', 12, 'ValueInfoProto', 'repeated'],
  ],
  TensorProto: [
    ['dims', 1, 'int64', 'packed'],
    ['dataType', 2, 'int32'],
    ['name', 8, 'string'],
    ['rawData', 9, 'bytes'],
    ['externalData', 13, 'StringStringEntryProto', 'repeated'],
    ['dataLocation', 14, 'int32'],
  ],
  TensorShapeProto: [['dim', 1, 'Dimension', 'repeated']],
  Dimension: [
    ['dimValue', 1, 'int64'],
    ['dimParam', 2, 'string'],
  ],
  TypeProto: [['tensorType', 1, 'TensorTypeProto']],
  TensorTypeProto: [
    ['elemType', 1, 'int32'],
    ['shape', 2, 'TensorShapeProto'],
  ],
  OperatorSetIdProto: [
    ['domain', 1, 'string'],
    ['version', 2, 'int64'],
  ],
}

function build(): protobuf.Root {
  const root = new protobuf.Root()
  for (const [name, fields] of Object.entries(MESSAGES)) {
    const message = new protobuf.Type(name)
    for (const [field, id, type, rule] of fields) {
      const packed = rule === 'packed' || (rule === 'repeated' && (type === 'int64' || type === 'float'))
      message.add(
        new protobuf.Field(field, id, type, rule === undefined ? undefined : 'repeated', undefined, { packed }),
      )
    }
    root.add(message)
  }
  return root
}

const root = build()

/** The message type of a whole ONNX file. */
export const ModelProto: protobuf.Type = root.lookupType('ModelProto')
