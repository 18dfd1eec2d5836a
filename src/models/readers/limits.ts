/** What a model file may claim at most. Beyond, it is malformed, not large; nothing is allocated before these hold. */

/** The specification's own limit for a key. */
export const MAX_KEY_BYTES = 65_535
/** ggml's GGML_MAX_NAME of 64 counts the closing NUL. */
export const MAX_TENSOR_NAME_BYTES = 63
/** GGML_MAX_DIMS. */
export const MAX_DIMENSIONS = 4
/** A name in a safetensors file: of models the longest are near 100. */
export const MAX_HUB_NAME_BYTES = 256
/** The format's own limit for its header. */
export const MAX_SAFETENSORS_HEADER = 100_000_000
/** The largest models come in under 200 files. */
export const MAX_SHARDS = 1_024
/** Known files have 20 to 60 keys; those of adapters and multimodal models a few hundred. */
export const MAX_KEYS = 16_384
/** The largest Llama has 1,138 tensors, mixtures that are split by expert some ten thousand. */
export const MAX_TENSORS = 65_536
/** Chat templates have up to 30 KB; a token at most some hundred bytes. */
export const MAX_STRING_BYTES = 1 << 20
/** Vocabularies have up to 262,144 tokens and half a million merges. */
export const MAX_ARRAY_ELEMENTS = 1 << 22
/** Keys, vocabulary and tensor table together: the largest known (262,144 tokens with merges) have 16 MB. */
export const MAX_HEADER_BYTES = 1 << 28
/** The default is 32; larger ones (pages) are of some use up to huge pages. */
export const MAX_ALIGNMENT = 1 << 21
/** Sizes of a Llama: four times what the largest have (126 layers, 16,384 wide, 53,248 hidden, 128 heads). */
export const MAX_LAYERS = 1_024
export const MAX_WIDTH = 1 << 17
export const MAX_HIDDEN = 1 << 19
export const MAX_HEADS = 1_024
export const MAX_VOCABULARY = 1 << 20
export const MAX_ROPE_BASE = 1e12
/** Of linear scaling and its kin; published ones lie between 1 and 64. */
export const MIN_ROPE_FACTOR = 1e-3
export const MAX_ROPE_FACTOR = 1e6
/** Scales and soft caps of published models lie between 0.04 and 200. */
export const MIN_FACTOR = 1e-4
export const MAX_FACTOR = 1e4
/** Ten million tokens are the longest context that was ever announced. */
export const MAX_CONTEXT = 1 << 24
/**
 * Positions times rotated pairs of the rotary tables that a stage maps: 256 MiB each, 1,048,576 positions with heads of
 * 128. A model that announces more is served up to there: a cache for so many takes more memory than a peer has.
 */
export const MAX_ROTARY_ELEMENTS = 1 << 26
