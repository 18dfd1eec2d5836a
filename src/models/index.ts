/** Model sources turned into blocks; tokenizers and chat templates. */
export type {
  Block,
  BlockErrors,
  BoundaryType,
  DecoderShape,
  ModelManifest,
  ModelQuality,
  SourceType,
  TensorRef,
  WeightFormat,
} from './manifest.ts'
export { TOKEN_TYPE, TOKENIZER_SCHEMA } from './tokenizer/definition.ts'
export type { TokenizerDefinition } from './tokenizer/definition.ts'
export { dequantize, floatsToHalves, halvesToFloats } from './dequantize/index.ts'
export { isFloatType, SOURCE_TYPES, sourceBytes } from './dequantize/index.ts'
export type { FloatType, QuantizedType, SourceTypeInfo } from './dequantize/index.ts'
export { unpackQuants } from './dequantize/index.ts'
export type { BlockQuants } from './dequantize/index.ts'
export { boundaryBytes, openEmbedding } from './llama/embedding.ts'
export type { Embedding } from './llama/embedding.ts'
export { ADAPTER_ERRORS, AdapterFileError } from './adapters/errors.ts'
export { ADAPTER_FILES, readAdapter, writeAdapter } from './adapters/peft.ts'
export type { Adapter, SoftPrompt } from './adapters/peft.ts'
export { summaryOf } from './adapters/stage-adapter.ts'
export type { AdapterJob, AdapterSummary } from './adapters/stage-adapter.ts'
export { placesOf } from './adapters/low-rank.ts'
export type { LowRankAdapter } from './adapters/low-rank.ts'
export { adapterGguf, readAdapterGguf } from './adapters/gguf-adapter.ts'
export { mergeAdapter } from './adapters/merge.ts'
export { HUB_LAYOUT_ERRORS, HubLayoutError } from './hub-layout/errors.ts'
export { HUB_FOLDER, writeHubDecoder } from './hub-layout/write-decoder.ts'
export type { ByteDecoder } from './hub-layout/write-decoder.ts'
export {
  EMBEDDING as EMBEDDING_TENSOR,
  OUTPUT as OUTPUT_TENSOR,
  OUTPUT_NORM as OUTPUT_NORM_TENSOR,
} from './decoder-tensors.ts'
export type { LayerPart } from './decoder-tensors.ts'
export { openSealed, sealAdapter } from './adapters/sealed.ts'
export { ADAPTER_MASK, placeOf, SLICE, slicesOf, stackedInput } from './llama/adapted/stacked.ts'
export { ADAPTED_PARTS, adapterInput, partSize } from './llama/adapted/adapter-parts.ts'
export type { AdaptedPart, PartSize } from './llama/adapted/adapter-parts.ts'
export { FrozenLayer, frozenHead } from './llama/adapted/train-blocks.ts'
export type { AdapterForm, TrainBlock } from './llama/adapted/train-blocks.ts'
export { writeRangeLayer } from './llama/trial/range-layer.ts'
export { textFeeds } from './llama/trial/text-layer.ts'
export type { TextRows } from './llama/trial/text-layer.ts'
export { trialHead, trialLayer } from './llama/trial/trial-block.ts'
export type { TrialBlock } from './llama/trial/trial-block.ts'
export { checkStageFiles, damagedBlobs } from './llama/check-stage.ts'
export type { StageCheckNeeds } from './llama/check-stage.ts'
export { removeStageFiles, stageFiles } from './llama/stage-files.ts'
export type { StageFiles } from './llama/stage-files.ts'
export { importAnyInChild, importModel } from './import/import.ts'
export type { ChildImportNeeds, ImportNeeds, ModelImportRequest } from './import/import.ts'
export type { WeightChoice, WeightChooser } from './import/settle.ts'
export { IMPORT_MEMORY, IMPORT_SILENCE_MS, outlineInChild, runInChild, stageAdapterInChild } from './import/child.ts'
export type { ModelOutline, OutlineBlock, OutlineJob } from './import/outline.ts'
export type { ChildEvent, ChildLimits, ChildNeeds, ChildWork } from './import/child.ts'
export type { ImportProgress, ProgressListener } from './sources/progress.ts'
export { makeBlock, tensorMemory } from './blocks.ts'
export { checkManifest, manifestDigest, MAX_MANIFEST_BYTES } from './manifest-check.ts'
export { loadManifest, loadManifests, removeManifest, saveManifest } from './manifest-files.ts'
export type { LoadedManifests } from './manifest-files.ts'
export { manifestAddresses, removeUnused } from './garbage.ts'
export { checkAnyManifest, checkGraphManifest, graphDigest } from './graph/check.ts'
export { decoderLayout, decoderText, stateBytes } from './graph/decoder-inputs.ts'
export type { CacheType, DecoderCache, DecoderInput, DecoderLayout, DecoderRole } from './graph/decoder-inputs.ts'
export { DecoderInputsError, GRAPH_MODEL_ERRORS, languageModel, ModelKindError } from './graph/errors.ts'
export { besideBlocks, isGraphManifest } from './graph/manifest.ts'
export type { AnyManifest, GraphBlock, GraphManifest, GraphShape, GraphTensor } from './graph/manifest.ts'
export type { GraphOutline } from './graph/outline-graph.ts'
export { graphFile } from './graph/open-graph.ts'
export { pooledVector } from './graph/pool-rows.ts'
export { encoderOf, tokenizerOf } from './graph/text-of.ts'
export type { DecoderText, EncoderText, GraphText, TextBlob } from './graph/text.ts'
export { keepStageRows, readStageParts, skeletonFile, stageTask } from './graph/stage.ts'
export type { StageParts, StageTask, StageWeightRow } from './graph/stage.ts'
export { checkModelName, isModelName, manifestFileName } from './model-name.ts'
export { createCatalogue } from './catalogue.ts'
export type { Catalogue, CatalogueEntry, CatalogueInit, CatalogueModel, CatalogueSource } from './catalogue.ts'
export {
  CatalogueError,
  ChecksumError,
  FetchError,
  ImportMemoryError,
  ImportProcessError,
  ImportSilentError,
  ManifestError,
  ModelExistsError,
  ModelFileError,
  ModelNameError,
  MODELS_ERRORS,
  SourceFileError,
  SourceSyntaxError,
  TensorBytesError,
  TokenizerDataError,
  UnknownModelError,
  UnsupportedModelError,
} from './errors.ts'
export { byteText } from './tokenizer/byte-alphabet.ts'
export { createTokenizer } from './tokenizer/tokenizer.ts'
export type {
  ChatMessage,
  DecodeOptions,
  EncodeChatOptions,
  EncodedChat,
  EncodeOptions,
  TextStream,
  Tokenizer,
  TokenizerNeeds,
  Tool,
  ToolCall,
} from './tokenizer/types.ts'
export {
  ChatMessageError,
  ChatTemplateError,
  TOKENIZER_ERRORS,
  TokenizerDefinitionError,
  UnknownPreTokenizerError,
  UnknownTokenError,
} from './tokenizer/errors.ts'
export { kernelHeadDim } from './llama/head-width.ts'
export { firstContext, firstRotaryRow } from './llama/rotary.ts'
export { writeBundle } from './bundle/write-bundle.ts'
export type { BundleRequest, WrittenBundle } from './bundle/write-bundle.ts'
export {
  BUNDLE_ERRORS,
  BundleChoiceError,
  BundleFileError,
  BundleIncompleteError,
  BundleTargetError,
  BundleUnwritableError,
} from './bundle/errors.ts'
export { MANIFEST as SPLIT_MANIFEST, openSplitDirectory } from './split/directory.ts'
export { splitModelFiles } from './split/split.ts'
export type { SplitNeeds, SplitProgress, SplitRequest } from './split/split.ts'
export type { SplitCheck, SplitManifest, SplitOutput, SplitPartition, SplitValue } from './split/types.ts'
export {
  SPLIT_ERRORS,
  SplitCutsError,
  SplitDiffersError,
  SplitIncompleteError,
  SplitTargetError,
  SplitUnwritableError,
} from './split/errors.ts'
