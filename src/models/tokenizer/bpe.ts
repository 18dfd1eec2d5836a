/**
 * Byte-level BPE (Radford et al., 2019) exact to the token: text is cut into words by the model's pre-tokenizer, a word
 * into the bytes of its UTF-8, and neighbours are merged by the rank of their pair.
 */
import { BYTE_TO_CHARACTER } from './byte-alphabet.ts'
import { TokenizerDefinitionError } from './errors.ts'
import { mergeSymbols } from './merge.ts'
import { atOnce, PIECE } from './pieces.ts'
import type { InPieces } from './pieces.ts'
import { createPairTable } from './pair-table.ts'
import type { PairTable } from './pair-table.ts'
import { preTokenizer } from './pre-tokenizer.ts'
import type { Vocabulary } from './vocabulary.ts'
import { cachedByWord } from './word-cache.ts'

/** Appends the ids of a text without special tokens; once `ids` has more than `most`, the rest may be left out. */
export type PlainEncoder = (text: string, ids: number[], most?: number) => InPieces<void>

export interface Merges {
  readonly ranks: PairTable
  /** The token that the merge of each rank makes. */
  readonly products: Int32Array
}

/** @throws TokenizerDefinitionError, UnknownPreTokenizerError */
export function createBpeEncoder(vocabulary: Vocabulary): PlainEncoder {
  const words = preTokenizer(vocabulary.definition.pre)
  const bytes = byteIds(vocabulary)
  const merges = readMerges(vocabulary)
  const encodeWord = cachedByWord((word) => {
    const utf8 = Buffer.from(word)
    if (words.wholeWords) {
      const whole = vocabulary.plain.get(inAlphabet(utf8))
      if (whole !== undefined) return [whole]
    }
    return atOnce(mergeBytes(utf8, bytes, merges))
  })
  const longest = longestOf(vocabulary)
  return function* (text, ids, most = Infinity) {
    let read = 0
    for (const word of words.split(text)) {
      // So many bytes make more tokens than there is room for, whatever follows them.
      const enough = (most - ids.length + 1) * longest
      const isCut = word.length > enough
      const found =
        isCut || word.length > PIECE
          ? yield* mergeBytes(keptBytes(word, bytes, isCut ? enough : Infinity), bytes, merges)
          : encodeWord(word)
      for (const id of found) ids.push(id)
      if (ids.length > most) return
      read += word.length
      if (read < PIECE) continue
      read = 0
      yield
    }
  }
}

/** Characters of the longest token, which are its bytes where it is written in the alphabet of bytes. */
export function longestOf({ plain }: Vocabulary): number {
  let longest = 0
  for (const text of plain.keys()) longest = Math.max(longest, text.length)
  return longest
}

/** The first bytes that have a token, as many as said. */
function keptBytes(word: string, bytes: Int32Array, most: number): Uint8Array {
  const kept = Buffer.from(word).filter((byte) => (bytes[byte] as number) >= 0)
  return kept.subarray(0, most)
}

function inAlphabet(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += BYTE_TO_CHARACTER[byte]
  return text
}

function* mergeBytes(utf8: Uint8Array, bytes: Int32Array, { ranks, products }: Merges): InPieces<readonly number[]> {
  const ids = new Int32Array(utf8.length)
  let count = 0
  for (const byte of utf8) {
    const id = bytes[byte] as number
    // The reference leaves out a byte that no token has, and merges across the gap (tokenizers, `merge_word`).
    if (id >= 0) ids[count++] = id
  }
  const next = yield* mergeSymbols(count, {
    rank: (left, right) => ranks.get(ids[left] as number, ids[right] as number),
    join: (left, _right, rank) => {
      ids[left] = products[rank] as number
    },
  })
  const merged: number[] = []
  for (let at = 0; at < count; at = next[at] as number) merged.push(ids[at] as number)
  return merged
}

/**
 * The token of each byte, or -1. Printable ASCII and the line end must be there. Others may be missing: SmolLM2 has no
 * token for 0x04 or 0xf1, for instance; they become `unk` where that is no control token, else nothing, as the
 * reference has it.
 */
function byteIds({ plain, definition, isControl }: Vocabulary): Int32Array {
  const { unk } = definition
  const fallback = unk === null || isControl(unk) ? -1 : unk
  const ids = new Int32Array(256)
  const missing: string[] = []
  for (const [byte, character] of BYTE_TO_CHARACTER.entries()) {
    const id = plain.get(character)
    const needed = byte === 0x0a || (byte >= 0x20 && byte <= 0x7e)
    if (id === undefined && needed && fallback < 0) missing.push(`0x${byte.toString(16).padStart(2, '0')}`)
    ids[byte] = id ?? fallback
  }
  if (missing.length > 0) {
    throw new TokenizerDefinitionError(`${missing.length} bytes of plain text have no token, ${missing[0]} for one`, {
      missing,
    })
  }
  return ids
}

/** @throws TokenizerDefinitionError */
export function readMerges({ plain, definition, size }: Vocabulary): Merges {
  const merges = definition.merges ?? []
  const ranks = createPairTable(merges.length)
  const products = new Int32Array(merges.length)
  const exists = new Set(definition.tokens)
  for (const [rank, merge] of merges.entries()) {
    const parts = mergeParts(rank, merge)
    const ids = parts.map((part) => plain.get(part))
    const [left, right, product] = ids
    if (left === undefined || right === undefined || product === undefined) {
      const absent = parts.find((part) => !exists.has(part))
      if (absent === undefined) continue // Of a control token: text must not become one.
      throw new TokenizerDefinitionError(`merge ${rank} needs the token ${JSON.stringify(absent)}, which is missing`, {
        rank,
        merge,
        tokens: size,
      })
    }
    products[rank] = product
    ranks.add(left, right, rank)
  }
  return { ranks, products }
}

function mergeParts(rank: number, merge: string): [string, string, string] {
  const space = typeof merge === 'string' ? merge.indexOf(' ', 1) : -1
  if (space === -1 || space === merge.length - 1) {
    throw new TokenizerDefinitionError(`merge ${rank} is not two tokens with a space between them`, { rank })
  }
  const left = merge.slice(0, space)
  const right = merge.slice(space + 1)
  return [left, right, left + right]
}
