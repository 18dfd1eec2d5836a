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
export { checkModel } from './check-model.ts'
export { constantsToInitializers, constantTensor, definedValues, freshNames, renameValues, withGraph } from './edit.ts'
export type { FreshNames } from './edit.ts'
export { withSubgraphs } from './check-nodes.ts'
export { dataTypeOf, ELEMENT_BITS, elementCount, tensorBytes } from './elements.ts'
export {
  CyclicGraphError,
  DanglingValueError,
  DuplicateDefinitionError,
  ExternalDataError,
  ExternalDataOutsideError,
  FunctionError,
  IR_ERRORS,
  MissingOpsetError,
  NotOnnxError,
  OnnxLimitError,
  OnnxMalformedError,
  OnnxUnreadableError,
  OnnxUnsupportedError,
  OnnxUnwritableError,
  TensorReadError,
  TensorSizeError,
} from './errors.ts'
export { inlineFunctions } from './inline-functions.ts'
export { READ_LIMITS } from './limits.ts'
export type { ReadLimits } from './limits.ts'
export { PIECE_BYTES, RangeSource } from './range-source.ts'
export { readModel } from './read-model.ts'
export { heldElements, readTensor } from './read-tensor.ts'
export type { Elements, ReadTensorOptions } from './read-tensor.ts'
export { shown, shownList } from './shown.ts'
export { sortNodes } from './sort-nodes.ts'
export type { Sorted } from './sort-nodes.ts'
export { writeModel } from './write-model.ts'
export type { WriteOptions, WrittenModel } from './write-model.ts'
