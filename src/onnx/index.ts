/** ONNX graphs: built, stored and run. */
export { findBlockSums } from './block-sums.ts'
export type { BlockSums, BlockSumsJob } from './block-sums.ts'
export { createOrtEngine, discardOutput, OPTIMIZATION_LEVELS, TENSOR_ARRAYS } from './engine.ts'
export type { AnyTensor, Engine, Graph, LoadOptions, Optimization, StringTensor, Tensor } from './engine.ts'
export { EngineError, ONNX_ERRORS, PrepackedDiffersError } from './errors.ts'
export { plainKernel } from './kernel-id.ts'
export { ELEMENT, GraphBuilder, MICROSOFT } from './graph.ts'
export type { AttributeValue, Dim, ElementType, NodeOptions, PrepackedForm, StoredTensor } from './graph.ts'
export { prepackWeights } from './prepacked.ts'
export type { Prepacked, PrepackJob } from './prepacked.ts'
export type { StoredRange } from './prepacked-whole.ts'
export { WeightFile } from './weight-file.ts'
export type { WeightSink } from './weight-file.ts'
export {
  assignParts,
  balanceOf,
  blocksOf,
  checkInChild,
  CUT_ERRORS,
  factsOf,
  OnnxCutsError,
  OnnxMemoryLimitError,
  OnnxSplitDiffersError,
  requireWholeMemory,
  runCheck,
  learnTypes,
  NOMINAL_SIZES,
  observer,
  splitOnnx,
} from './cut/index.ts'
export type {
  Balance,
  CheckChildNeeds,
  CheckResult,
  CheckTask,
  MemoryLimit,
  PlannedInput,
  PlannedOutput,
  PlannedPartition,
  PlannedValue,
  SplitOnnxNeeds,
  SplitOnnxRequest,
  SplitPlan,
  Wire,
} from './cut/index.ts'
export {
  checkModel,
  constantsToInitializers,
  DATA_TYPES,
  dataTypeOf,
  definedValues,
  freshNames,
  heldElements,
  inlineFunctions,
  NO_ENTRIES,
  nodeReads,
  RangeSource,
  readModel,
  readTensor,
  renameValues,
  shown,
  shownList,
  subgraphs,
  tensorBytes,
  withSubgraphs,
  writeModel,
} from './ir/index.ts'
export type {
  Attribute,
  DataType,
  Dimension,
  FreshNames,
  Graph as GraphForm,
  Model,
  Node,
  Shape,
  TensorValue,
  ValueInfo,
  ValueType,
} from './ir/index.ts'
export { dimensionSize, inferShapes, nodeCosts, valueBytes } from './shapes/index.ts'
export type { InferenceOptions, InferredGraph, KnownTensor } from './shapes/index.ts'
