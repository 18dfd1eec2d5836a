/**
 * SentencePiece BPE (Kudo and Richardson, 2018) as the Llama family has it: characters are merged by the score of the
 * token that two neighbours make, the highest first, or by a list of merges, which is how the hub's files have it; what
 * no token covers becomes byte tokens. Serves llama2.c's tokenizers too, which are the same algorithm.
 */
import { longestOf, readMerges } from './bpe.ts'
import type { PlainEncoder } from './bpe.ts'
import { TOKEN_TYPE } from './definition.ts'
import { TokenizerDefinitionError } from './errors.ts'
import { mergeSymbols } from './merge.ts'
import { atOnce, PIECE } from './pieces.ts'
import type { InPieces } from './pieces.ts'
import { SPACE_MARK } from './vocabulary.ts'
import type { Vocabulary } from './vocabulary.ts'
import { cachedByWord } from './word-cache.ts'

/** A space mark after anything else: a token with one inside keeps text from being cut into words. */
const MARK_INSIDE = new RegExp(`[^${SPACE_MARK}]${SPACE_MARK}`)
const WORDS = new RegExp(`${SPACE_MARK}*[^${SPACE_MARK}]+|${SPACE_MARK}+`, 'g')

/** Spaces in the text become U+2581 here; the space prefix is the caller's. @throws TokenizerDefinitionError */
export function createSpmEncoder(vocabulary: Vocabulary): PlainEncoder {
  const encodeUncovered = fallback(vocabulary)
  const merge = (vocabulary.definition.merges === undefined ? scoreMerger : listMerger)(vocabulary, encodeUncovered)
  const { unk, unknown_apart: apart } = vocabulary.definition
  const joinUnknown = apart !== true && vocabulary.byteTokens.every((id) => id < 0)
  // No token goes across the start of a word, so words can be encoded apart, and remembered.
  const wordly = ![...vocabulary.plain.keys()].some((text) => MARK_INSIDE.test(text))
  const encodeWord = cachedByWord((word) => atOnce(merge(word)))
  const longest = longestOf(vocabulary)
  return function* (text, ids, most = Infinity) {
    const start = ids.length
    let read = 0
    const marked = text.replaceAll(' ', SPACE_MARK)
    for (const word of wordly ? wordsOf(marked) : [marked]) {
      // So many characters make more tokens than there is room for; but of the unknown many may become one.
      const enough = joinUnknown ? Infinity : (most - ids.length + 1) * longest
      const part = word.length > enough ? word.slice(0, enough).toWellFormed() : word
      const found = wordly && part.length <= PIECE ? encodeWord(part) : yield* merge(part)
      for (const id of found) {
        // SentencePiece makes one unknown of several in a row.
        const repeats = joinUnknown && id === unk && ids.length > start && ids.at(-1) === unk
        if (!repeats) ids.push(id)
      }
      if (ids.length > most) return
      read += word.length
      if (read < PIECE) continue
      read = 0
      yield
    }
  }
}

function* wordsOf(marked: string): Generator<string> {
  for (const [word] of marked.matchAll(WORDS)) yield word
}

type Uncovered = (text: string, ids: number[]) => void
type WordEncoder = (word: string) => InPieces<readonly number[]>

function scoreMerger(vocabulary: Vocabulary, encodeUncovered: Uncovered): WordEncoder {
  const { plain } = vocabulary
  const rankOf = scoreRanks(vocabulary)
  const longest = longestOf(vocabulary)
  return function* (word) {
    const { starts, count } = characters(word)
    const ends = starts.slice(1)
    const next = yield* mergeSymbols(count, {
      rank(left, right) {
        const start = starts[left] as number
        const end = ends[right] as number
        if (end - start > longest) return -1
        const id = plain.get(word.slice(start, end))
        return id === undefined ? -1 : (rankOf[id] as number)
      },
      join(left, right) {
        ends[left] = ends[right] as number
      },
    })
    const ids: number[] = []
    for (let at = 0; at < count; at = next[at] as number) {
      const piece = word.slice(starts[at], ends[at])
      const id = plain.get(piece)
      if (id === undefined) encodeUncovered(piece, ids)
      else ids.push(id)
    }
    return ids
  }
}

function listMerger(vocabulary: Vocabulary, encodeUncovered: Uncovered): WordEncoder {
  const { plain } = vocabulary
  const { ranks, products } = readMerges(vocabulary)
  return function* (word) {
    const { starts, count } = characters(word)
    const symbols = new Int32Array(count)
    for (let at = 0; at < count; at++) symbols[at] = plain.get(word.slice(starts[at], starts[at + 1])) ?? -1
    const next = yield* mergeSymbols(count, {
      // What no token covers is in no merge: its -1 finds nothing.
      rank: (left, right) => ranks.get(symbols[left] as number, symbols[right] as number),
      join: (left, _right, rank) => {
        symbols[left] = products[rank] as number
      },
    })
    const ids: number[] = []
    for (let at = 0; at < count; at = next[at] as number) {
      const id = symbols[at] as number
      if (id >= 0) ids.push(id)
      else encodeUncovered(word.slice(starts[at], starts[at + 1]), ids)
    }
    return ids
  }
}

/** Where each character starts, and, one more, where the word ends. */
function characters(word: string): { starts: Int32Array; count: number } {
  const starts = new Int32Array(word.length + 1)
  let count = 0
  for (let at = 0; at < word.length; at += word.codePointAt(at)! > 0xffff ? 2 : 1) starts[count++] = at
  starts[count] = word.length
  return { starts, count }
}

/** Tokens by falling score, equal scores sharing a rank, so that the merging loop can compare whole numbers. */
function scoreRanks({ definition, size }: Vocabulary): Int32Array {
  const scores = definition.scores ?? []
  const order = Int32Array.from({ length: size }, (_, id) => id).sort((a, b) => scores[b]! - scores[a]!)
  const ranks = new Int32Array(size)
  let rank = 0
  for (const [place, id] of order.entries()) {
    if (place > 0 && scores[id] !== scores[order[place - 1] as number]) rank += 1
    ranks[id] = rank
  }
  return ranks
}

/** What a piece becomes that is no token: the tokens of its bytes, or the unknown token where the model has no bytes. */
function fallback({ byteTokens, definition }: Vocabulary): Uncovered {
  const { unk } = definition
  const missing = byteTokens.filter((id) => id < 0).length
  if (missing === 0) {
    return (text, ids) => {
      for (const byte of Buffer.from(text)) ids.push(byteTokens[byte] as number)
    }
  }
  if (missing < 256) throw new TokenizerDefinitionError(`${missing} of its 256 byte tokens are missing`, { missing })
  if (unk === null || definition.types[unk] === TOKEN_TYPE.control) {
    throw new TokenizerDefinitionError('it has neither byte tokens nor an unknown token')
  }
  return (_text, ids) => {
    ids.push(unk)
  }
}
