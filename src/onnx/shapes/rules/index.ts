/** All families in one table. */
import { registryOf } from '../registry.ts'
import { ATTENTION } from './attention.ts'
import { CLASSICAL_FAMILY } from './classical.ts'
import { CONVOLUTION } from './convolution.ts'
import { ELEMENTWISE } from './elementwise.ts'
import { EXTENSIONS } from './extensions.ts'
import { GENERATION } from './generation.ts'
import { INDEXING } from './indexing.ts'
import { NORMALIZATION } from './normalization.ts'
import { PRODUCT } from './product.ts'
import { QUANTIZATION } from './quantization.ts'
import { RECURRENT } from './recurrent.ts'
import { REDUCTION } from './reduction.ts'
import { RESAMPLING } from './resampling.ts'
import { SEQUENCE } from './sequence.ts'
import { SHAPING } from './shaping.ts'
import { SIGNAL } from './signal.ts'
import { SLICING } from './slicing.ts'

export const RULES = registryOf([
  ...ATTENTION,
  ...CLASSICAL_FAMILY,
  ...CONVOLUTION,
  ...ELEMENTWISE,
  ...EXTENSIONS,
  ...GENERATION,
  ...INDEXING,
  ...NORMALIZATION,
  ...PRODUCT,
  ...QUANTIZATION,
  ...RECURRENT,
  ...REDUCTION,
  ...RESAMPLING,
  ...SEQUENCE,
  ...SHAPING,
  ...SIGNAL,
  ...SLICING,
])
