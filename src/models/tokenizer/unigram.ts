/**
 * Unigram (Kudo, 2018), SentencePiece's other model: of all ways to cut a text into pieces the one whose scores have the
 * greatest sum, found by Viterbi's algorithm. Sums and ties as Hugging Face's tokenizers have them.
 */
import type { PlainEncoder } from './bpe.ts'
import { TokenizerDefinitionError } from './errors.ts'
import { MAX_UNIGRAM_PIECE } from './limits.ts'
import { PIECE } from './pieces.ts'
import { createNormalizer } from './normal-steps.ts'
import type { Vocabulary } from './vocabulary.ts'
import { wordCutter } from './word-cutter.ts'
import { cachedByWord } from './word-cache.ts'

/** By so much the unknown is worse than the worst piece. */
const UNKNOWN_PENALTY = 10
const NOTHING = -1
const UNKNOWN = -2

/** @throws TokenizerDefinitionError */
export function createUnigramEncoder(vocabulary: Vocabulary): PlainEncoder {
  const { definition, plain, byteTokens } = vocabulary
  const { unk, scores = [] } = definition
  if (unk === null) throw new TokenizerDefinitionError('it has no unknown token')
  const normalize = createNormalizer(definition)
  const cut = wordCutter(definition)
  const pieces = sortedPieces(plain)
  const worst = scores.reduce((least, score) => Math.min(least, score), Infinity)
  const path = bestPath(pieces, scores, worst - UNKNOWN_PENALTY)
  const hasBytes = byteTokens.every((id) => id >= 0)
  const encodeWord = cachedByWord((word) => {
    const ids: number[] = []
    for (const { id, start, end } of path(word)) {
      if (id !== UNKNOWN) ids.push(id)
      else if (hasBytes) for (const byte of Buffer.from(word.slice(start, end))) ids.push(byteTokens[byte]!)
      else ids.push(unk)
    }
    return ids
  })
  return function* (text, ids, most = Infinity) {
    let read = 0
    for (const word of cut(normalize(text))) {
      for (const id of encodeWord(word)) ids.push(id)
      if (ids.length > most) return
      read += word.length
      if (read < PIECE) continue
      read = 0
      yield
    }
  }
}

interface Pieces {
  /** In the order of UTF-16 units, so that those with one beginning stand together. */
  readonly texts: readonly string[]
  readonly ids: Int32Array
}

function sortedPieces(plain: ReadonlyMap<string, number>): Pieces {
  const sorted = [...plain].toSorted(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0))
  if (sorted.some(([text]) => text.length > MAX_UNIGRAM_PIECE)) {
    throw new TokenizerDefinitionError(`a piece is longer than ${MAX_UNIGRAM_PIECE} characters`)
  }
  return { texts: sorted.map(([text]) => text), ids: Int32Array.from(sorted, ([, id]) => id) }
}

interface Step {
  readonly id: number
  readonly start: number
  readonly end: number
}

/** Pieces of a word from the left; unknown characters in a row are one. */
function bestPath(pieces: Pieces, scores: readonly number[], unknown: number): (word: string) => readonly Step[] {
  return (word) => {
    const size = word.length
    const best = new Float64Array(size + 1)
    const idOf = new Int32Array(size + 1).fill(NOTHING)
    const from = new Int32Array(size + 1)
    const offer = (start: number, end: number, id: number, score: number): void => {
      const sum = score + best[start]!
      if (idOf[end] !== NOTHING && sum <= best[end]!) return
      best[end] = sum
      idOf[end] = id
      from[end] = start
    }
    for (let start = 0; start < size;) {
      const next = start + (word.codePointAt(start)! > 0xffff ? 2 : 1)
      let covered = false
      forBeginnings(pieces, word, start, (end, id) => {
        offer(start, end, id, scores[id]!)
        covered ||= end === next
      })
      if (!covered) offer(start, next, UNKNOWN, unknown)
      start = next
    }
    return backwards(size, idOf, from)
  }
}

function backwards(size: number, idOf: Int32Array, from: Int32Array): Step[] {
  const steps: Step[] = []
  for (let end = size; end > 0;) {
    const id = idOf[end]!
    const start = from[end]!
    const last = steps.at(-1)
    if (id === UNKNOWN && last?.id === UNKNOWN) steps[steps.length - 1] = { ...last, start }
    else steps.push({ id, start, end })
    end = start
  }
  return steps.toReversed()
}

/** Each piece that stands at `start`, the shortest first: the pieces with its beginning are a range that narrows. */
function forBeginnings(
  { texts, ids }: Pieces,
  word: string,
  start: number,
  action: (end: number, id: number) => void,
): void {
  let low = 0
  let high = texts.length
  for (let end = start; end < word.length && low < high; end++) {
    const unit = word.charCodeAt(end)
    const depth = end - start
    low = firstWith(texts, low, high, depth, unit)
    high = firstWith(texts, low, high, depth, unit + 1)
    // The shortest of a range comes first.
    if (low < high && texts[low]!.length === depth + 1) action(end + 1, ids[low]!)
  }
}

/** The first in [low, high) whose unit at `depth` is at least `unit`; those that end before come first. */
function firstWith(texts: readonly string[], low: number, high: number, depth: number, unit: number): number {
  let from = low
  let to = high
  while (from < to) {
    const middle = (from + to) >> 1
    const text = texts[middle]!
    if (text.length > depth && text.charCodeAt(depth) >= unit) to = middle
    else from = middle + 1
  }
  return from
}
