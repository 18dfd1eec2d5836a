/** What every reader makes of a model file: the importer knows no formats. */
import type { DecoderShape } from '../manifest.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import type { FileTensor } from './gguf-tensors.ts'

export interface SourceModel {
  readonly format: 'gguf' | 'llama2c' | 'safetensors'
  readonly license: string
  readonly shape: DecoderShape
  /** By GGUF's names; the tensors of the shape, all of them and no others. */
  readonly tensors: ReadonlyMap<string, FileTensor>
  readonly tokenizer: TokenizerDefinition
}
