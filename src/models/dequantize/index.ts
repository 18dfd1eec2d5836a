/** Source tensors as float32, or as the integers and scales that they are made of. */
export { dequantize } from './dequantize.ts'
export { quantizeBlocks } from './quantize.ts'
export { isFloatType, SOURCE_TYPES, sourceBytes } from './types.ts'
export type { FloatType, QuantizedType, SourceTypeInfo } from './types.ts'
export { unpackQuants } from './unpack.ts'
export type { BlockQuants } from './unpack.ts'
export { floatsToHalves, halvesToFloats } from './half.ts'
