/** Caps on what a tokenizer file may ask for: all of it is a stranger's until checked. */

/** Largest vocabularies in use hold 262,144 tokens; four times that is malformed, not large. */
export const MAX_TOKENS = 1 << 20

/** Largest merge lists in use hold about 520,000 pairs. */
export const MAX_MERGES = 1 << 21

/** UTF-16 units of one token; the longest in use are runs of a few hundred spaces or dashes. */
export const MAX_TOKEN_LENGTH = 4096

/** UTF-16 units of a token that is looked for in whole texts; the longest in use are below 100. */
export const MAX_SPECIAL_LENGTH = 256

/** UTF-16 units of a word that WordPiece takes apart (models say 100), and of what marks a piece within one. */
export const MAX_WORD = 1024

/** UTF-16 units of a piece of a Unigram vocabulary, all of which are tried at each place of a text; those in use have 16. */
export const MAX_UNIGRAM_PIECE = 256

/** Steps that make a text ready; those in use are at most six. */
export const MAX_NORMAL_STEPS = 32

/** UTF-16 units of what a step replaces, and of what stands there then. */
export const MAX_REPLACED = 256

/** SentencePiece's map for NFKC has 240 KB. */
export const MAX_CHARSMAP_BYTES = 1 << 22

/** UTF-16 units of a chat template; the longest published ones are near 20,000. */
export const MAX_TEMPLATE_LENGTH = 64 << 10

/** Words whose ids are remembered; at about 100 bytes each this is a few MB, and covers the words of a large book. */
export const MAX_CACHED_WORDS = 32_768

/** Longer words are not remembered: they seldom come again, and would make the memory of the cache unbounded. */
export const MAX_CACHED_WORD_LENGTH = 64

/** White space in one run of a template: the library reads it with a pattern that takes the square of its length. */
export const MAX_TEMPLATE_BLANKS = 1024

/**
 * Work that one rendering of a template may do, in evaluated nodes. Published templates take 20 to 200 nodes a message;
 * the base alone takes well under a second in an ordinary template, a few seconds in one made to be slow.
 */
export const TEMPLATE_BASE_WORK = 250_000
export const TEMPLATE_WORK_PER_MESSAGE = 2000

/** A node's value costs one more for so many characters, or elements of a list: what an operation on them takes. */
export const TEMPLATE_TEXT_UNIT = 256
export const TEMPLATE_LIST_UNIT = 16

/** UTF-16 units that a value in a template may have beyond twice the conversation's own length. */
export const MAX_TEMPLATE_VALUE = 1 << 18

/** Elements that a list in a template may have: `range` and list sums stop here. */
export const MAX_TEMPLATE_LIST = 50_000

/** Spaces that `indent` and `tojson` may be asked for: they are allocated a line, before any result can be measured. */
export const MAX_TEMPLATE_INDENT = 64
