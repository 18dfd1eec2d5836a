/** The architectures that weft runs; the first that a file's own name fits is taken. */
import type { Architecture } from './architecture.ts'
import { GEMMA } from './gemma.ts'
import { GEMMA2 } from './gemma2.ts'
import { GEMMA3 } from './gemma3.ts'
import { LLAMA } from './llama.ts'
import { MISTRAL } from './mistral.ts'
import { PHI3 } from './phi3.ts'
import { QWEN2 } from './qwen2.ts'
import { QWEN3 } from './qwen3.ts'
import { SMOLLM3 } from './smollm3.ts'
import { STABLELM } from './stablelm.ts'

export { layersOf } from './architecture.ts'
export type { Architecture, LayerPattern } from './architecture.ts'
export { decoderShape } from './decoder-shape.ts'
export type { RopeFacts, ShapeFacts, WindowFacts } from './decoder-shape.ts'
export { checkFactors, linearRope, llama3Factors, longRope, longRopeAmplitude, yarnRope } from './rope-scaling.ts'
export type { RopeScaling } from './rope-scaling.ts'

export const ARCHITECTURES: readonly Architecture[] = [
  LLAMA,
  MISTRAL,
  QWEN2,
  QWEN3,
  GEMMA,
  GEMMA2,
  GEMMA3,
  PHI3,
  SMOLLM3,
  STABLELM,
]
