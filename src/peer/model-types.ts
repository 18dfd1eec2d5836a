/** Models as a peer tells of them. */
import type { BoundaryType, DecoderText, EncoderText, WeightFormat } from '../models/index.ts'
import type { QualityReport } from '../compress/index.ts'

export interface ModelSummary {
  readonly model: string
  readonly digest: string
  readonly bytes: number
  readonly blocks: number
  readonly license: string
  /** All tensors are in this peer's store. */
  readonly local: boolean
  /** Peers that hold its manifest. */
  readonly holders: readonly string[]
  /** Blocks that a ready stage covers, of all. */
  readonly covered: number
  /** The catalogue could fetch it. */
  readonly available: boolean
  /** What it does with text, where it was an ONNX file with a tokenizer and its manifest is here. */
  readonly text?: Pick<EncoderText, 'kind' | 'dimensions' | 'context'> | Pick<DecoderText, 'kind' | 'context'>
}

export interface ModelInfo {
  readonly schema: 'weft.model/1'
  readonly model: string
  readonly digest: string
  readonly blocks: number
  readonly bytes: number
  readonly boundary: BoundaryType
  readonly license: string
  readonly source: string
  /** What the weight formats cost, where that was measured. */
  readonly quality?: QualityReport
}

export interface ImportRequest {
  readonly source: string
  readonly name?: string
  readonly weights?: WeightFormat
  /** Whether the weight formats are measured. @default 'auto': where there is one to choose, or one to be judged */
  readonly measure?: 'auto' | 'always' | 'never'
  /** Text to measure on: 1,000 to 200,000 characters. @default a page of weft's own */
  readonly calibration?: string
  /** From the source itself, also where a peer has it or fetches it. @default false */
  readonly alone?: boolean
}
