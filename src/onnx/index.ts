/** ONNX graphs: built, stored and run. */
export { createOrtEngine } from './engine.ts'
export type { Engine, Graph, LoadOptions, Tensor } from './engine.ts'
export { EngineError, ONNX_ERRORS, PrepackedDiffersError } from './errors.ts'
export { ELEMENT, GraphBuilder, MICROSOFT } from './graph.ts'
export type { AttributeValue, Dim, ElementType, NodeOptions, PrepackedForm, StoredTensor } from './graph.ts'
export { prepackWeights } from './prepacked.ts'
export type { PrepackJob } from './prepacked.ts'
export { WeightFile } from './weight-file.ts'
