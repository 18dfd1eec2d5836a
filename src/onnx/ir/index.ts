/** The one intermediate form: ONNX models as plain data. */
export { DATA_TYPES, NO_ENTRIES } from './types.ts'
export type {
  Attribute,
  DataType,
  Dimension,
  Graph,
  Model,
  Node,
  OnnxFunction,
  Shape,
  SparseTensorValue,
  TensorBytes,
  TensorValue,
  ValueInfo,
  ValueType,
} from './types.ts'
export { graphCaptures, nodeReads, subgraphs } from './uses.ts'
